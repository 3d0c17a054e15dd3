"""The method of multipliers against linear programmes, scikit-learn and smooth losses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import linprog

from gossamer.core import Problem
from gossamer.losses import Hinge, Huber, LeastAbsolute, MoreauEnvelope, Quantile
from gossamer.penalties import L1, MCP
from gossamer.solvers import MethodOfMultipliers
from gossamer.structures import Groups, Rows
from gossamer.testing import apply, laws_of


def _design(rng, n, p, correlation):
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    return X


def _by_linear_programme(problem):
    """The optimum with L1 on elements: w = u - v, residual = above - below the kink."""
    X, s = problem.X, problem.sample_weight
    X = X.toarray() if sparse.issparse(X) else X
    kink, left, right = (line[:, 0] for line in problem.loss.lines(problem.y))
    offset = 0.0 if problem.offset is None else problem.offset[:, 0]
    n, p = X.shape
    ones = np.ones((n, 1)) * problem.fit_intercept
    strength = np.full(p, problem.penalty.strength)
    cost = np.concatenate([strength, strength, [0.0, 0.0], s * right, -s * left])
    rows = np.hstack([X, -X, ones, -ones, -np.eye(n), np.eye(n)])
    found = linprog(cost, A_eq=rows, b_eq=kink - offset, method="highs")
    assert found.success
    return found.fun


CASES = {
    "tall": (300, 20, 0.0, {}),
    "wide": (60, 200, 0.0, {}),
    "correlated": (80, 120, 0.95, {}),
    "weights": (120, 40, 0.5, {"weights": True}),
    "offset": (120, 40, 0.5, {"offset": True}),
    "no intercept": (120, 40, 0.5, {"fit_intercept": False}),
    "sparse": (150, 60, 0.0, {"sparse": True}),
}


@pytest.mark.parametrize("loss", [Quantile(0.5), Quantile(0.9), LeastAbsolute(), Hinge()], ids=repr)
@pytest.mark.parametrize("case", CASES)
def test_against_a_linear_programme(loss, case, rng):
    """With noise that has no variance."""
    n, p, correlation, options = CASES[case]
    X = _design(rng, n, p, correlation)
    y = X[:, :4] @ [2.0, -1.0, 1.0, 0.5] + rng.standard_t(1.5, n)
    if loss.classifies:
        y = (y > 0).astype(float)
    if options.get("sparse"):
        X[rng.random(X.shape) < 0.8] = 0.0
        X = sparse.csc_array(X)
    problem = Problem(
        X, y, loss, L1(1.0), fit_intercept=options.get("fit_intercept", True),
        sample_weight=rng.integers(0, 4, n) if "weights" in options else None,
        offset=rng.standard_normal(n) if "offset" in options else None,
    )  # fmt: skip
    for share in (0.5, 0.05):
        one = problem.with_penalty(L1(share * problem.strength_max()))
        result = one.solve(tol=1e-9)
        assert result.solver == "MethodOfMultipliers"
        assert result.certificate.holds
        least = _by_linear_programme(one)
        # both ends of the bracket: HiGHS is feasible to 1e-7
        assert abs(result.certificate.objective - least) <= 1e-7 * one.null_objective


def test_against_scikit_learn(rng):
    from sklearn.linear_model import QuantileRegressor

    X = _design(rng, 100, 10, 0.3)
    y = X[:, 0] + rng.standard_normal(100)
    for level in (0.2, 0.5):
        ours = Problem(X, y, Quantile(level), L1(0.02)).solve(tol=1e-10)
        theirs = QuantileRegressor(quantile=level, alpha=0.02).fit(X, y)
        np.testing.assert_allclose(ours.coef, theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=1e-6)


def test_the_null_model_is_the_quantile(rng):
    y = rng.standard_cauchy(201)
    s = rng.integers(0, 4, 201)
    X = rng.standard_normal((201, 3))
    for level in (0.1, 0.5, 0.9):
        result = Problem(X, y, Quantile(level), L1(1e3), sample_weight=s).solve()
        expected = np.quantile(y, level, weights=s, method="inverted_cdf")
        assert result.intercept == expected
        assert not result.coef.any()


def test_outputs_are_fitted_one_by_one(rng):
    X = rng.standard_normal((80, 12))
    Y = np.stack([X[:, 0], X[:, 1] - X[:, 0], np.zeros(80)], axis=1)
    Y += rng.standard_t(2.0, Y.shape)
    for loss in (Quantile(0.7), LeastAbsolute(), Huber(0.5)):
        together = Problem(X, Y, loss, L1(0.05)).solve(tol=1e-10)
        for k in range(3):
            alone = Problem(X, Y[:, k], loss, L1(0.05)).solve(tol=1e-10)
            np.testing.assert_allclose(together.coef[:, k], alone.coef, atol=1e-6)
        rows = Problem(X, Y, loss, L1(0.1, on=Rows())).solve(tol=1e-8)
        alive = rows.coef != 0
        assert rows.certificate.holds
        assert (alive.any(axis=1) == alive.all(axis=1)).all()


def test_groups_and_penalties_that_are_not_convex(rng):
    """The dual point proves groups; of MCP it says how far from stationary the point is."""
    X = rng.standard_normal((120, 30))
    y = X[:, :3] @ [2.0, -1.0, 1.0] + rng.standard_t(2.0, 120)
    groups = Groups(np.arange(30) // 3)
    result = Problem(X, y, LeastAbsolute(), L1(0.3, on=groups)).solve(tol=1e-9)
    assert result.certificate.holds
    assert result.certificate.kind == "global"
    np.testing.assert_array_equal(result.certificate.support, [0])
    biased = Problem(X, y, LeastAbsolute(), L1(0.2)).solve(tol=1e-9)
    result = Problem(X, y, LeastAbsolute(), MCP(0.2)).solve(tol=1e-9)
    assert result.certificate.holds
    assert result.certificate.kind == "critical"
    assert np.abs(result.coef[0] - 2.0) < np.abs(biased.coef[0] - 2.0)


def test_short_steps_leave_the_slopes_in_bounds(rng):
    """Beside predictions of 1e4 a step of 1e-7 is at the ninth digit."""
    kink = 1e4 * rng.standard_normal((50, 1))
    envelope = MoreauEnvelope(Quantile(0.9), 1e-7)
    slopes = envelope.gradient(kink + rng.uniform(-1, 1, kink.shape), kink)
    assert np.isin(slopes, [1 - 0.9, -0.9]).all()
    assert np.isfinite(envelope.conjugate(slopes, kink)).all()


@pytest.mark.parametrize("noise", [1e-6, 1e-4])
def test_samples_a_little_beside_their_kinks(noise, rng):
    """Their multipliers have far to go, in steps of the distance over the envelope's width."""
    X = rng.standard_normal((60, 12))
    y = X[:, :2] @ [1.0, -1.0] + noise * rng.standard_normal(60)
    for level in (0.5, 0.9):
        result = Problem(X, y, Quantile(level), L1(1e-4)).solve(tol=1e-9)
        assert result.certificate.holds


