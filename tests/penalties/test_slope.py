"""SLOPE against its definition by sorted sums, a convex solver, and itself."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest

import gossamer as gs
from gossamer.core import UnsupportedProblem
from gossamer.testing import apply, laws_of

GROUPS = gs.Groups([[0, 3], [1, 2, 5], [4]])
FALLING = [1.2, 0.9, 0.7, 0.4, 0.2, 0.1]

INSTANCES = [
    gs.SLOPE(FALLING),
    gs.SLOPE([0.7] * 6),
    gs.SLOPE([0.7, 0.7, 0.2, 0.2, 0.0, 0.0]),
    gs.SLOPE([1.0, 0, 0, 0, 0, 0]),
    gs.SLOPE(FALLING, nonnegative=True),
    gs.SLOPE([0.9, 0.5, 0.2], on=GROUPS),
    gs.SLOPE([0.9, 0.5, 0.0], on=GROUPS, nonnegative=True),
    gs.SLOPE.bh(6, q=0.2, strength=0.3),
]


@pytest.mark.parametrize(
    ("penalty", "law"),
    [pytest.param(p, law, id=f"{p}-{law.__name__}") for p in INSTANCES for law in laws_of(p)],
)
def test_laws(penalty, law):
    apply(law, penalty)


def _sorted_l1(w, strengths):
    """Sum of differences of the strengths times sums of the largest entries (cvxpy's own atom)."""
    drops = np.append(strengths[:-1] - strengths[1:], strengths[-1])
    return sum(d * cp.sum_largest(cp.abs(w), k + 1) for k, d in enumerate(drops) if d > 0)


@pytest.mark.parametrize("seed", range(4))
def test_prox_is_a_convex_solvers(seed):
    rng = np.random.default_rng(seed)
    p = 12
    v = rng.standard_normal(p) * 3
    v[:3] = v[0]  # ties
    strengths = np.sort(rng.random(p) * 2)[::-1]
    w = cp.Variable(p)
    cp.Problem(cp.Minimize(cp.sum_squares(w - v) / 2 + _sorted_l1(w, strengths))).solve("CLARABEL")
    # an interior point leaves about the root of its gap of 1e-8
    np.testing.assert_allclose(gs.SLOPE(strengths).prox(v, 1.0), w.value, atol=1e-4)


@pytest.fixture
def table(rng):
    X = rng.standard_normal((60, 25)) + 0.5 * rng.standard_normal((60, 1))
    return X, X[:, :5] @ [2.0, 2.0, -1.5, 1.0, 0.5] + 0.5 * rng.standard_normal(60)


@pytest.mark.parametrize("loss", [gs.losses.Quadratic(), gs.losses.Logistic()], ids=repr)
def test_problems_are_a_convex_solvers(table, loss):
    X, y = table
    y = y if loss.is_quadratic else (y > 0).astype(float)
    penalty = gs.SLOPE.bh(25, q=0.2, strength=0.05)
    result = gs.Problem(X, y, loss, penalty).solve(tol=1e-9, max_iter=5000)
    assert result.certificate.holds
    assert result.solver == ("ClusterNewton" if loss.is_quadratic else "ProximalGradient")
    w, b = cp.Variable(25), cp.Variable()
    z = X @ w + b
    fit = (
        cp.sum_squares(y - z) / 2
        if loss.is_quadratic
        else cp.sum(cp.logistic(z) - cp.multiply(y, z))
    )
    best = cp.Problem(cp.Minimize(fit / len(y) + _sorted_l1(w, penalty.strengths))).solve(
        "CLARABEL"
    )
    assert result.certificate.objective == pytest.approx(best, rel=1e-6)


def test_distance_is_that_to_the_convex_hull(rng):
    """The subdifferential at a point of one cluster is the hull of the permuted strengths."""
    from itertools import permutations

    strengths = np.array([1.5, 1.0, 0.3])
    corners = np.array(list(permutations(strengths)))
    for _ in range(5):
        pull = rng.standard_normal(3) * 2
        mix = cp.Variable(len(corners), nonneg=True)
        nearest = cp.Problem(cp.Minimize(cp.norm(pull - corners.T @ mix)), [cp.sum(mix) == 1])
        found = gs.SLOPE(strengths).subdiff_distance(np.array([2.0, 2.0, 2.0]), -pull)
        assert np.linalg.norm(found) == pytest.approx(nearest.solve("CLARABEL"), abs=1e-6)


def test_equal_strengths_are_l1(table):
    X, y = table
    ours = gs.Problem(X, y, gs.losses.Quadratic(), gs.SLOPE(np.full(25, 0.2))).solve(tol=1e-11)
    lasso = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.2)).solve(tol=1e-11)
    np.testing.assert_allclose(ours.coef, lasso.coef, atol=1e-5)


