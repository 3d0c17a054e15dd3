"""Best subsets against all subsets, by plain scipy; exchanges against refits; hard data."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

import gossamer as gs
from gossamer.core.exchange import exchanges_at
from gossamer.core.result import Status
from gossamer.solvers import Splicing

GROUPS = [[0, 4], [1], [2, 3, 7], [5, 6]]


def explicit_value(problem: gs.Problem, support: tuple[int, ...]) -> float:
    """The objective on the columns or groups of ``support``, by scipy on the plain definition."""
    budget = problem.penalty
    units = budget.units(problem.shape)
    at = units.positions(np.array(support, dtype=int))[0]
    p, K = problem.shape
    X = problem.X.toarray() if sparse.issparse(problem.X) else np.asarray(problem.X, dtype=float)

    def cost(x):
        w = np.zeros(p * K)
        w[at] = x[: len(at)]
        b = x[len(at) :] if problem.fit_intercept else 0.0
        z = X @ w.reshape(p, K) + b
        z = z if problem.offset is None else z + problem.offset
        s = problem.sample_weight
        slope = problem.loss.gradient(z, problem.y) * s[:, None]
        gradient = (X.T @ slope).ravel()[at] + budget.ridge * x[: len(at)]
        pull = slope.sum(axis=0) if problem.fit_intercept else np.empty(0)
        value = s @ problem.loss.value(z, problem.y) + 0.5 * budget.ridge * (w @ w)
        return value, np.concatenate([gradient, pull])

    start = np.zeros(len(at) + K * problem.fit_intercept)
    bounds = [(0, None) if budget.nonnegative else (None, None)] * len(at)
    bounds += [(None, None)] * (len(start) - len(at))
    options = {"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9}
    return minimize(cost, start, jac=True, bounds=bounds, options=options).fun


def best_value(problem: gs.Problem) -> float:
    count = problem.penalty.units(problem.shape).count
    supports = combinations(range(count), min(problem.penalty.k, count))
    return min(explicit_value(problem, support) for support in supports)


def data(rng, n=60, p=8):
    X = rng.standard_normal((n, p))
    X[:, 1] += X[:, 0]
    X[:, 6] -= X[:, 5]
    return X, X @ rng.choice([-1.0, 0.0, 1.0], p) + rng.standard_normal(n)


CASES = {
    "quadratic": (gs.losses.Quadratic(), lambda z: z, {}),
    "ridge": (gs.losses.Quadratic(), lambda z: z, {"ridge": 0.3}),
    "nonnegative": (gs.losses.Quadratic(), lambda z: z, {"nonnegative": True}),
    "groups": (gs.losses.Quadratic(), lambda z: z, {"on": gs.Groups(GROUPS)}),
    "logistic": (gs.losses.Logistic(), lambda z: z > 0.3, {"ridge": 0.05}),
    "logistic groups": (
        gs.losses.Logistic(), lambda z: z > 0.3, {"ridge": 0.05, "on": gs.Groups(GROUPS)},
    ),
    "poisson": (gs.losses.Poisson(), lambda z: np.round(np.exp(z / 3)), {}),
    "huber": (gs.losses.Huber(), lambda z: z, {}),
    "two targets": (
        gs.losses.Quadratic(), lambda z: np.stack([z, np.cos(z)], axis=1), {"on": gs.Rows()},
    ),
    "elements of two targets": (
        gs.losses.Quadratic(), lambda z: np.stack([z, np.cos(z)], axis=1), {},
    ),
    "classes": (
        gs.losses.Multinomial(), lambda z: np.digitize(z, [-1, 1]), {"on": gs.Rows(), "ridge": 0.1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("k", [1, 2])
def test_finds_the_best_of_all_subsets(name, k, rng):
    loss, target, options = CASES[name]
    X, signal = data(rng)
    problem = gs.Problem(X, target(signal), loss, gs.AtMost(k, **options))
    result = problem.solve(tol=1e-8)
    assert result.solver == "Splicing" and result.status is Status.CONVERGED
    # scipy stops at about 1e-9
    assert result.certificate.objective <= best_value(problem) + 1e-7
    assert len(result.certificate.support) <= k


def test_weights_offset_sparse_standardised(rng):
    X, y = data(rng)
    X[rng.random(X.shape) < 0.5] = 0.0
    problem = gs.Problem(
        sparse.csc_array(X), y, gs.losses.Quadratic(), gs.AtMost(2), standardise=True,
        sample_weight=rng.integers(0, 3, len(y)), offset=rng.standard_normal(len(y)),
    )  # fmt: skip
    result = problem.solve()
    assert result.certificate.objective == pytest.approx(best_value(problem), abs=1e-7)


def test_coefficients_are_least_squares_on_the_support(rng):
    X, y = data(rng)
    result = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(3)).solve()
    support = result.certificate.support
    A = np.column_stack([X[:, support], np.ones(len(y))])
    expected = np.linalg.lstsq(A, y, rcond=None)[0]
    np.testing.assert_allclose(result.coef[support], expected[:-1], rtol=1e-9)
    np.testing.assert_allclose(result.intercept, expected[-1], atol=1e-9)


@pytest.mark.parametrize("name", ["quadratic", "ridge", "groups", "two targets"])
def test_exchanges_are_what_refits_find(name, rng):
    """Entry, leaving and swap are exact for the quadratic loss, groups and outputs included."""
    loss, target, options = CASES[name]
    X, signal = data(rng)
    problem = gs.Problem(X, target(signal), loss, gs.AtMost(2, **options))
    result = problem.solve()
    found = exchanges_at(problem, problem.point(result.coef, result.intercept))
    chosen = tuple(found.chosen)
    value = explicit_value(problem, chosen)
    outside = [u for u in range(len(found.entry)) if u not in chosen]
    for unit in outside:
        assert found.entry[unit] == pytest.approx(
            value - explicit_value(problem, (*chosen, unit)), abs=1e-7
        )
        for i, out in enumerate(chosen):
            rest = tuple(c for c in chosen if c != out)
            swapped = value - explicit_value(problem, (*rest, unit))
            assert found.swap[unit, i] == pytest.approx(swapped, abs=1e-7)
            assert found.leaving[i] == pytest.approx(
                explicit_value(problem, rest) - value, abs=1e-7
            )


def test_certificate_names_what_an_exchange_improves(rng):
    X, y = data(rng)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(1))
    fitted = [np.polyfit(X[:, j], y, 1) for j in range(8)]
    costs = [explicit_value(problem, (j,)) for j in range(8)]
    for j, (slope, intercept) in enumerate(fitted):
        certificate = problem.certificate(slope * np.eye(8)[j], intercept)
        assert certificate.holds
        assert certificate.kind == ("coordinate-wise" if j == np.argmin(costs) else "critical")


# -- hard data -------------------------------------------------------------------------------------
def test_duplicates_and_constants(rng):
    X, y = data(rng)
    X = np.column_stack([X, X[:, 0], np.full(len(y), 3.0), np.zeros(len(y))])
    result = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(4)).solve()
    assert not {8, 9, 10} <= set(result.certificate.support)
    assert not {0, 8} <= set(result.certificate.support)
    assert result.certificate.kind == "coordinate-wise"


@pytest.mark.parametrize("k", [0, 8, 100])
def test_none_and_all(k, rng):
    X, y = data(rng)
    result = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(k)).solve()
    expected = () if k == 0 else tuple(range(8))
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(8))
    assert result.certificate.objective == pytest.approx(
        explicit_value(problem, expected), abs=1e-8
    )
    assert result.certificate.kind == "coordinate-wise"


def test_more_units_than_samples(rng):
    """A budget beyond the rank is not spent: what is left over would be noise to the digit."""
    X = rng.standard_normal((10, 30))
    y = rng.standard_normal(10)
    result = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(20)).solve()
    assert result.certificate.objective <= 1e-12
    assert len(result.certificate.support) <= 10


def test_separable_classes_are_reported(rng):
    X = rng.standard_normal((40, 5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = gs.Problem(X, X[:, 0] > 0, gs.losses.Logistic(), gs.AtMost(1)).solve(tol=1e-12)
    assert list(result.certificate.support) == [0]
    assert bool(caught) == (result.status is not Status.CONVERGED)
    ridged = gs.Problem(X, X[:, 0] > 0, gs.losses.Logistic(), gs.AtMost(1, ridge=0.01)).solve()
    assert ridged.certificate.holds and abs(ridged.coef[0]) < 20


def test_warm_start_keeps_a_good_support(rng):
    X, y = data(rng)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(3))
    first = problem.solve()
    again = problem.solve(w0=first.coef, intercept0=first.intercept)
    assert again.n_iter <= 1
    np.testing.assert_array_equal(again.certificate.support, first.certificate.support)


@pytest.mark.parametrize("restarts", [-1, 1.5])
def test_restarts_are_a_whole_number(restarts):
    with pytest.raises(ValueError, match="restarts"):
        Splicing(restarts=restarts)


def test_prices_are_refused(rng):
    X, y = data(rng)
    with pytest.raises(gs.UnsupportedProblem, match="AtMost"):
        gs.Problem(X, y, gs.losses.Quadratic(), gs.L0(0.1)).solve("splicing")
