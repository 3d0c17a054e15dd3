"""Whole paths on hard designs: every certificate, every strength, and the worth of a warm start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hard_designs import SOLVERS, at, design, proven_gap, target
from scipy import sparse
from sklearn.model_selection import KFold

import gossamer as gs
from gossamer.core import Problem, Result, Status
from gossamer.linear.path import solve_along, solve_path, strength_grid
from gossamer.losses import Huber, Logistic, Multinomial, Poisson, Quadratic
from gossamer.penalties import L1, MCP, SCAD, ElasticNet
from gossamer.structures import Groups, Rows

TOL = 1e-6


def path_of(problem: Problem, n: int, ratio: float, **options: Any) -> tuple[np.ndarray, list]:
    """Strengths and results."""
    grid = strength_grid(problem, n, ratio)
    options = {"tol": TOL, "max_iter": 1000} | options
    return grid, list(solve_along(problem, grid, **options))


def at_strength(problem: Problem, strength: float) -> Problem:
    return problem.with_penalty(problem.penalty.with_strength(strength))


def problem_of(name: str, loss: Any, penalty: Any, **options: Any) -> Problem:
    X, y = design(name)
    return Problem(X, target(loss, y), loss, penalty, **options)


TRIPLES = Groups(np.arange(40) // 3)
CONVEX = [
    ("plain", Quadratic(), L1(1.0)),
    ("duplicated", Quadratic(), L1(1.0)),
    ("wide", Quadratic(), L1(1.0)),
    ("wide", Quadratic(), ElasticNet(1.0, 0.5)),
    ("meats", Quadratic(), L1(1.0)),
    ("autoregressive 0.99", Quadratic(), L1(1.0)),
    ("plain", Quadratic(), L1(1.0, on=TRIPLES)),
    ("plain", Quadratic(), L1(1.0, nonnegative=True)),
    ("plain", Logistic(), L1(1.0, on=TRIPLES)),
    ("wide", Logistic(), L1(1.0)),
    ("plain", Multinomial(), L1(1.0)),
    ("plain", Multinomial(), L1(1.0, on=Rows())),
    ("plain", Poisson(), L1(1.0)),
    ("plain", Huber(0.5), L1(1.0)),
]


@pytest.mark.parametrize(("name", "loss", "penalty"), CONVEX)
def test_a_hundred_strengths(name: str, loss: Any, penalty: Any) -> None:
    """Every certificate holds, and each tenth is confirmed by the formulas of ``references``."""
    problem = problem_of(name, loss, penalty)
    grid, results = path_of(problem, 100, 1e-3)
    assert len(results) == 100
    assert all(result.status is Status.CONVERGED for result in results)
    for strength, result in list(zip(grid, results, strict=True))[::10]:
        assert proven_gap(at_strength(problem, strength), result) <= TOL + 1e-12
    objectives = [result.certificate.objective for result in results]
    # the least objective falls with the strength; each is known to the tolerance
    assert (np.diff(objectives) <= TOL * problem.null_objective).all()


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("name", "loss", "penalty"), CONVEX)
def test_a_path_is_its_single_solves(name: str, loss: Any, penalty: Any, solver: str) -> None:
    """The same optima, for no more iterations."""
    problem = problem_of(name, loss, penalty)
    grid, warm = path_of(problem, 20, 0.05, solver=solver)
    cold = [at_strength(problem, strength).solve(solver, tol=TOL) for strength in grid]
    for one, other in zip(warm, cold, strict=True):
        difference = one.certificate.objective - other.certificate.objective
        assert abs(difference) <= TOL * problem.null_objective
    assert sum(result.n_iter for result in warm) <= sum(result.n_iter for result in cold)


@pytest.mark.parametrize("form", [sparse.csc_array, np.ascontiguousarray, np.float32])
def test_a_path_in_another_store(form: Any) -> None:
    X, y = design("plain")
    X = np.where(X > 0.5, np.round(X, 1), 0.0).astype(np.float32)
    penalty = L1(1.0, weights=1.0 + np.arange(40) % 3)
    options = {"standardise": True, "sample_weight": 1.0 + np.arange(60) % 2}
    for loss in (Quadratic(), Logistic()):
        plain = Problem(X.astype(float), target(loss, y), loss, penalty, **options)
        stored = Problem(form(X), target(loss, y), loss, penalty, **options)
        _, expected = path_of(plain, 20, 0.01, tol=1e-9)
        for one, other in zip(path_of(stored, 20, 0.01, tol=1e-9)[1], expected, strict=True):
            assert one.certificate.objective == pytest.approx(
                other.certificate.objective, abs=2e-9 * plain.null_objective
            )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["plain", "duplicated", "wide", "equicorrelated 0.9"])
@pytest.mark.parametrize("penalty", [MCP(1.0), SCAD(1.0), MCP(1.0, on=Rows())], ids=repr)
def test_paths_that_are_not_convex(name: str, penalty: Any, solver: str) -> None:
    """Stationary at every strength, and coordinate-wise optimal at most of them."""
    problem = problem_of(name, Quadratic(), penalty)
    _, results = path_of(problem, 50, 0.02, solver=solver)
    assert all(result.status is Status.CONVERGED for result in results)
    kinds = [result.certificate.kind for result in results]
    assert set(kinds) <= {"coordinate-wise", "critical"}
    assert kinds.count("coordinate-wise") > 40
    assert not results[0].coef.any() and results[-1].coef.any()


def test_a_convex_penalty_in_the_limit() -> None:
    """MCP and SCAD with a huge gamma are L1, along the whole path."""
    X, y = design("plain")
    _, expected = path_of(Problem(X, y, Quadratic(), L1(1.0)), 30, 0.01)
    for penalty in (MCP(1.0, 1e9), SCAD(1.0, 1e9)):
        _, results = path_of(Problem(X, y, Quadratic(), penalty), 30, 0.01)
        for one, other in zip(results, expected, strict=True):
            np.testing.assert_allclose(one.coef, other.coef, atol=1e-4)


@pytest.mark.parametrize("penalty", [L1(1.0), L1(1.0, on=Rows()), MCP(1.0)], ids=repr)
def test_a_path_ends_where_the_data_are_fitted(penalty: Any) -> None:
    X, y = design("wide")
    Y = np.column_stack([y, X[:, 7]]) if isinstance(penalty.on, Rows) else y
    problem = Problem(X, Y, Quadratic(), penalty)
    grid = strength_grid(problem, 100, 1e-4)
    results = list(solve_along(problem, grid, tol=TOL, max_iter=1000, stop_saturated=True))
    left = [
        problem.point(result.coef, result.intercept).loss / problem.null_objective
        for result in results
    ]
    assert len(results) < 100
    assert left[-1] <= 1e-3 < left[-2]


def test_a_path_goes_on_after_a_miss() -> None:
    """Where one iteration is too few, the next strength starts from there all the same."""
    problem = problem_of("autoregressive 0.99", Logistic(), L1(1.0))
    with pytest.warns(gs.ConvergenceWarning, match="of 5 strengths"):
        path = solve_path(problem, strength_grid(problem, 5, 1e-3), tol=1e-12, max_iter=1)
    assert len(path.certificates) == 5
    for strength, coef, intercept, certificate in zip(
        path.alphas, path.coefs, path.intercepts, path.certificates, strict=True
    ):
        again = at_strength(problem, strength).certificate(coef, intercept)
        assert again.value == pytest.approx(certificate.value, rel=1e-6, abs=1e-12)


# -- folds


FOLDS = [
    (Quadratic(), L1(1.0), {"standardise": True}),
    (Quadratic(), L1(1.0, on=TRIPLES), {}),
    (Quadratic(), MCP(1.0), {"standardise": True}),
    (Logistic(), L1(1.0, on=TRIPLES), {"standardise": True}),
    (Logistic(), L1(1.0), {"fit_intercept": False}),
    (Poisson(), ElasticNet(1.0, 0.5), {}),
    (Huber(0.5), L1(1.0), {}),
]


@pytest.mark.parametrize("form", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize(("loss", "penalty", "options"), FOLDS)
def test_a_fold_is_a_fit_on_its_samples(loss: Any, penalty: Any, options: dict, form: Any) -> None:
    """X is not copied for a fold; its scores are those of a fit on a copy of its rows."""
    X, y = design("plain")
    y, weights = target(loss, y), 1.0 + np.arange(60) % 3
    splitter = KFold(4, shuffle=True, random_state=1)
    model = gs.SparseModelCV(
        loss, penalty, n_alphas=10, alpha_min_ratio=0.05, cv=splitter, tol=1e-12, **options
    ).fit(form(X), y, sample_weight=weights)
    for k, (train, test) in enumerate(splitter.split(X)):
        problem = Problem(X[train], y[train], loss, penalty, sample_weight=weights[train],
                          **options)  # fmt: skip
        results = solve_along(problem, model.cv_results_.alphas, tol=1e-12, max_iter=1000)
        curve = [held_out_loss(loss, X[test], y[test], weights[test], r) for r in results]
        np.testing.assert_allclose(model.cv_results_.folds[:, k], curve, atol=1e-7, rtol=1e-6)


def held_out_loss(
    loss: Any, X: np.ndarray, y: np.ndarray, weights: np.ndarray, result: Result
) -> float:
    z = (X @ result.coef + result.intercept)[:, None]
    return float(np.average(loss.value(z, loss.encode(y)), weights=weights))


def test_a_single_strength_is_a_path_of_one() -> None:
    problem = at(problem_of("plain", Quadratic(), L1(1.0)), 0.1)
    strength = problem.penalty.strength
    (alone,) = solve_along(problem, np.array([strength]), tol=1e-10, max_iter=1000)
    np.testing.assert_allclose(alone.coef, problem.solve(tol=1e-10).coef, atol=1e-8)