def test_correlated_columns_form_a_cluster(rng):
    common = rng.standard_normal(100)
    X = common[:, None] + 0.05 * rng.standard_normal((100, 4))
    X = np.column_stack([X, rng.standard_normal((100, 4))])
    y = 4 * common + 0.1 * rng.standard_normal(100)
    penalty = gs.SLOPE(np.linspace(0.5, 0.1, 8))
    coef = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(tol=1e-10).coef
    np.testing.assert_allclose(coef[:4], coef[0], rtol=1e-9)
    assert coef[0] > 0.5 and not coef[4:].any()


def test_strengths_for_gaussian_designs_never_rise():
    plain, corrected = (gs.SLOPE.bh(200, n_samples=n).strengths for n in (None, 100))
    assert corrected[0] == plain[0] and (corrected >= plain - 1e-15).all()
    assert (np.diff(corrected) <= 0).all()


def test_estimator_path_keeps_the_proportions(table):
    X, y = table
    model = gs.SparseModelCV(penalty=gs.SLOPE.bh(25), n_alphas=8, cv=3).fit(X, y)
    assert model.certificate_.holds and np.flatnonzero(model.coef_).size >= 4


def test_clusters_and_proximal_steps_agree_on_wide_data(rng):
    """More clusters than proximal steps settle soon, with columns that repeat."""
    X = rng.standard_normal((50, 400))
    X[:, 200:210] = X[:, :10]
    y = X[:, :20].sum(axis=1) + 0.1 * rng.standard_normal(50)
    penalty = gs.SLOPE.bh(400, strength=0.02)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), penalty)
    fast = problem.solve("clusternewton", tol=1e-10)
    slow = problem.solve("proximalgradient", tol=1e-7, max_iter=3000)
    assert fast.certificate.holds
    assert fast.certificate.objective <= slow.certificate.objective * (1 + 1e-10)
    np.testing.assert_allclose(fast.coef[200:210], fast.coef[:10], atol=1e-8)


def test_hard_inputs():
    one = gs.SLOPE([0.5])
    assert one.prox(np.array([2.0]), 1.0) == 1.5
    ties = gs.SLOPE([1.0, 0.5, 0.5]).prox(np.array([1.0, -1.0, 1.0]), 1.0)
    np.testing.assert_allclose(ties, [1 / 3, -1 / 3, 1 / 3])
    assert np.isnan(gs.SLOPE([1.0, 0.5]).value(np.array([np.nan, 1.0])))
    zero = gs.SLOPE([0.0, 0.0])
    np.testing.assert_array_equal(zero.prox(np.array([1.0, -2.0]), 1.0), [1.0, -2.0])
    huge = gs.SLOPE([1e300, 1.0])
    np.testing.assert_array_equal(huge.prox(np.array([1.0, -2.0]), 1.0), [0.0, 0.0])


def test_refusals():
    with pytest.raises(ValueError, match=r"must not increase, got .* at position 2"):
        gs.SLOPE([1.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="one number a unit"):
        gs.SLOPE(0.5)
    with pytest.raises(ValueError, match="finite numbers >= 0"):
        gs.SLOPE([1.0, -0.5])
    with pytest.raises(ValueError, match="finite numbers >= 0"):
        gs.SLOPE([np.nan, 0.5])
    with pytest.raises(ValueError, match="strengths must be numbers"):
        gs.SLOPE(["a", "b"])
    with pytest.raises(ValueError, match="q must be between 0 and 1"):
        gs.SLOPE.bh(5, q=1.5)
    with pytest.raises(ValueError, match="2 entries, but there are 4 units"):
        gs.Problem(np.eye(4), np.ones(4), gs.losses.Quadratic(), gs.SLOPE([1.0, 0.5]))
    with pytest.raises(UnsupportedProblem, match="no joint prox"):
        _ = gs.L1(0.1) + gs.SLOPE([1.0, 0.5])
    with pytest.raises(ValueError, match="one number, units share"):
        gs.SLOPE([1.0, 0.5]).prox(np.ones(2), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="no units to sort"):
        gs.SLOPE([1.0, 0.5], on=gs.Spectrum())
