"""Methods of the catalogue keep their proven rates at every iteration."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs
from gossamer.core import UnsupportedProblem
from gossamer.solvers import catalogue
from gossamer.solvers.catalogue import cutting_planes
from gossamer.solvers.iterating import settled

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


@pytest.mark.parametrize("method", ["kelley", "level"])
@pytest.mark.parametrize("loss", [*LOSSES, gs.losses.LeastAbsolute(), gs.losses.Quantile(0.8)])
def test_cutting_planes_enclose_the_optimum(method, loss, rng):
    problem = problem_of(rng, loss, gs.L1Ball(1.5), fit_intercept=loss.is_smooth)
    least = _by_clarabel(problem, 1.5)
    trace = getattr(catalogue, method)(problem, 100)
    keeps_its_rate(trace, least - 1e-8)
    gap = trace.objective - trace.lower
    assert (trace.lower <= least + 1e-8).all() and (np.diff(trace.lower) >= 0).all()
    assert (np.diff(trace.objective) <= 0).all()
    assert gap[-1] < 1e-7 and np.abs(trace.w).sum() <= 1.5 * (1 + 1e-9)
    assert settled(problem, trace.w, np.zeros(1)).loss == pytest.approx(trace.objective[-1])
    if method == "level":
        assert (gap <= trace.bound).all()


def _by_clarabel(problem, radius):
    """The optimum by an interior-point method."""
    import cvxpy as cp

    X, y, s = problem.X, problem.y[:, 0], problem.sample_weight
    w, b = cp.Variable(X.shape[1]), cp.Variable() if problem.fit_intercept else 0.0
    z = X @ w + b
    each = {
        "Quadratic": lambda: cp.square(z - y) / 2,
        "Logistic": lambda: cp.logistic(z) - cp.multiply(y, z),
        "Huber": lambda: cp.huber(z - y, problem.loss.delta) / 2,
        "LeastAbsolute": lambda: cp.abs(z - y),
        "Quantile": lambda: cp.maximum(0.8 * (y - z), -0.2 * (y - z)),
    }[type(problem.loss).__name__]()
    programme = cp.Problem(cp.Minimize(s @ each), [cp.norm1(w) <= radius])
    accuracy = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-10)
    return programme.solve(solver="CLARABEL", **accuracy)


def test_level_steps_are_projections(rng):
    import cvxpy as cp

    for _ in range(5):
        cuts, here = rng.standard_normal((6, 10)), rng.dirichlet(np.ones(10))
        least, value = cutting_planes._least_of(cuts)
        assert value == pytest.approx((cuts @ least).max(), abs=1e-9)
        highest = value + 0.3 * ((cuts @ here).max() - value)
        shares = cp.Variable(10, nonneg=True)
        cp.Problem(
            cp.Minimize(cp.sum_squares(shares - here)),
            [cuts @ shares <= highest, cp.sum(shares) == 1],
        ).solve(solver="CLARABEL")
        found = cutting_planes._nearest_below(cuts, highest, here)
        np.testing.assert_allclose(found, shares.value, atol=1e-5)
        assert (cuts @ found).max() <= highest + 1e-12


def test_level_keeps_its_pace_in_a_loose_ball_where_kelley_loses_it(rng):
    steps = {}
    for p in (4, 8):
        problem = problem_of(rng, gs.losses.Quadratic(), gs.L1Ball(9.0), p=p)
        for method in (catalogue.kelley, catalogue.level):
            trace = method(problem, 200)
            small = trace.objective - trace.lower <= 1e-3 * problem.null_objective
            assert small[-1]
            steps[p, method] = int(small.argmax()) + 1
    assert steps[8, catalogue.kelley] > 2 * steps[4, catalogue.kelley]
    assert steps[8, catalogue.level] < 2 * steps[4, catalogue.level]


@pytest.mark.parametrize("method", [catalogue.kelley, catalogue.level])
def test_cutting_planes_stop_at_an_optimum(method, rng):
    X = rng.standard_normal((20, 3))
    for loss in (gs.losses.Quadratic(), gs.losses.LeastAbsolute()):
        problem = gs.Problem(X, np.zeros(20), loss, gs.L1Ball(1.0), fit_intercept=False)
        trace = method(problem, 5)
        np.testing.assert_array_equal(trace.objective, 0.0)
        np.testing.assert_array_equal(trace.lower, 0.0)


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
    absolute = problem_of(rng, gs.losses.LeastAbsolute(), gs.L1Ball(1.0))
    for problem in (counts, absolute):
        for method in (catalogue.kelley, catalogue.level):
            with pytest.raises(UnsupportedProblem, match="intercept"):
                method(problem, 3)
