"""The debiased lasso against R's hdi, closed forms and optimality; p-values of many tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import false_discovery_control

import gossamer as gs
from gossamer.linear.inference import adjusted_p_values, noise_level
from gossamer.linear.inference.debiased import debiased
from gossamer.linear.inference.nodewise import along_strengths, nodewise

REFERENCE = json.loads((Path(__file__).parent / "r_reference.json").read_text())


def data(n: int = 80, p: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.geomspace(0.1, 10, p) + 5
    return X, X[:, p // 2] - X[:, -1] + 0.5 * rng.standard_normal(n)


def test_formula_is_that_of_r() -> None:
    X, y, beta, Z = (np.array(REFERENCE[name]) for name in ("X", "y", "beta", "Z"))
    coef, error = debiased(X, Z, y - X @ beta, beta)
    theirs = np.array(REFERENCE["found"]["debiased"])
    np.testing.assert_allclose(coef, theirs[:, 0], rtol=1e-10)
    np.testing.assert_allclose(0.5 * error, theirs[:, 1], rtol=1e-10)


def test_regressions_of_columns_are_lassos() -> None:
    """Optimality conditions, and the same coefficients as one lasso a column."""
    X = data()[0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    gram, columns = X.T @ X / 80, np.array([3, 17])
    for strength, found in zip(
        (0.3, 0.1), along_strengths(gram, columns, np.array([0.3, 0.1])), strict=True
    ):
        for j, direction in zip(columns, found, strict=True):
            b = -np.delete(direction, j)
            assert direction[j] == 1
            pull = np.delete(gram @ direction, j)
            # gains of 1e-8 leave slopes of 1e-4
            assert np.abs(pull).max() <= strength + 2e-4
            np.testing.assert_allclose(pull[b != 0], strength * np.sign(b[b != 0]), atol=2e-4)
            alone = gs.Lasso(alpha=strength, tol=1e-12).fit(np.delete(X, j, axis=1), X[:, j])
            np.testing.assert_allclose(b, alone.coef_, atol=1e-3)


def test_threads_change_nothing() -> None:
    X = data(60, 70)[0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    one, two = (
        nodewise(X, n_folds=3, n_strengths=8, rng=np.random.default_rng(0), n_jobs=jobs)
        for jobs in (1, 2)
    )
    np.testing.assert_array_equal(one.directions, two.directions)
    assert one.strength == two.strength


def test_without_penalties_it_is_least_squares() -> None:
    """Directions that leave nothing unexplained make any start end at least squares."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((50, 5)), rng.standard_normal(50)
    X -= X.mean(axis=0)
    inverse = np.linalg.inv(X.T @ X)
    start = rng.standard_normal(5)
    coef, error = debiased(X, X @ inverse, y - X @ start, start)
    np.testing.assert_allclose(coef, np.linalg.lstsq(X, y)[0])
    np.testing.assert_allclose(error, np.sqrt(np.diag(inverse)))


def test_units_of_x_and_y_only_change_units() -> None:
    X, y = data()
    scale = np.geomspace(1e-3, 1e3, 40)
    one, other = gs.DebiasedLasso().fit(X, y), gs.DebiasedLasso().fit(X * scale, 100 * y)
    # both stop at a tolerance, of the lasso's gap and of the regressions' gains
    np.testing.assert_allclose(other.coef_ * scale / 100, one.coef_, atol=0.02)
    np.testing.assert_allclose(other.p_values_, one.p_values_, atol=0.05)


def test_noise_is_estimated() -> None:
    X, y = data(200, 20)
    table = np.column_stack([np.ones(200), X])
    left = y - table @ np.linalg.lstsq(table, y)[0]
    exact = np.sqrt(left @ left / 179)
    assert noise_level(X, y, "least_squares") == pytest.approx(exact)
    assert noise_level(X, y) == pytest.approx(exact)
    assert noise_level(X, y, 3) == 3.0
    # the scaled lasso's strength is one for the worst case: its level is biased upwards
    for method, error in (("cv", 0.1), ("scaled", 0.3)):
        assert noise_level(*data(300, 100, 1), method) == pytest.approx(0.5, rel=error)
    with pytest.raises(ValueError, match="noise must be a number or one of"):
        noise_level(X, y, "mad")
    with pytest.raises(ValueError, match="finite number > 0"):
        noise_level(X, y, -1.0)
    with pytest.raises(ValueError, match="more samples than features"):
        noise_level(*data(20, 40), "least_squares")


def test_a_constant_column_has_no_estimate() -> None:
    X, y = data()
    X[:, 4] = 1e6
    model = gs.DebiasedLasso().fit(X, y)
    assert model.p_values_[4] == 1
    assert np.isinf(model.confidence_intervals()[4]).all()
    assert model.p_values_[20] < 1e-10
    assert model.summary()["feature"][0] in ("x20", "x39")


def test_adjusted_p_values() -> None:
    p_values = np.random.default_rng(0).random(30) ** 3
    for method in ("bh", "by"):
        np.testing.assert_allclose(
            adjusted_p_values(p_values, method), false_discovery_control(p_values, method=method)
        )
    # Holm by its definition: reject while the next smallest is below its share
    for level in (0.05, 0.3, 0.9):
        rejected: set[int] = set()
        for k, j in enumerate(np.argsort(p_values)):
            if p_values[j] > level / (30 - k):
                break
            rejected.add(int(j))
        assert set(np.flatnonzero(adjusted_p_values(p_values) <= level)) == rejected
    np.testing.assert_allclose(adjusted_p_values([0.01, 0.5], "bonferroni"), [0.02, 1.0])
    with pytest.raises(ValueError, match="method"):
        adjusted_p_values(p_values, "sidak")
    with pytest.raises(ValueError, match="p_values"):
        adjusted_p_values([0.1, 1.2])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [({"n_folds": 1}, "n_folds"), ({"n_strengths": 1}, "n_strengths"), ({"noise": 0.0}, "noise")],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gs.DebiasedLasso(**parameters).fit(*data())
    with pytest.raises(ValueError, match="too few"):
        gs.DebiasedLasso().fit(*data(8))
    with pytest.raises(ValueError, match="level"):
        gs.DebiasedLasso().fit(*data(30, 3)).confidence_intervals(95)
