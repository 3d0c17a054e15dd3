"""Bounds against scipy's bounded least squares, brute force and a convex solver."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from scipy.optimize import lsq_linear

import gossamer as gs


@pytest.fixture
def table(rng):
    X = rng.standard_normal((80, 12)) + 0.5 * rng.standard_normal((80, 1))
    return X, X[:, :4] @ [2.0, -1.5, 1.0, 0.5] + 0.5 * rng.standard_normal(80)


@pytest.mark.parametrize("strength", [0.0, 0.05])
@pytest.mark.parametrize("loss", [gs.losses.Quadratic(), gs.losses.Logistic()], ids=repr)
def test_problems_are_a_convex_solvers(table, strength, loss):
    X, y = table
    y = y if loss.is_quadratic else (y > 0).astype(float)
    low, high = np.full(12, -0.4), np.linspace(0.1, 1.5, 12)
    low[5:] = -np.inf if strength else -2.0
    low[3] = high[6] = 0.0
    penalty = gs.Bounds(low, high, strength=strength)
    result = gs.Problem(X, y, loss, penalty).solve(tol=1e-9)
    assert result.certificate.holds and result.solver == "ActiveBounds"
    w, b = cp.Variable(12), cp.Variable()
    z = X @ w + b
    fit = cp.sum_squares(y - z) / 2
    if not loss.is_quadratic:
        fit = cp.sum(cp.logistic(z) - cp.multiply(y, z))
    inside = [w >= np.maximum(low, -1e3), w <= high]
    best = cp.Problem(cp.Minimize(fit / len(y) + strength * cp.norm1(w)), inside).solve("CLARABEL")
    assert result.certificate.objective == pytest.approx(best, rel=1e-6)
    assert (result.coef >= low).all() and (result.coef <= high).all()


def test_without_a_penalty_it_is_bounded_least_squares(table):
    X, y = table
    result = gs.Problem(
        X, y, gs.losses.Quadratic(), gs.Bounds(-0.3, 0.8), fit_intercept=False
    ).solve(tol=1e-12)
    np.testing.assert_allclose(result.coef, lsq_linear(X, y, (-0.3, 0.8)).x, atol=1e-6)


def test_bounds_that_are_not_reached_change_nothing(table):
    X, y = table
    lasso = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1)).solve(tol=1e-11)
    wide = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1) + gs.Bounds(-9, 9)).solve(tol=1e-11)
    np.testing.assert_allclose(wide.coef, lasso.coef, atol=1e-8)
    signed = gs.L1(0.1) + gs.Bounds(low=0)
    plain = gs.L1(0.1, nonnegative=True)
    ours, theirs = (gs.Problem(X, y, gs.losses.Quadratic(), p).solve(tol=1e-11)
                    for p in (signed, plain))  # fmt: skip
    np.testing.assert_allclose(ours.coef, theirs.coef, atol=1e-8)


def test_prox_distance_and_conjugate_by_brute_force(rng):
    penalty = gs.L1(0.4, weights=[1.0, 2.0, 0.0]) + gs.Bounds(-0.5, [0.3, 2.0, 1.0])
    highs = [0.3, 2.0, 1.0]
    for _ in range(20):
        v = 2 * rng.standard_normal(3)
        p = penalty.prox(v, 0.7)
        for j, (high, weight) in enumerate(zip(highs, (1, 2, 0), strict=True)):
            grid = np.linspace(-0.5, high, 4001)
            cost = (grid - v[j]) ** 2 / 1.4 + 0.4 * weight * np.abs(grid)
            assert abs(p[j] - grid[cost.argmin()]) < 2e-3
        assert penalty.subdiff_distance(p, (p - v) / 0.7).max() < 1e-12
        z = (v - p) / 0.7
        assert penalty.value(p) + penalty.conjugate(z) == pytest.approx(p @ z)


def test_wide_data_at_full_speed(rng):
    """No more iterations of the same solver than a few lassos."""
    X = rng.standard_normal((100, 2000))
    y = X[:, :10].sum(axis=1) + 0.5 * rng.standard_normal(100)
    penalty = gs.L1(0.1) + gs.Bounds(-0.5, 0.5)
    result = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(tol=1e-8)
    assert result.certificate.holds and result.solver == "ActiveBounds"
    assert np.isclose(np.abs(result.coef), 0.5).sum() >= 5


def test_refusals():
    with pytest.raises(ValueError, match="needs both bounds or none"):
        gs.Problem(np.eye(4), np.ones(4), gs.losses.Quadratic(), gs.Bounds(0))
    with pytest.raises(ValueError, match="low must be <= 0 and high >= 0"):
        gs.Bounds(0.5, 1.0)
    with pytest.raises(ValueError, match="without NaN"):
        gs.Bounds(np.nan)
    with pytest.raises(ValueError, match="low must be numbers"):
        gs.Bounds("a")
    with pytest.raises(ValueError, match="high has 2 entries, but there are 4 features"):
        gs.Problem(np.eye(4), np.ones(4), gs.losses.Quadratic(), gs.Bounds(0, [1.0, 2.0]))
