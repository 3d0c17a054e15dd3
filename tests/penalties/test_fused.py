"""Total variation on chains and graphs against a convex solver, brute force and the laws."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

import gossamer as gs
from gossamer.core import UnsupportedProblem
from gossamer.testing import apply, laws_of

GRID = [[0, 1], [1, 2], [3, 4], [4, 5], [0, 3], [1, 4], [2, 5]]
TREE = [[0, 1], [0, 2], [2, 3], [2, 4], [4, 5]]
PARTS = [[0, 3], [3, 5], [1, 2]]

INSTANCES = [
    gs.Fused(0.7),
    gs.L1(0.3) + gs.Fused(0.7),
    gs.Fused(0.7, edges=GRID),
    gs.Fused(0.4, edges=TREE),
    gs.Fused(0.7, edges=PARTS),
    gs.Fused(0.5, edges=GRID, sparsity=0.4),
]


@pytest.mark.parametrize(
    ("penalty", "law"),
    [pytest.param(p, law, id=f"{p}-{law.__name__}") for p in INSTANCES for law in laws_of(p)],
)
def test_laws(penalty, law):
    apply(law, penalty)


def _variation(w, edges, n):
    pairs = [(i, i + 1) for i in range(n - 1)] if edges is None else edges
    return sum(cp.abs(w[i] - w[j]) for i, j in pairs)


@pytest.mark.parametrize("edges", [None, GRID, TREE, PARTS, []], ids=str)
@pytest.mark.parametrize("sparsity", [0.0, 0.3])
def test_prox_is_a_convex_solvers(edges, sparsity, rng):
    v = 2 * rng.standard_normal(6)
    v[1] = v[0]
    w = cp.Variable(6)
    cost = cp.sum_squares(w - v) / 2 + 0.8 * _variation(w, edges, 6) + sparsity * cp.norm1(w)
    cp.Problem(cp.Minimize(cost)).solve("CLARABEL")
    found = gs.Fused(0.8, edges=edges, sparsity=sparsity).prox(v, 1.0)
    # an interior point leaves about the root of its gap of 1e-8
    np.testing.assert_allclose(found, w.value, atol=1e-4)


@pytest.mark.parametrize("strength", [0.0, 1e-3, 0.5, 30.0, 1e6])
def test_long_chains_and_grids_are_stationary(strength, rng):
    """The distance to the subdifferential is the prox's own independent check on the chain,
    where sums of the residual are the dual variables."""
    v = np.cumsum(rng.standard_normal(5000))
    p = gs.Fused(strength).prox(v, 1.0)
    dual = np.cumsum(v - p)
    assert abs(dual[-1]) < 1e-8
    assert np.abs(dual[:-1]).max() <= strength * (1 + 1e-9) + 1e-8
    jumps = np.diff(p)
    moving = np.abs(jumps) > 1e-9
    np.testing.assert_allclose(dual[:-1][moving], -strength * np.sign(jumps[moving]), atol=1e-7)

    side = np.arange(900).reshape(30, 30)
    right = np.stack([side[:, :-1].ravel(), side[:, 1:].ravel()], axis=1)
    down = np.stack([side[:-1].ravel(), side[1:].ravel()], axis=1)
    grid = gs.Fused(strength, edges=np.concatenate([right, down]))
    v = rng.standard_normal(900) + (side.ravel() % 30 > 15)
    p = grid.prox(v, 1.0)
    # Fenchel: the residual is a subgradient exactly where <v - p, p> is the value
    gap = grid.value(p) - (v - p) @ p
    assert abs(gap) < 1e-8 * (1 + grid.value(v))


@pytest.fixture
def table(rng):
    X = rng.standard_normal((80, 30))
    w = np.repeat([0.0, 2.0, -1.0], 10)
    return X, X @ w + 0.5 * rng.standard_normal(80)


@pytest.mark.parametrize("sparsity", [0.0, 0.03])
@pytest.mark.parametrize("edges", [None, [[i, i + 1] for i in range(29)]], ids=["chain", "graph"])
def test_problems_are_a_convex_solvers(table, sparsity, edges):
    X, y = table
    penalty = gs.Fused(0.1, edges=edges, sparsity=sparsity)
    result = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(tol=1e-8, max_iter=2000)
    assert result.certificate.holds
    w, b = cp.Variable(30), cp.Variable()
    cost = cp.sum_squares(y - X @ w - b) / (2 * len(y)) + 0.1 * cp.norm1(cp.diff(w))
    best = cp.Problem(cp.Minimize(cost + sparsity * cp.norm1(w))).solve("CLARABEL")
    assert result.certificate.objective == pytest.approx(best, rel=1e-6)


def test_disconnected_parts_have_levels_of_their_own():
    p = gs.Fused(1e6, edges=PARTS).prox(np.array([1.0, 2.0, 4.0, 3.0, 9.0, 2.0]), 1.0)
    np.testing.assert_allclose(p, [2.0, 3.0, 3.0, 2.0, 9.0, 2.0])


def test_hard_inputs():
    assert gs.Fused(1.0).prox(np.array([2.0]), 1.0) == 2.0
    assert gs.Fused(1.0).value(np.array([2.0])) == 0.0
    assert np.isnan(gs.Fused(1.0).prox(np.array([np.nan, 1.0]), 1.0)).all()
    np.testing.assert_array_equal(gs.Fused(1.0).prox(np.ones(5), 1.0), np.ones(5))
    twice = gs.Fused(1.0, edges=[[0, 1], [1, 0]])
    assert twice.value(np.array([0.0, 1.0])) == 2.0


def test_refusals():
    with pytest.raises(ValueError, match="strength must be a finite number >= 0"):
        gs.Fused(np.nan)
    with pytest.raises(ValueError, match=r"shape \(m, 2\), got shape \(3,\)"):
        gs.Fused(1.0, edges=[0, 1, 2])
    with pytest.raises(ValueError, match="pairs of whole positions"):
        gs.Fused(1.0, edges=[[0.5, 1.0]])
    with pytest.raises(ValueError, match="joins 2 to itself"):
        gs.Fused(1.0, edges=[[0, 1], [2, 2]])
    with pytest.raises(ValueError, match="negative position -1"):
        gs.Fused(1.0, edges=[[0, -1]])
    with pytest.raises(ValueError, match="reach position 7, but there are 4 features"):
        gs.Problem(np.eye(4), np.ones(4), gs.losses.Quadratic(), gs.Fused(1.0, edges=[[0, 7]]))
    with pytest.raises(UnsupportedProblem, match="no joint prox"):
        _ = gs.L1(0.1, nonnegative=True) + gs.Fused(1.0)
