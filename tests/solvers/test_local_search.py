"""L0 against all subsets, and against coordinate descent alone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import gossamer as gs
from gossamer.solvers import LocalSearch

GROUPS = [[0, 4], [1], [2, 3, 7], [5, 6]]


def data(rng, n=60, p=8):
    X = rng.standard_normal((n, p))
    X[:, 1] += X[:, 0]
    X[:, 6] -= X[:, 5]
    return X, X @ rng.choice([-1.0, 0.0, 0.3, 1.0], p) + rng.standard_normal(n)


def least(X, y, penalty, groups):
    """The minimum over all supports, by ridge regression on each with the intercept left out."""
    n = len(y)
    Xc, yc = X - X.mean(axis=0), y - y.mean()
    best = np.inf
    for size in range(len(groups) + 1):
        for support in combinations(range(len(groups)), size):
            at = [j for g in support for j in groups[g]]
            A = Xc[:, at]
            ridge = penalty.strength * penalty.ridge
            w = np.linalg.solve(A.T @ A / n + ridge * np.eye(len(at)), A.T @ yc / n)
            weights = np.ones(len(groups)) if penalty.weights is None else penalty.weights
            cost = penalty.strength * weights[list(support)].sum() + 0.5 * ridge * w @ w
            best = min(best, 0.5 * np.mean((yc - A @ w) ** 2) + cost)
    return best


@pytest.mark.parametrize("strength", [0.003, 0.03, 0.3])
@pytest.mark.parametrize(
    "options",
    [{}, {"ridge": 0.5}, {"on": gs.Groups(GROUPS)}, {"weights": [1, 2, 0, 1, 1, 0.5, 1, 1]}],
    ids=["elements", "ridge", "groups", "weights"],
)
def test_the_best_of_all_supports(strength, options, rng):
    X, y = data(rng)
    penalty = gs.L0(strength, **options)
    result = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(tol=1e-8)
    groups = GROUPS if "on" in options else [[j] for j in range(8)]
    assert result.solver == "LocalSearch"
    assert result.certificate.objective == pytest.approx(least(X, y, penalty, groups), abs=1e-10)
    assert result.certificate.kind == "coordinate-wise" and result.certificate.holds


def test_no_worse_than_coordinate_descent(rng):
    """On nearly collinear columns, where single coefficients are stuck."""
    better = 0
    for _ in range(5):
        X = np.cumsum(rng.standard_normal((100, 60)), axis=1)
        X /= X.std(axis=0)
        y = X[:, [5, 30, 50]] @ [1.0, -1.0, 1.0] + 0.3 * rng.standard_normal(100)
        for loss, target in ((gs.losses.Quadratic(), y), (gs.losses.Logistic(), y > y.mean())):
            problem = gs.Problem(X, target, loss, gs.L0(0.02, ridge=0.1))
            ours = problem.solve().certificate.objective
            plain = problem.solve("coordinatedescent", tol=1e-4).certificate.objective
            assert ours <= plain + 1e-9
            better += ours < plain - 1e-6
    assert better > 0


def test_two_features_that_pay_only_together(rng):
    """Their difference counts, neither alone is worth its price."""
    X = rng.standard_normal((200, 20))
    X[:, 1] = X[:, 0] + 0.5 * rng.standard_normal(200)
    X -= X.mean(axis=0)
    y = 2 * (X[:, 0] - X[:, 1]) + 0.1 * rng.standard_normal(200)
    result = gs.Problem(X, y, gs.losses.Quadratic(), gs.L0(0.15)).solve(LocalSearch(restarts=0))
    np.testing.assert_array_equal(result.certificate.support, [0, 1])


def test_l0_and_l1_go_to_coordinate_descent(rng):
    X, y = data(rng)
    result = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.01) + gs.L0(0.05)).solve()
    assert result.solver != "LocalSearch" and result.certificate.kind == "coordinate-wise"


def test_what_it_refuses(rng):
    X, y = data(rng)
    quadratic = gs.losses.Quadratic()
    with pytest.raises(gs.UnsupportedProblem, match="not L0"):
        gs.Problem(X, y, quadratic, gs.L1(0.1)).solve("localsearch")
    weighted = gs.L0(0.1, ridge=1.0, weights=np.arange(8.0))
    with pytest.raises(gs.UnsupportedProblem, match="weights"):
        gs.Problem(X, y, quadratic, weighted).solve("localsearch")
    with pytest.raises(ValueError, match="restarts"):
        LocalSearch(restarts=-1)
