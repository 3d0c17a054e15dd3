"""Random problems of all kinds: the two exact solvers agree, and neither claims what is not so."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from hard_designs import at, honest, proven_gap, target
from scipy import sparse

from gossamer.core import Problem
from gossamer.losses import Huber, Logistic, Multinomial, Poisson, Quadratic
from gossamer.penalties import L1, MCP, SCAD, ElasticNet, LogSum, Lq
from gossamer.structures import Elements, Groups, Rows
from gossamer.testing.problems import Explicit

TOL = 1e-8
LOSSES = (Quadratic(), Quadratic(), Huber(0.5), Logistic(), Poisson(), Multinomial())
CONVEX = (L1, L1, functools.partial(ElasticNet, l1_ratio=0.5))
NOT_CONVEX = (MCP, SCAD, functools.partial(Lq, q=0.5), functools.partial(LogSum, epsilon=0.1))


def random_problem(seed: int, shapes: tuple, plain: bool = False) -> Problem:
    """Of 2 to 60 samples and 1 to 80 features, some of them copies, sums, constant or zero.

    plain : equal weights, nothing free, no offset, one penalty: what ``references`` knows.
    """
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(6, 61)), int(rng.integers(1, 81))
    X = rng.standard_normal((n, p)) * 10.0 ** rng.uniform(-1, 1, p) + rng.integers(0, 2, p)
    X[rng.random(X.shape) < 0.3 * rng.integers(0, 3)] = 0.0
    for _ in range(p // 4):
        new, old, other = rng.integers(0, p, 3)
        X[:, new] = rng.choice([1.0, -1.0]) * X[:, old] + rng.integers(0, 2) * X[:, other]
    X[:, rng.random(p) < 0.05] = rng.integers(0, 2)
    loss: Any = LOSSES[seed % len(LOSSES)]
    y = target(loss, X[:, : max(1, p // 5)].sum(axis=1) + 0.5 * rng.standard_normal(n))
    if loss.is_quadratic and rng.random() < 0.3:
        y = np.column_stack([y, rng.standard_normal(n), X[:, 0]])
    if loss.classifies and not plain:
        y[:2] = y.min(), y.max()
    arguments: dict[str, Any] = {
        "fit_intercept": bool(rng.random() < 0.7), "standardise": bool(rng.random() < 0.3)
    }  # fmt: skip
    if not plain and rng.random() < 0.3:
        arguments["sample_weight"] = np.append([1, 1], rng.integers(0, 3, n - 2))
    if not plain and not loss.coupled and rng.random() < 0.2:
        arguments["offset"] = 0.3 * rng.standard_normal(y.shape)
    stored = sparse.csc_array(X) if rng.random() < 0.3 else X
    shape = (p, y.max() + 1 if loss.coupled else 1 if y.ndim == 1 else y.shape[1])
    penalty = _penalty(rng, shapes, shape, plain, loss.classifies)
    problem = Problem(stored, y, loss, penalty, **arguments)
    return at(problem, float(rng.choice([0.7, 0.2, 0.02, 1e-3])))


def _penalty(
    rng: np.random.Generator, shapes: tuple, shape: tuple, plain: bool, classifies: bool
) -> Any:
    labels = rng.integers(0, max(1, shape[0] // 3), shape[0])
    labels = np.unique(labels, return_inverse=True)[1]
    on = (Elements(), Groups(labels), Rows())[rng.integers(3)]
    if plain and shape[1] > 1:
        on = Rows()
    weights = None
    if rng.random() < 0.3:
        weights = rng.choice([0.5, 1.0, 3.0], on.units(shape).count)
        if not (plain or classifies):  # free features may separate classes
            weights[0] = rng.choice([0.0, 1.0])
    kind = shapes[rng.integers(len(shapes))]
    penalty = kind(1.0, on=on, weights=weights, nonnegative=bool(rng.random() < 0.2))
    return penalty if plain or rng.random() < 0.8 else penalty + L1(0.3)


def agree_where_convex(seed: int) -> None:
    problem = random_problem(seed, CONVEX)
    null = problem.null_objective
    newton = honest(problem, TOL, "ActiveSetNewton")
    assert newton.certificate.holds
    descent = honest(problem, TOL, "CoordinateDescent")
    values = [result.certificate.objective for result in (newton, descent)]
    assert abs(values[0] - values[1]) <= 1.01 * max(descent.certificate.value, TOL) * null
    explicit, scale = Explicit.of(problem), problem.design.scale
    w = newton.coef.reshape(problem.shape)
    w = w if scale is None else w * scale[:, None]
    written = explicit.objective(w, np.reshape(newton.intercept, problem.shape[1]))
    assert written == pytest.approx(values[0], abs=1e-10 * (null + abs(written)))


def keep_their_word(seed: int) -> None:
    """Without convexity they may end apart; each end is what it says."""
    problem = random_problem(seed, NOT_CONVEX)
    is_weak = problem.penalty.strength < 0.01 * problem.strength_max()
    # cycles alone would take their time there
    for solver in ("ActiveSetNewton",) if is_weak else ("ActiveSetNewton", "CoordinateDescent"):
        result = honest(problem, 1e-6, solver)
        assert result.certificate.kind in ("critical", "coordinate-wise")
        # flat penalties leave separable classes, and counts of zero, without an optimum
        has_optimum = not (problem.loss.classifies or isinstance(problem.loss, Poisson))
        may_stop = solver == "CoordinateDescent" or not has_optimum
        assert result.certificate.holds or may_stop


def gap_is_the_independent_one(seed: int) -> None:
    problem = random_problem(seed, CONVEX, plain=True)
    result = honest(problem, TOL)
    if problem.penalty.strength == 0:  # nothing correlates with the target
        return
    assert abs(proven_gap(problem, result) - result.certificate.value) <= TOL / 10


CHECKS = (agree_where_convex, keep_their_word, gap_is_the_independent_one)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("check", CHECKS)
def test_random_problems(check: Any, seed: int) -> None:
    check(seed)


# no curvature at the start; a line search that went where exponentials overflow
BROKE = [(keep_their_word, 1226), (keep_their_word, 2230)]


@pytest.mark.parametrize(("check", "seed"), BROKE)
def test_problems_that_broke_a_solver(check: Any, seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
@pytest.mark.parametrize("check", CHECKS)
def test_many_random_problems(check: Any, block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        check(seed)
