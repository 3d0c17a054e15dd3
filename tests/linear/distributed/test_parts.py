"""Rows in parts that never meet: the optimum is that of all rows in one array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gossamer as gs
from gossamer.core.errors import UnsupportedProblem
from gossamer.linear.distributed.part import Part
from gossamer.linear.distributed.partitions import ReadParts
from gossamer.linear.distributed.problem import SummedProblem

N, P = 800, 24
GROUPS = gs.Groups(np.arange(P) // 3)
FREE = np.where(np.isin(np.arange(P), (3, 4)), 0.0, 1.0)

LOSSES = [gs.losses.Logistic(), gs.losses.Poisson(), gs.losses.Huber(), gs.losses.Quadratic()]
PENALTIES = [
    gs.L1(0.03),
    gs.L1(0.0005),
    gs.L1(0.02, on=GROUPS),
    gs.MCP(0.08),
    gs.L1(0.03, weights=FREE),
    gs.L1(0.02, weights=FREE, nonnegative=True),
    gs.L1(0.01) + gs.L1(0.02, on=GROUPS),
    gs.ElasticNet(0.05, l1_ratio=0.5),
]


def target_of(loss: Any, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    match type(loss).__name__:
        case "Logistic":
            return (z + rng.logistic(size=len(z)) > 0).astype(float)
        case "Poisson":
            return rng.poisson(np.exp(z / 3)).astype(float)
        case _:
            return z + rng.standard_t(3, size=len(z))


@pytest.fixture(name="X")
def rows_of_numbers(rng: np.random.Generator) -> np.ndarray:
    X = rng.standard_normal((N, P)) + 0.5
    X[:, 5] *= 10
    X[:, 8] = 1.0
    return X


def in_parts(
    X: np.ndarray, y: Any, loss: Any, penalty: Any, weights: Any, offset: Any = None, **options: Any
) -> SummedProblem:
    y = loss.encode(y)
    cuts = [slice(0, 1), slice(1, 500), slice(500, len(X))]
    parts = [
        Part(X[rows], y[rows], weights[rows], None if offset is None else offset[rows])
        for rows in cuts
    ]
    return SummedProblem(ReadParts(parts, lambda part: part, P, 1), None, loss, penalty, **options)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("penalty", PENALTIES, ids=str)
@pytest.mark.parametrize("how", [(True, False), (True, True), (False, True)], ids=str)
def test_the_optimum_is_that_of_one_array(
    X: np.ndarray, loss: Any, penalty: Any, how: tuple[bool, bool], rng: np.random.Generator
) -> None:
    options = {"fit_intercept": how[0], "standardise": how[1]}
    y = target_of(loss, X[:, 0] - 0.1 * X[:, 5] + 0.5 * X[:, 7] - 0.3, rng)
    weights = rng.random(N) * (rng.random(N) > 0.1)
    offset = 0.1 * rng.standard_normal((N, 1))
    problem = in_parts(X, y, loss, penalty, weights, offset, **options)
    result = problem.solve(tol=1e-11)
    one = gs.Problem(X, y, loss, penalty, sample_weight=weights, offset=offset, **options)
    expected = one.solve(tol=1e-11)
    # gaps of 1e-11 leave coefficients free by their root where curvature is of order one
    assert result.coef == pytest.approx(expected.coef, abs=3e-5)
    assert result.intercept == pytest.approx(expected.intercept, abs=3e-4)
    found, known = result.certificate, expected.certificate
    assert found.objective == pytest.approx(known.objective, abs=1e-10)
    assert found.holds and found.kind == known.kind
    # the certificate that one array gives to the same point agrees
    judged = one.certificate(result.coef, result.intercept, tol=1e-9)
    assert judged.holds and judged.objective == pytest.approx(found.objective, abs=1e-12)
    assert problem.strength_max() == pytest.approx(one.strength_max(), rel=1e-9)


def test_what_travels_is_no_longer_than_columns(X: np.ndarray, rng: np.random.Generator) -> None:
    loss = gs.losses.Logistic()
    y = target_of(loss, X[:, 0], rng)
    problem = in_parts(X, y, loss, gs.L1(0.05), np.ones(N))
    problem.solve()
    traffic = problem.X.traffic
    assert 0 < traffic.rounds < 60
    # a Gram matrix of the working columns at most; rows would be 800 numbers each
    assert traffic.answered < traffic.rounds * (8 * (P + 1) ** 2 + 500)


def test_what_does_not_sum_over_rows_is_refused(X: np.ndarray) -> None:
    with pytest.raises(UnsupportedProblem, match="sums over rows of one output"):
        in_parts(X, np.arange(N) % 3, gs.losses.Multinomial(), gs.L1(0.1), np.ones(N))
    problem = in_parts(X, X[:, 0], gs.losses.Huber(), gs.L1(0.1), np.ones(N))
    with pytest.raises(UnsupportedProblem, match="solver='auto'"):
        problem.solve("CoordinateDescent")
    with pytest.raises(ValueError, match="zero for all rows"):
        in_parts(X, X[:, 0], gs.losses.Huber(), gs.L1(0.1), np.zeros(N)).solve()


def test_a_column_of_nan_is_named(X: np.ndarray) -> None:
    X[600, 3] = np.nan
    with pytest.raises(ValueError, match="column 3"):
        in_parts(X, X[:, 0] > 0, gs.losses.Logistic(), gs.L1(0.1), np.ones(N)).solve()


def test_a_warm_start_needs_few_rounds(X: np.ndarray, rng: np.random.Generator) -> None:
    loss = gs.losses.Poisson()
    y = target_of(loss, X[:, 0], rng)
    problem = in_parts(X, y, loss, gs.L1(0.02), np.ones(N))
    first = problem.solve(tol=1e-8)
    again = problem.solve(w0=first.coef, intercept0=first.intercept, tol=1e-8)
    assert again.n_iter == 0
    assert problem.solve(w0=first.coef, tol=1e-8).coef == pytest.approx(first.coef, abs=1e-6)
