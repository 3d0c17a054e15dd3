"""What gradient flow does to factors: conserved differences that the ridge makes decay."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import gossamer as gs
from gossamer.factorisations import (
    Difference,
    Latent,
    MatrixProduct,
    factorise_gates,
    factorise_overlaps,
    factorise_power,
)
from gossamer.testing.factorisation_laws import derivative, nearest_factors, pack, unpack

STRENGTH = 0.4


def flow(form, start, design, y, times):
    """The factors along the gradient flow of ``|X w - y|^2 / 2 + R``, at every time."""

    def objective(x):
        factors = unpack(form, x)
        residual = design @ np.ravel(form.expand(factors)) - y
        return residual @ residual / 2 + form.penalty(factors)

    path = solve_ivp(
        lambda _, x: -derivative(objective, x), (0, times[-1]), pack(start), t_eval=times,
        rtol=1e-7, atol=1e-9,
    )  # fmt: skip
    return [unpack(form, x) for x in path.y.T]


@pytest.fixture
def least_squares(rng):
    """A design that couples all entries: the decay does not depend on the loss."""
    return rng.standard_normal((8, 6)) / 4, rng.standard_normal(8)


def random_factors(rng, form):
    return tuple(rng.uniform(0.2, 1.0, shape) for shape in form.shapes)


TIMES = np.linspace(0.0, 3.0, 4)


def check_decay(invariant, path, rate):
    """``invariant(factors)`` is exp(-rate * time) of what it was."""
    first = invariant(path[0])
    assert np.abs(first).max() > 0.05
    for time, factors in zip(TIMES, path, strict=True):
        expected = first * np.exp(-rate * time)
        np.testing.assert_allclose(invariant(factors), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_products_of_single_entries(rng, least_squares, k):
    """u_i^2 - u_j^2 decays at the rate 4 s / k, whatever the loss."""
    form = factorise_power(STRENGTH, 2 / k, gs.Elements(), (6,), form="product")
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    for j in range(1, k):
        check_decay(lambda f, j=j: f[0] ** 2 - f[j] ** 2, path, 4 * STRENGTH / k)


@pytest.mark.parametrize("k", [2, 3])
def test_gates_on_groups(rng, least_squares, k):
    """|u_g|^2 - gate_g^2 decays at the rate 4 s / k."""
    groups = gs.Groups([0, 1, 1, 0, 2, 1])
    form = factorise_power(STRENGTH, 2 / k, groups, (6,), form="product")
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    sums = form.levels[1].cells.sums
    check_decay(lambda f: sums(f[0] ** 2) - f[-1] ** 2, path, 4 * STRENGTH / k)


def test_trees(rng, least_squares):
    """Along every branch, the squares below a gate minus its own decay at one rate."""
    fine, coarse = gs.Groups([0, 0, 1, 1, 2, 3]), gs.Groups([0, 0, 0, 0, 1, 1])
    form = factorise_gates(STRENGTH, (fine, coarse), (6,))
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    below, above = form.levels[1].cells, form.levels[2].cells
    check_decay(lambda f: below.sums(f[0] ** 2) - f[1] ** 2, path, 4 * STRENGTH / 3)
    check_decay(lambda f: above.sums(f[0] ** 2) - f[2] ** 2, path, 4 * STRENGTH / 3)


def test_outer_gates(rng, least_squares):
    form = factorise_gates(STRENGTH, (gs.Channels(0), gs.Channels(1)), (2, 3))
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    check_decay(lambda f: (f[0] ** 2).sum(1) - f[1] ** 2, path, 4 * STRENGTH / 3)
    check_decay(lambda f: (f[0] ** 2).sum(0) - f[2] ** 2, path, 4 * STRENGTH / 3)


def test_differences_of_squares(rng, least_squares):
    """u v decays at the rate 4 s: one of the two goes."""
    form = Difference(STRENGTH, (6,))
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    check_decay(lambda f: f[0] * f[1], path, 4 * STRENGTH)


def test_latent_parts(rng, least_squares):
    """|u_g|^2 - gate_g^2 decays at the rate 2 s lambda_g of its group."""
    groups, weights = ([0, 1, 2], [2, 3], [3, 4, 5]), np.array([1.0, 0.5, 2.0])
    form = Latent(STRENGTH, (6,), groups, weights)
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    for g in range(3):
        check_decay(
            lambda f, g=g: (f[0][form.owners == g] ** 2).sum() - f[1][g] ** 2,
            path, 2 * STRENGTH * weights[g],
        )  # fmt: skip


def test_matrix_products(rng, least_squares):
    """U'U - V V' decays at the rate 2 s."""
    form = MatrixProduct(STRENGTH, (2, 3))
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    check_decay(lambda f: f[0].T @ f[0] - f[1] @ f[1].T, path, 2 * STRENGTH)


def test_harmonic_gates(rng, least_squares):
    """|u|^2 - |gates|^2 of groups that meet decays at the rate 2 s (weights of one)."""
    form = factorise_overlaps(STRENGTH, ([0, 1, 2], [2, 3], [3, 4, 5], range(6)), (6,))
    used = [weights.astype(bool) for weights in form.weights]
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    check_decay(
        lambda f: (
            (f[0] ** 2).sum() - sum((g[at] ** 2).sum() for g, at in zip(f[1:], used, strict=True))
        ),
        path,
        2 * STRENGTH,
    )


def test_shared_factors_lose_their_imbalance(rng, least_squares):
    """Powers above one have no invariant with one rate; the excess still goes."""
    form = factorise_power(STRENGTH, 2 / 3, gs.Elements(), (6,), form="shared")
    start = random_factors(rng, form)
    excess = [form.excess(f) for f in flow(form, start, *least_squares, TIMES)]
    assert (np.diff(excess) < 0).all() and excess[-1] < 0.2 * excess[0]


def test_without_ridge_the_imbalance_stays(rng, least_squares):
    """The conservation law: any loss leaves u^2 - v^2 where it was."""
    form = factorise_power(0.0, 1.0, gs.Elements(), (6,))
    path = flow(form, random_factors(rng, form), *least_squares, TIMES)
    check_decay(lambda f: f[0] ** 2 - f[1] ** 2, path, 0.0)


def test_signs_are_locked_in_balance(rng):
    """From balanced factors a weight cannot pass through zero, from a start it can."""
    design, y = np.eye(6), np.full(6, 2.0)
    w = -np.ones(6)
    times = np.linspace(0.0, 20.0, 3)
    form = factorise_power(STRENGTH, 1.0, gs.Elements(), (6,))
    locked = form.expand(flow(form, form.balanced(w), design, y, times)[-1])
    free = form.expand(flow(form, form.start(w), design, y, times)[-1])
    np.testing.assert_allclose(locked, 0.0, atol=1e-4)
    np.testing.assert_allclose(free, 2.0 - STRENGTH, atol=1e-4)


@pytest.mark.parametrize("form", ["product", "difference"])
def test_lasso_from_any_start(rng, form):
    """Correlated columns, more of them than samples: descent ends at the exact solver's optimum."""
    X = rng.standard_normal((20, 1)) + 0.5 * rng.standard_normal((20, 30))
    y = X[:, :3].sum(axis=1) + 0.1 * rng.standard_normal(20)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.05), fit_intercept=False)
    best = problem.solve(tol=1e-12).certificate.objective
    smooth = gs.L1(0.05).factorise((30,), form)
    for start in (smooth.start(np.zeros(30)), smooth.start(rng.standard_normal(30))):
        factors = descend(smooth, start, X, y)
        w = np.asarray(smooth.expand(factors))
        assert problem.objective(w) <= best * (1 + 1e-7)
        support = np.flatnonzero(np.abs(w) > 1e-5)
        assert support.tolist() == problem.solve(tol=1e-12).certificate.support.tolist()


