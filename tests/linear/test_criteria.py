"""Degrees of freedom against finite differences of the predictions, and criteria by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

import gossamer as gs
from gossamer.linear import degrees_of_freedom

GROUPS = gs.Groups(np.arange(12) // 3)


@pytest.fixture
def table(rng):
    X = rng.standard_normal((40, 12))
    return X, X[:, 0] - 2 * X[:, 4] + rng.standard_normal(40)


@pytest.mark.parametrize(
    "penalty",
    [
        gs.L1(0.2),
        gs.ElasticNet(0.3, l1_ratio=0.5),
        gs.ElasticNet(0.3, l1_ratio=0.0),
        gs.L1(0.3, on=GROUPS),
        gs.L1(0.1) + gs.L1(0.2, on=GROUPS),
        gs.MCP(0.4, gamma=3.0),
        gs.SCAD(0.4, on=GROUPS),
    ],
    ids=repr,
)
def test_they_are_the_divergence_of_the_predictions(table, penalty):
    """Stein's: the sum over samples of d prediction_i / d y_i, where supports do not change."""
    X, y = table
    problem = gs.Problem(X, y, gs.losses.Quadratic(), penalty)
    result = problem.solve(tol=1e-12)
    h, divergence = 1e-4, 0.0
    for i in range(len(y)):
        ends = []
        for move in (h, -h):
            moved = y.copy()
            moved[i] += move
            other = gs.Problem(X, moved, gs.losses.Quadratic(), penalty)
            fit = other.solve(tol=1e-12, w0=result.coef, intercept0=result.intercept)
            assert ((fit.coef != 0) == (result.coef != 0)).all()
            ends.append(X[i] @ fit.coef + fit.intercept)
        divergence += (ends[0] - ends[1]) / (2 * h)
    # the intercept is one of its own; differences of order h^2, fits to about 1e-7
    found = degrees_of_freedom(problem, result.coef, result.intercept)
    assert found + 1 == pytest.approx(divergence, rel=2e-3)


def test_poisson_ridge_is_the_trace_of_the_weighted_smoother(rng):
    X = rng.standard_normal((60, 5))
    y = rng.poisson(np.exp(0.3 * X[:, 0]))
    problem = gs.Problem(
        X, y, gs.losses.Poisson(), gs.ElasticNet(0.2, l1_ratio=0.0), fit_intercept=False
    )
    result = problem.solve(tol=1e-10)
    H = (X * np.exp(X @ result.coef)[:, None]).T @ X / 60
    expected = np.trace(np.linalg.solve(H + 0.2 * np.eye(5), H))
    assert degrees_of_freedom(problem, result.coef) == pytest.approx(expected, rel=1e-5)


def test_several_outputs_share_a_row(rng):
    X, Y = rng.standard_normal((40, 6)), rng.standard_normal((40, 3))
    problem = gs.Problem(X, Y, gs.losses.Quadratic(), gs.L1(0.05, on=gs.Rows()))
    result = problem.solve(tol=1e-12)
    alive = np.flatnonzero(result.coef.any(axis=1))
    found = degrees_of_freedom(problem, result.coef, result.intercept)
    assert len(alive) < found < 3 * len(alive)


def test_gcv_is_that_of_ridge_regression(table):
    """scikit-learn's GCV of ridge chooses by the mean of (residual / (1 - df / n))^2."""
    X, y = table
    X, y = X - X.mean(axis=0), y - y.mean()
    alphas = np.geomspace(1e-3, 1.0, 12)
    model = gs.ElasticNetCV(l1_ratio=0.0, alphas=alphas, selection="gcv", fit_intercept=False)
    model.fit(X, y)
    scores = []
    for alpha in model.alphas_:
        hat = X @ np.linalg.solve(X.T @ X + 40 * alpha * np.eye(12), X.T)
        scores.append(0.5 * ((y - hat @ y) ** 2).mean() / (1 - np.trace(hat) / 40) ** 2)
    np.testing.assert_allclose(model.cv_results_.mean, scores, rtol=1e-5)
    reference = RidgeCV(40 * alphas, fit_intercept=False, gcv_mode="eigen").fit(X, y)
    assert abs(np.log(reference.alpha_ / 40 / model.alpha_)) < 1.0


@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic", "gic", "gcv"])
def test_a_group_lasso_is_not_charged_for_every_coefficient(table, criterion):
    """Shrunk groups have fewer degrees of freedom than coefficients: less is charged."""
    X, y = table
    model = gs.GroupLassoCV(groups=np.arange(12) // 3, selection=criterion).fit(X, y)
    assert np.isfinite(model.cv_results_.mean).any()
    assert model.cv_results_.score_name == criterion.upper()
    assert (model.coef_[3:6] != 0).all()


def test_unknown_criterion(table):
    with pytest.raises(ValueError, match="selection must be one of min, 1se, aic"):
        gs.LassoCV(selection="cp").fit(*table)