def test_a_far_point_is_not_certified(rng):
    """Neither violation nor slack may vanish away from the optimum of a penalty that is flat."""
    X = rng.standard_normal((80, 10))
    y = X[:, 0] + rng.standard_normal(80)
    problem = Problem(X, y, Quantile(0.5), MCP(0.05))
    assert not problem.certificate(rng.standard_normal(10), 0.3).holds


@pytest.mark.parametrize("loss", [LeastAbsolute(), Quantile(0.3), Hinge()], ids=repr)
@pytest.mark.parametrize("step", [0.1, 2.0])
def test_the_envelope_is_a_loss(loss, step):
    envelope = MoreauEnvelope(loss, step)
    for law in laws_of(envelope):
        if law.__name__ not in ("copies", "coupling_is_known"):
            apply(law, envelope)


def test_the_envelope_of_absolute_values_is_hubers(rng):
    z, y = rng.standard_normal((2, 50, 1))
    envelope, huber = MoreauEnvelope(LeastAbsolute(), 0.7), Huber(0.7)
    for method in ("value", "gradient", "curvature"):
        found = getattr(envelope, method)(z, y)
        np.testing.assert_allclose(0.7 * found, getattr(huber, method)(z, y), atol=1e-12)
    for shift in (0.0, 3.0):
        expected = huber.best_shift(z + shift, y, np.full(50, 0.02))
        found = envelope.best_shift(z + shift, y, np.full(50, 0.02))
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("loss", [LeastAbsolute(), Quantile(0.3), Hinge()], ids=repr)
def test_prox_against_a_grid(loss, rng):
    v = 3 * rng.standard_normal((20, 1))
    y = rng.integers(0, 2, (20, 1)).astype(float)
    grid = np.linspace(-12, 12, 240_001)[None, :]
    for step in (0.1, 1.0, 5.0):
        kink, left, right = loss.lines(y)
        value = np.maximum(left * (grid - kink), right * (grid - kink))
        best = grid[0, np.argmin(value + (grid - v) ** 2 / (2 * step), axis=1)]
        np.testing.assert_allclose(loss.prox(v, step, y)[:, 0], best, atol=1e-4)


def test_smooth_losses_are_refused():
    problem = Problem(np.eye(3), [1.0, 2.0, 3.0], Huber(), L1(0.1))
    assert "straight lines" in MethodOfMultipliers().refuses(problem)
