"""The group envelope against its definitions: brute force over supports, over gates, and itself."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize

import gossamer as gs
from gossamer.core import UnsupportedProblem
from gossamer.penalties import GroupEnvelope
from gossamer.structures import Blocks, Channels, Groups, Rows
from gossamer.testing import apply, check_penalty, laws_of

GROUPS = Groups([[0, 3], [1, 2, 5], [4]])

INSTANCES = [
    GroupEnvelope(0.7, k=1),
    GroupEnvelope(0.7, k=3),
    GroupEnvelope(0.7, k=6),
    GroupEnvelope(0.7, k=9),
    GroupEnvelope(0.3, k=2, on=GROUPS),
    GroupEnvelope(0.3, k=1, on=GROUPS, weights=[1.0, 0.0, 2.0]),
    GroupEnvelope(0.4, k=2, nonnegative=True),
    GroupEnvelope(2.0, k=3, weights=[1, 0.5, 0, 2, 3, 1], nonnegative=True),
    GroupEnvelope(0.5, k=2, on=Rows()),
]


@pytest.mark.parametrize(
    ("penalty", "law"),
    [pytest.param(p, law, id=f"{p}-{law.__name__}") for p in INSTANCES for law in laws_of(p)],
)
def test_laws(penalty, law):
    apply(law, penalty)


def test_check_takes_the_class():
    check_penalty(GroupEnvelope, k=2)


def _random(rng, shape, structure, k):
    weights = rng.choice([0.5, 1.0, 2.0], structure.units(shape).count)
    w = rng.standard_normal(shape) * rng.choice([0.1, 1.0, 3.0], shape)
    return GroupEnvelope(0.6, k, on=structure, weights=weights), w


SHAPES = [
    pytest.param((8,), gs.Elements(), id="elements"),
    pytest.param((6,), GROUPS, id="groups"),
    pytest.param((5, 3), Rows(), id="rows"),
    pytest.param((4, 3, 2), Channels(1), id="channels"),
    pytest.param((4, 6), Blocks((2, 2)), id="blocks"),
]
every_shape = pytest.mark.parametrize(("shape", "structure"), SHAPES)
every_k = pytest.mark.parametrize("k", [1, 2, 3])


@every_shape
@every_k
def test_conjugate_is_that_of_the_ridge_on_the_best_support(rng, shape, structure, k):
    penalty, z = _random(rng, shape, structure, k)
    squares = structure.sizes(z) ** 2 / np.asarray(penalty.weights)
    best = max(sum(squares[list(s)]) for s in combinations(range(len(squares)), k))
    assert penalty.conjugate(z) == pytest.approx(best / (2 * penalty.strength), rel=1e-12)


@every_shape
@every_k
def test_value_and_prox_are_minima_over_the_gates(rng, shape, structure, k):
    """Both against a general solver that looks for the gates."""
    penalty, w = _random(rng, shape, structure, k)
    squares = structure.sizes(w) ** 2 * np.asarray(penalty.weights)
    gates, least = _minimum(penalty.strength / 2 * squares, np.zeros(len(squares)), k)
    assert penalty.value(w) == pytest.approx(least, rel=1e-7)
    np.testing.assert_allclose(penalty.gates(w), gates, atol=1e-3)

    # given the gates, the prox and its objective are those of a ridge
    step = 0.7
    bends = step * penalty.strength * np.asarray(penalty.weights)
    gates, least = _minimum(penalty.strength / 2 * squares, bends, k)
    p = penalty.prox(w, step)
    cost = ((p - w) ** 2).sum() / (2 * step) + penalty.value(p)
    assert cost == pytest.approx(least, rel=1e-7)
    np.testing.assert_allclose(p, structure.scale(w, gates / (gates + bends)), atol=1e-3)


def _minimum(costs, bends, k):
    """Gates in [0, 1] with sum at most k, of least ``sum(costs / (gates + bends))``, and that."""
    tiny = 1e-9
    found = minimize(
        lambda eta: (costs / (eta + bends)).sum(),
        np.full(len(costs), min(k / len(costs), 1.0)),
        jac=lambda eta: -costs / (eta + bends) ** 2,
        bounds=[(tiny, 1.0)] * len(costs),
        constraints={
            "type": "ineq",
            "fun": lambda eta: k - eta.sum(),
            "jac": lambda eta: -np.ones(len(costs)),
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return found.x, found.fun


def test_one_place_is_the_squared_group_lasso(rng):
    """k = 1: half the square of the sum of sizes; k = all: ridge."""
    w = rng.standard_normal(6)
    sizes = GROUPS.sizes(w)
    assert GroupEnvelope(2.0, 1, on=GROUPS).value(w) == pytest.approx(sizes.sum() ** 2)
    assert GroupEnvelope(2.0, 3, on=GROUPS).value(w) == pytest.approx((w**2).sum())


def test_equal_units_share_the_places():
    """Three equal units in two places: two thirds of one each."""
    w = np.ones(3)
    np.testing.assert_allclose(GroupEnvelope(1.0, 2).gates(w), 2 / 3)
    p = GroupEnvelope(1.0, 2).prox(w, 1.0)
    np.testing.assert_allclose(p, (2 / 3) / (2 / 3 + 1))


def test_prox_takes_a_step_for_each_unit(rng):
    """As adaptive optimisers need it: stationary with the gradient (p - v) / step of each unit."""
    v = rng.standard_normal((7, 3))
    step = rng.uniform(0.1, 2.0, 7)
    for penalty in (GroupEnvelope(0.8, 2, on=Rows()), GroupEnvelope(0.8, 5, on=Rows())):
        p = penalty.prox(v, step)
        assert penalty.subdiff_distance(p, (p - v) / step[:, None]).max() < 1e-12


def test_gradient_is_the_derivative_off_zero(rng):
    w = rng.standard_normal((6, 2))
    penalty = GroupEnvelope(0.7, 3, on=Rows())
    gradient = penalty.gradient(w)
    for at in np.ndindex(w.shape):
        move = np.zeros_like(w)
        move[at] = 1e-6
        slope = (penalty.value(w + move) - penalty.value(w - move)) / 2e-6
        assert gradient[at] == pytest.approx(slope, abs=1e-8)


def test_many_units_of_all_sizes(rng):
    """A hundred thousand units over thirty orders of magnitude: the gates still sum to k."""
    v = rng.standard_normal(100_000) * 10.0 ** rng.uniform(-15, 15, 100_000)
    penalty = GroupEnvelope(1.0, 1000)
    for step in (1e-9, 1e-2, 1e3):
        p = penalty.prox(v, step)
        scale = np.abs(v).max() / step
        assert penalty.subdiff_distance(p, (p - v) / step).max() < 1e-12 * scale


@pytest.fixture
def table(rng):
    X = rng.standard_normal((80, 8))
    return X, X[:, [0, 3, 5]] @ [2.0, -1.5, 1.0] + 0.3 * rng.standard_normal(80)


def test_problem_is_solved_to_the_best_subset(table):
    """Where the relaxation is tight its optimum is ridge on the best k of all supports."""
    X, y = table
    k, strength, n = 3, 0.2, len(y)
    problem = gs.Problem(
        X, y, gs.losses.Quadratic(), GroupEnvelope(strength, k), fit_intercept=False
    )
    result = problem.solve(tol=1e-10, max_iter=10_000)
    assert result.certificate.holds and result.solver == "ProximalGradient"

    def ridge(support):
        A = X[:, support]
        w = np.linalg.solve(A.T @ A / n + strength * np.eye(k), A.T @ y / n)
        return ((y - A @ w) ** 2).sum() / (2 * n) + strength / 2 * w @ w, w

    best = min(map(list, combinations(range(8), k)), key=lambda support: ridge(support)[0])
    np.testing.assert_array_equal(result.certificate.support, best)
    assert result.certificate.objective == pytest.approx(ridge(best)[0], rel=1e-8)
    np.testing.assert_allclose(result.coef[best], ridge(best)[1], atol=1e-5)


@pytest.mark.parametrize("loss", [gs.losses.Quadratic(), gs.losses.Logistic()], ids=repr)
@pytest.mark.parametrize("nonnegative", [False, True])
def test_weighted_groups_are_solved_with_a_certificate(table, loss, nonnegative):
    X, y = table
    y = y if loss.is_quadratic else (y > 0).astype(float)
    groups = Groups([[0, 1], [2, 3], [4], [5, 6, 7]])
    penalty = GroupEnvelope(0.1, 2, on=groups, weights=[1, 2, 0, 1], nonnegative=nonnegative)
    result = gs.Problem(X, y, loss, penalty).solve(tol=1e-8, max_iter=5000)
    assert result.certificate.holds
    assert result.certificate.violation < 1e-3


def test_refusals():
    with pytest.raises(ValueError, match=r"k must be a whole number >= 1, got 2\.5"):
        GroupEnvelope(1.0, k=2.5)
    with pytest.raises(ValueError, match="k must be a whole number >= 1, got 0"):
        GroupEnvelope(1.0, k=0)
    with pytest.raises(ValueError, match="strength must be a finite number >= 0"):
        GroupEnvelope(-1.0, k=1)
    with pytest.raises(ValueError, match="finite numbers >= 0, one a unit"):
        GroupEnvelope(1.0, k=1, weights=[1.0, -1.0])
    with pytest.raises(ValueError, match="2 entries, but there are 4 units"):
        gs.Problem(np.eye(4), np.ones(4), gs.losses.Quadratic(),
                   GroupEnvelope(1.0, k=1, weights=[1.0, 1.0]))  # fmt: skip
    with pytest.raises(UnsupportedProblem, match="no joint prox"):
        _ = gs.L1(0.1) + GroupEnvelope(1.0, k=1)