def descend(form, start, X, y):
    def objective(x):
        factors = unpack(form, x)
        residual = X @ form.expand(factors) - y
        pull = X.T @ residual / len(y)
        u, v = factors
        if isinstance(form, Difference):
            gradient = 2 * u * (pull + form.strength), 2 * v * (form.strength - pull)
        else:
            gradient = v * pull + form.strength * u, u * pull + form.strength * v
        return residual @ residual / (2 * len(y)) + form.penalty(factors), pack(gradient)

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-10}
    found = minimize(objective, pack(start), jac=True, method="L-BFGS-B", options=options)
    return unpack(form, found.x)


def test_decoupled_decay_solves_another_problem(rng):
    """AdamW's decay is not scaled like its gradient: one entry ends where g / |g| balances it."""
    v, strength, rate = 1.0, 0.3, 1e-3

    def adam(decoupled):
        factors, mean, square = np.array([1.0, 0.7]), np.zeros(2), np.zeros(2)
        for step in range(1, 20_001):
            u, w = factors
            gradient = (u * w - v) * factors[::-1] + (0 if decoupled else strength) * factors
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            direction = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
            factors = factors - rate * (direction + (strength if decoupled else 0) * factors)
        return np.prod(factors)

    np.testing.assert_allclose(adam(decoupled=False), v - strength, atol=1e-3)
    assert abs(adam(decoupled=True) - (v - strength)) > 0.1


def test_nearest_factors_of_a_block(rng):
    """The transfer theorem with a coupled loss: the minimum over factors is that over weights."""
    form = factorise_gates(0.2, (gs.Channels(0),), (2, 3))
    v = rng.standard_normal((2, 3))
    factors, found = nearest_factors(form, v, form.start(v))
    penalty = gs.L1(0.2, on=gs.Channels())
    prox = penalty.prox(v, 1.0)
    np.testing.assert_allclose(form.expand(factors), prox, atol=1e-6)
    expected = np.square(prox - v).sum() / 2 + penalty.value(prox)
    np.testing.assert_allclose(found.fun, expected, rtol=1e-9)
