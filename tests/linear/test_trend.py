"""Trend filtering against a convex solver, its limits, real series and scikit-learn's contract."""

from __future__ import annotations

import pickle
import time

import cvxpy as cp
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.isotonic import IsotonicRegression

import gossamer as gs
from gossamer.core import ConvergenceWarning
from gossamer.solvers.trend import Differences, largest_strength, trend_filter


@pytest.mark.parametrize("model", [gs.TrendFilter(0.3), gs.TrendFilterCV(n_alphas=3, cv=2)])
def test_scikit_learn_manners(model, rng):
    """scikit-learn's own checks skip estimators of positions, as IsotonicRegression."""
    x, y = np.arange(12.0), rng.standard_normal(12)
    other = clone(model)
    assert other.get_params() == model.get_params() and type(model).__name__ in repr(model)
    assert other.fit(x, y) is other
    again = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(again.predict(x), other.predict(x))
    with pytest.raises(NotFittedError):
        clone(other).predict(x)


def _dense(x, order):
    """D of the docstring, multiplied out."""
    D = np.diff(np.eye(len(x)), axis=0)
    for k in range(1, order + 1):
        D = np.diff(np.diag(k / (x[k:] - x[:-k])) @ D, axis=0)
    return D


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("spacing", ["equal", "uneven"])
def test_optimum_is_a_convex_solvers(order, spacing, rng):
    n = 40
    x = np.arange(n, dtype=float) if spacing == "equal" else np.sort(rng.random(n)) * 10
    y = np.sin(x) + 0.3 * rng.standard_normal(n)
    s = rng.integers(1, 4, n).astype(float)
    alpha = 0.01 * largest_strength(y, Differences(x, order), s / s.sum())
    model = gs.TrendFilter(alpha, order=order, tol=1e-7).fit(x, y, sample_weight=s)
    b, D = cp.Variable(n), _dense(x, order)
    cost = cp.sum(cp.multiply(s / s.sum(), cp.square(y - b))) / 2 + alpha * cp.norm1(D @ b)
    best = cp.Problem(cp.Minimize(cost)).solve("CLARABEL")
    assert model.certificate_.objective == pytest.approx(best, rel=1e-5)
    np.testing.assert_allclose(model.fitted_, b.value, atol=1e-2)
    differences = Differences(x, order)
    np.testing.assert_allclose(differences.times(y), D @ y, rtol=1e-9, atol=1e-9)
    u = rng.standard_normal(n - order - 1)
    np.testing.assert_allclose(differences.transposed_times(u), D.T @ u, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_from_the_largest_strength_on_it_is_a_polynomial(order, rng):
    x = np.cumsum(0.5 + rng.random(60)) * 0.08
    y = np.cos(x) + 0.1 * rng.standard_normal(60)
    largest = largest_strength(y, Differences(x, order), np.full(60, 1 / 60))
    line = np.polynomial.Polynomial.fit(x, y, order)(x)
    # rounding of divided differences of order three leaves a gap of 1e-7 here
    at = gs.TrendFilter(1.01 * largest, order=order).fit(x, y)
    np.testing.assert_allclose(at.fitted_, line, atol=1e-3)
    below = gs.TrendFilter(0.5 * largest, order=order).fit(x, y)
    assert np.abs(below.fitted_ - line).max() > 1e-3


def test_kinks_are_found():
    """Without noise a broken line keeps its kinks, and is predicted between the points."""
    x = np.arange(101.0)
    y = np.where(x < 30, x, np.where(x < 70, 30.0, 30 - 2 * (x - 70)))
    model = gs.TrendFilter(1e-3, order=1, tol=1e-9).fit(x, y)
    # what is left of a kink after shrinkage may lie on its neighbour too
    assert {30.0, 70.0} <= set(model.knots_) <= {29.0, 30.0, 31.0, 69.0, 70.0, 71.0}
    np.testing.assert_allclose(model.predict([10.5, 50.5]), [10.5, 30.0], atol=0.05)


def test_steps_of_a_rising_series_are_isotonic():
    """A weak penalty on a rising series changes little; the isotonic fit is the series."""
    x = np.arange(30.0)
    y = np.floor(x / 10)
    fit = IsotonicRegression().fit_transform(x, y)
    np.testing.assert_allclose(gs.TrendFilter(1e-6, order=0).fit(x, y).fitted_, fit, atol=1e-4)


def test_order_ties_and_weights_do_not_matter_as_they_should_not(rng):
    x = rng.permutation(50).astype(float)
    y = rng.standard_normal(50)
    plain = gs.TrendFilter(0.05).fit(x, y)
    twice = gs.TrendFilter(0.05).fit(np.r_[x, x], np.r_[y, y])
    column = gs.TrendFilter(0.05).fit(x[:, None], y)
    left_out = gs.TrendFilter(0.05).fit(np.r_[x, 60], np.r_[y, 1e6], np.r_[np.ones(50), 0])
    for other in (twice, column, left_out):
        np.testing.assert_allclose(other.fitted_, plain.fitted_, atol=1e-9)


def test_cross_validation_finds_the_step(rng):
    x = np.arange(300.0)
    y = np.where(x < 100, 0.0, np.where(x < 200, 3.0, 1.0)) + 0.5 * rng.standard_normal(300)
    model = gs.TrendFilterCV(order=0).fit(x, y)
    assert np.abs(np.subtract.outer(model.knots_, [100, 200])).min(axis=0).max() <= 1
    assert model.score(x, y) > 0.7 and model.cv_errors_.shape == (5, 30)
    lines = gs.TrendFilterCV(order=1, selection="min", n_alphas=10).fit(x, y)
    assert lines.certificate_.holds


def test_saved_and_loaded(tmp_path, rng):
    model = gs.TrendFilter(0.1).fit(np.arange(20.0), rng.standard_normal(20))
    gs.save(model, tmp_path / "trend.gossamer")
    again = gs.load(tmp_path / "trend.gossamer")
    np.testing.assert_array_equal(again.predict([3.3]), model.predict([3.3]))


def test_hard_inputs():
    one = gs.TrendFilter(1.0).fit([3.0], [2.0])
    np.testing.assert_array_equal(one.predict([0.0, 5.0]), [2.0, 2.0])
    few = gs.TrendFilter(1.0, order=2).fit([1.0, 2.0], [2.0, 4.0])
    np.testing.assert_allclose(few.predict([3.0]), 6.0)
    flat = gs.TrendFilter(1.0, order=1).fit(np.arange(9.0), np.full(9, 2.0))
    np.testing.assert_allclose(flat.fitted_, 2.0, atol=1e-12)
    free = gs.TrendFilter(0.0).fit(np.arange(5.0), [1.0, 3.0, 2.0, 5.0, 4.0])
    np.testing.assert_array_equal(free.fitted_, [1.0, 3.0, 2.0, 5.0, 4.0])


def test_refusals(rng):
    x, y = np.arange(10.0), rng.standard_normal(10)
    for arguments, message in (
        ({"alpha": -1.0}, "alpha must be a finite number >= 0"),
        ({"order": 4}, "order must be a whole number from 0 to 3"),
        ({"order": 1.5}, "order must be a whole number"),
        ({"tol": np.nan}, "tol must be a finite number"),
    ):
        with pytest.raises(ValueError, match=message):
            gs.TrendFilter(**arguments).fit(x, y)
    with pytest.raises(ValueError, match="NaN"):
        gs.TrendFilter().fit(x, np.where(x == 3, np.nan, y))
    with pytest.raises(ValueError, match=r"shape \(n,\) or \(n, 1\)"):
        gs.TrendFilter().fit(np.ones((10, 2)), y)
    with pytest.raises(ValueError, match="inconsistent"):
        gs.TrendFilter().fit(x, y[:5])
    with pytest.raises(ValueError, match="need at least 15"):
        gs.TrendFilterCV().fit(x, y)
    with pytest.raises(ValueError, match="selection must be"):
        gs.TrendFilterCV(selection="best").fit(x, y)
    with pytest.raises(ValueError, match="alpha is chosen here"):
        gs.TrendFilterCV(alpha=0.1).fit(x, y)
    with pytest.raises(ValueError, match="max_iter must be a whole number >= 1, got -1"):
        gs.TrendFilter(max_iter=-1).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="TrendFilter"):
        gs.TrendFilter(0.1, max_iter=1).fit(x, y)


def test_progress_is_reported_as_by_other_estimators(rng):
    steps = []
    gs.TrendFilterCV(n_alphas=3, cv=2).fit(
        np.arange(20.0), rng.standard_normal(20), on_step=lambda: steps.append(1)
    )
    assert len(steps) == 6


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_huge_strength_leaves_the_polynomial(order, rng):
    x, y = np.sort(rng.standard_normal(50)), rng.standard_normal(50)
    model = gs.TrendFilter(1e12, order=order).fit(x, y)
    assert model.certificate_.holds
    np.testing.assert_allclose(model.fitted_, np.polyval(np.polyfit(x, y, order), x), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_million_points(order, capsys):
    rng = np.random.default_rng(0)
    n = 1_000_000
    y = np.cumsum(np.repeat(rng.standard_normal(n // 500), 500) * 0.05) + rng.standard_normal(n)
    begun = time.process_time()
    trend = trend_filter(
        y, Differences(np.arange(n, dtype=float), order), np.full(n, 1 / n), 50 / n
    )
    seconds = time.process_time() - begun
    assert trend.certificate.holds
    with capsys.disabled():
        print(f"\norder {order}: {seconds:.1f} CPU s, gap {trend.certificate.value:.1e}")
