"""Methods of the catalogue keep their proven rates at every iteration."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs
from gossamer.core import UnsupportedProblem
from gossamer.solvers import catalogue

LOSSES = (gs.losses.Quadratic(), gs.losses.Logistic(), gs.losses.Huber())


def problem_of(rng, loss, ball, n=80, p=12, fit_intercept=True):
    X = rng.standard_normal((n, p)) * np.linspace(0.5, 1.5, p)
    y = X[:, :3] @ [2.0, -1.5, 1.0] + rng.standard_normal(n)
    y = y > 0 if loss.classifies else y
    return gs.Problem(X, y, loss, ball, fit_intercept=fit_intercept)


def keeps_its_rate(trace, least):
    measured = trace.objective - least
    assert (measured >= -1e-9).all()
    assert (measured <= trace.bound + 1e-12).all()


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("method", ["fista", "frank_wolfe", "mirror_descent", "ellipsoid"])
def test_rates_on_elements(method, loss, rng):
    p = 5 if method == "ellipsoid" else 12
    problem = problem_of(rng, loss, gs.L1Ball(1.5), p=p)
    least = problem.solve("proximalgradient", tol=1e-10).certificate.objective
    trace = getattr(catalogue, method)(problem, 300)
    keeps_its_rate(trace, least)
    assert np.abs(trace.w).sum() <= 1.5 * (1 + 1e-9)


@pytest.mark.parametrize("method", ["fista", "frank_wolfe"])
def test_rates_on_groups(method, rng):
    groups = gs.Groups([0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3])
    ball = gs.L1Ball(1.5, on=groups, weights=[1.0, 2.0, 0.5, 1.0])
    problem = problem_of(rng, gs.losses.Quadratic(), ball)
    least = problem.solve("proximalgradient", tol=1e-10).certificate.objective
    keeps_its_rate(getattr(catalogue, method)(problem, 300), least)


def test_away_steps_are_linear_where_frank_wolfe_is_not(rng):
    problem = problem_of(rng, gs.losses.Quadratic(), gs.L1Ball(2.0))
    least = problem.solve("proximalgradient", tol=1e-13).certificate.objective
    away, towards = (f(problem, 300) for f in (catalogue.away_steps, catalogue.frank_wolfe))
    keeps_its_rate(away, least)
    assert away.objective[-1] - least < 1e-9
    assert towards.objective[-1] - least > 1e-6


def test_mirror_prox_keeps_its_rate(rng):
    loss = gs.losses.LeastAbsolute()
    problem = problem_of(rng, loss, gs.L1Ball(1.5), fit_intercept=False)
    trace = catalogue.mirror_prox(problem, 2000)
    keeps_its_rate(trace, _least_absolute(problem, 1.5))


def _least_absolute(problem, radius):
    """By linear programming."""
    from scipy.optimize import linprog

    n, p = problem.X.shape
    X, y = problem.X, problem.y[:, 0]
    wide = np.hstack([X, -X])
    upper = np.vstack([
        np.hstack([wide, -np.eye(n)]), np.hstack([-wide, -np.eye(n)]),
        np.append(np.ones(2 * p), np.zeros(n))[None],
    ])  # fmt: skip
    cost = np.append(np.zeros(2 * p), problem.sample_weight)
    return linprog(cost, upper, np.concatenate([y, -y, [radius]])).fun


def test_refusals(rng):
    lasso = problem_of(rng, gs.losses.Quadratic(), gs.L1(0.1))
    for name in catalogue.__all__[1:]:
        with pytest.raises(UnsupportedProblem, match=name):
            getattr(catalogue, name)(lasso, 3)
    groups = problem_of(rng, gs.losses.Quadratic(), gs.L1Ball(1.0, on=gs.Groups([0, 1] * 6)))
    with pytest.raises(UnsupportedProblem, match="single coefficients"):
        catalogue.mirror_descent(groups, 3)
    counts = gs.Problem(lasso.X, np.arange(80), gs.losses.Poisson(), gs.L1Ball(1.0))
    with pytest.raises(UnsupportedProblem, match="curvature"):
        catalogue.frank_wolfe(counts, 3)
    with pytest.raises(UnsupportedProblem, match="quadratic"):
        catalogue.away_steps(problem_of(rng, gs.losses.Huber(), gs.L1Ball(1.0)), 3)
