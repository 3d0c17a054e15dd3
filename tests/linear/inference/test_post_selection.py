"""Post-selection inference against mpmath, brute force, and R's selectiveInference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

import gossamer as gs
from gossamer.linear.inference.polyhedron import Polyhedron
from gossamer.linear.inference.truncated import mean_with_survival, survival

REFERENCE = json.loads((Path(__file__).parent / "r_reference.json").read_text())

# log10 of P(V >= x | low <= V <= high) for a standard normal, by mpmath with 60 digits: with
# Q = lambda t: erfc(t / sqrt(2)) / 2, log10((Q(x) - Q(high)) / (Q(low) - Q(high))), mirrored for
# the left tail
TAILS = [
    (6.5, 6.0, 7.0, -1.40384351975952),
    (40.2, 40.0, 41.0, -3.48520512084182),
    (40.2, 40.0, np.inf, -3.48520512084182),
    (-40.2, -41.0, -40.0, -0.000142118379792357),
    (1e4 + 1e-4, 1e4, 1e4 + 1.0, -0.434294485346238),
]


@pytest.mark.parametrize("case", TAILS, ids=str)
def test_tails_are_those_of_many_digits(case: tuple[float, float, float, float]) -> None:
    x, low, high, expected = case
    assert np.log10(survival(x, 0.0, 1.0, low, high)) == pytest.approx(expected, abs=1e-9)
    assert np.log10(survival(3 * x + 2, 2.0, 3.0, 3 * low + 2, 3 * high + 2)) == pytest.approx(
        expected, abs=1e-7
    )


def test_the_middle_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        low, x, high = np.sort(rng.normal(scale=2, size=3))
        mean, deviation = rng.normal(), rng.uniform(0.5, 2)
        expected = truncnorm.sf(
            x, (low - mean) / deviation, (high - mean) / deviation, mean, deviation
        )
        assert survival(x, mean, deviation, low, high) == pytest.approx(expected, rel=1e-9)
    assert survival(1.0, 0.0, 1.0, -np.inf, np.inf) == pytest.approx(norm.sf(1.0), rel=1e-14)
    with pytest.raises(ValueError, match="low must be below"):
        survival(0.0, 0.0, 1.0, 1.0, 1.0)


def test_means_are_found_at_any_distance() -> None:
    for x, low, high in [
        (0.3, -1.0, 2.0),
        (1.001, 1.0, np.inf),
        (-5.0, -6.0, -4.9),
        (9.0, 8.9, 9.5),
    ]:
        for target in (0.025, 0.5, 0.975):
            mean = mean_with_survival(x, 0.7, low, high, target)
            if np.isfinite(mean):
                assert survival(x, mean, 0.7, low, high) == pytest.approx(target, rel=1e-6)
    assert mean_with_survival(1.0, 1.0, 1.0, 2.0, 0.025) == -np.inf


def test_the_event_is_that_of_fits_by_brute_force() -> None:
    """Inside of the limits the same lasso is selected, outside it is another one."""
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 12))
    y = X[:, 0] - X[:, 3] + rng.standard_normal(30)

    def pattern(target: np.ndarray) -> np.ndarray:
        problem = gs.Problem(X, target, gs.losses.Quadratic(), gs.L1(0.15), fit_intercept=False)
        return np.sign(problem.solve(tol=1e-13).coef)

    signs = pattern(y)
    active = np.flatnonzero(signs)
    event = Polyhedron.of_lasso(X, active, signs[active], 30 * 0.15)
    assert (event.A @ y <= event.b).all()
    for direction in (*np.linalg.pinv(X[:, active]), rng.standard_normal(30)):
        low, high = event.limits(y, direction)
        value, length = direction @ y, direction @ direction
        assert low < value < high
        for end in (low, high):
            if np.isfinite(end):
                step = np.sign(end - value) * 1e-4 * min(abs(end - value), 1.0)
                inside = y + direction * (end - step - value) / length
                outside = y + direction * (end + step - value) / length
                assert (pattern(inside) == signs).all()
                assert (pattern(outside) != signs).any()


def test_results_are_those_of_r() -> None:
    X, y = np.array(REFERENCE["X"]), np.array(REFERENCE["y"])
    model = gs.PostSelection(alpha=0.03, noise=0.5).fit(X, y)
    theirs = np.array(REFERENCE["found"]["selective"])
    np.testing.assert_array_equal(model.selected_ + 1, theirs[:, 0])
    np.testing.assert_allclose(model.coef_, theirs[:, 1], rtol=1e-8)
    # theirs are one-sided in the direction of the sign, and of the signed coefficient
    one_sided = np.minimum(theirs[:, 2], 1 - theirs[:, 2])
    np.testing.assert_allclose(model.p_values_, 2 * one_sided, rtol=1e-4)
    limits = np.sort(model.truncation_ * model.signs_[:, None], axis=1)
    np.testing.assert_allclose(limits, theirs[:, 5:], rtol=1e-6)
    found = model.confidence_intervals(0.9)
    deviations = model._deviations
    for ours, given, deviation in zip(found, theirs[:, 3:5], deviations, strict=True):
        for a, b in zip(ours, given, strict=True):
            # theirs are points of a grid of 0.02 standard deviations, from -100 to 100 of them
            assert abs(a - b) <= 0.05 * deviation or (np.isinf(b) and abs(a) > 50 * deviation)


def test_nothing_selected_is_no_error() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 5)), rng.standard_normal(40)
    model = gs.PostSelection(alpha=10.0).fit(X, y)
    assert model.confidence_intervals().shape == (0, 2)
    assert len(model.summary()) == len(model.p_values_) == 0


def test_units_only_change_units() -> None:
    X, y = np.array(REFERENCE["X"]), np.array(REFERENCE["y"])
    scale = np.geomspace(0.1, 10, 12)
    one = gs.PostSelection(alpha=0.1, noise=0.5, standardise=True).fit(X, y)
    other = gs.PostSelection(alpha=0.1, noise=0.5, standardise=True).fit(X * scale, y)
    np.testing.assert_allclose(one.p_values_, other.p_values_, rtol=1e-6)
    np.testing.assert_allclose(one.coef_, other.coef_ * scale[one.selected_], rtol=1e-8)


@pytest.mark.parametrize(
    ("parameters", "message"), [({"alpha": -1.0}, "alpha"), ({"noise": "robust"}, "noise")]
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, object], message: str) -> None:
    X, y = np.array(REFERENCE["X"]), np.array(REFERENCE["y"])
    with pytest.raises(ValueError, match=message):
        gs.PostSelection(**parameters).fit(X, y)


def test_constant_columns_are_never_selected(rng):
    model = gs.PostSelection().fit(np.ones((30, 3)), rng.standard_normal(30))
    assert len(model.selected_) == 0 and model.confidence_intervals().shape == (0, 2)
