"""Kernels in plain Python, and every column store against explicit matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gossamer.solvers.model as model_room
from gossamer.core import Problem
from gossamer.core.formula import rebind
from gossamer.kernels import columns as stores
from gossamer.kernels.descent import block_cycles, element_cycles
from gossamer.losses import Huber, Logistic, Multinomial, Poisson, Quadratic
from gossamer.penalties import L1, MCP, ElasticNet
from gossamer.solvers.block import Block
from gossamer.solvers.descend import descend
from gossamer.solvers.working_columns import WorkingColumns
from gossamer.solvers.working_units import WorkingUnits
from gossamer.structures import Groups, Rows

N, P = 30, 8


def _design(rng):
    X = rng.standard_normal((N, P)) * np.linspace(0.3, 2, P) + 0.5
    X[rng.random(X.shape) < 0.5] = 0.0
    return X


def _model(problem, residual, monkeypatch):
    """The model of a problem at zero on all of its units, and an explicit matrix of it."""
    if residual:
        monkeypatch.setattr(model_room, "_MAX_GRAM", 0)
    loss, s, y = problem.loss, problem.sample_weight[:, None], problem.y
    form = problem.penalty.unit_form(problem.shape)
    explicit = problem.fit_intercept and not loss.is_quadratic
    columns = WorkingColumns(problem.design, explicit)
    units = np.arange(form.units.count)
    working = WorkingUnits.choose(form, units, problem.shape[1], columns)
    z = problem.linear(np.zeros(problem.shape), problem.null_intercept)
    # as the solver: implicit centring needs the exact curvature of the quadratic loss
    damping = 0.0 if loss.is_quadratic else 0.01
    h = np.broadcast_to(s * (damping + (0.0 if loss.coupled else loss.curvature(z, y))), z.shape)
    chance = loss.mean(z) if loss.coupled else None
    model = Block(problem, columns, working).model(s * loss.gradient(z, y), h, chance)
    return model, working, _explicit(problem, columns, working, z, h, chance)


def _explicit(problem, columns, working, z, h, chance):
    """Gradient (m,) and matrix (m, m) of the quadratic model, written out."""
    X = problem.X.toarray() if sparse.issparse(problem.X) else problem.X
    design = problem.design
    X = X - (0.0 if design.center is None else design.center)
    X = X if design.scale is None else X / design.scale
    X = np.column_stack([X, np.ones(N)])[:, columns.features]
    s, k = problem.sample_weight, z.shape[1]
    columns = [
        np.outer(X[:, j], np.arange(k) == o)
        for j, o in zip(working.feature, working.output, strict=True)
    ]
    A = np.stack([c.ravel() for c in columns], axis=1)
    if chance is None:
        W = np.diag(h.ravel())
    else:
        W = np.zeros((N * k, N * k))
        for i in range(N):
            p = chance[i]
            at = slice(i * k, (i + 1) * k)
            W[at, at] = s[i] * (np.diag(p) - np.outer(p, p)) + np.diag(h[i])
    u = s[:, None] * problem.loss.gradient(z, problem.y)
    return A.T @ u.ravel(), A.T @ W @ A


CASES = {
    "quadratic": (Quadratic(), L1(0.05), False),
    "quadratic groups": (Quadratic(), L1(0.05, on=Groups([0, 1, 0, 1, 2, 2, 3, 3])), False),
    "logistic": (Logistic(), MCP(0.05), False),
    "logistic standardised": (Logistic(), L1(0.03), True),
    "quadratic standardised": (Quadratic(), ElasticNet(0.05), True),
    "multinomial": (Multinomial(), L1(0.02), False),
    "multinomial rows": (Multinomial(), L1(0.02, on=Rows()), False),
    "multinomial standardised": (Multinomial(), L1(0.02), True),
    "several outputs": (Quadratic(), L1(0.05, on=Rows()), False),
    "sparse groups": (Poisson(), L1(0.02) + L1(0.02, on=Groups([0, 1, 0, 1, 2, 2, 3, 3])), False),
    "huber": (Huber(0.8), L1(0.03, nonnegative=True), True),
}


def _problem(name, store, rng):
    loss, penalty, standardise = CASES[name]
    X = _design(rng)
    signal = X[:, 0] - X[:, 3] + 0.5 * rng.standard_normal(N)
    y = {
        "Logistic": signal + rng.standard_normal(N) > 0,
        "Multinomial": np.digitize(signal + rng.standard_normal(N), [-0.5, 0.5]),
        "Poisson": np.round(np.exp(np.clip(signal, -2, 2))),
    }.get(type(loss).__name__, signal)
    if name == "several outputs":
        y = np.stack([signal, X[:, 1] + signal, rng.standard_normal(N)], axis=1)
    weights = rng.integers(1, 4, N)
    return Problem(store(X), y, loss, penalty, sample_weight=weights, standardise=standardise)


@pytest.mark.parametrize("residual", [False, True], ids=["gram", "residual"])
@pytest.mark.parametrize("store", [np.asarray, sparse.csc_array], ids=["dense", "csc"])
@pytest.mark.parametrize("name", CASES)
def test_steps_move_the_gradient_as_the_matrix_says(name, store, residual, rng, monkeypatch):
    problem = _problem(name, store, rng)
    model, working, (gradient, matrix) = _model(problem, residual, monkeypatch)
    assert (model.axpy is not stores.gram_axpy) == residual
    if model.gram_of is not None:
        at = np.arange(0, working.size, 2)
        np.testing.assert_allclose(model.gram_of(at), matrix[np.ix_(at, at)], atol=1e-11)
    close = {"rtol": 1e-9, "atol": 1e-11}
    np.testing.assert_allclose(model.gradient(), gradient, **close)
    # column by column, as kernels do: in plain Python
    w = rng.standard_normal(working.size)
    for c in range(working.size):
        model.axpy(model.columns, model.feature[c], model.output[c], w[c], model.state)
    expected = gradient + matrix @ w
    dots = [
        model.dot(model.columns, j, k, model.state)
        for j, k in zip(model.feature, model.output, strict=True)
    ]
    np.testing.assert_allclose(dots, expected, **close)
    np.testing.assert_allclose(model.gradient(), expected, **close)
    # all at once, as jumps do
    other = rng.standard_normal(working.size)
    moved = model.push(other)
    np.testing.assert_allclose(model.pull(moved), matrix @ other, **close)
    for u, (start, stop) in enumerate(zip(working.starts, working.starts[1:], strict=False)):
        largest = np.linalg.eigvalsh(matrix[start:stop, start:stop])[-1]
        assert model.curvature[u] >= largest * (1 - 1e-9)
        assert model.curvature[u] <= largest * (1 + 1e-9) or problem.loss.coupled


@pytest.mark.parametrize("name", ["quadratic", "quadratic groups", "sparse groups", "huber"])
def test_compiled_cycles_equal_plain_python(name, rng, monkeypatch):
    """The numpy twin of the kernels: the same functions, not compiled."""
    problem = _problem(name, np.asarray, rng)
    for residual in (False, True):
        compiled, working, _ = _model(problem, residual, monkeypatch)
        plain, _, _ = _model(problem, residual, monkeypatch)
        form = working.form
        names = {"prox": form.prox, "dot": plain.dot, "axpy": plain.axpy}
        w = np.zeros(working.size)
        single = (working.units.lengths == 1).all() and not working.inner.any()
        shared = (plain.columns, plain.state, w, plain.feature, plain.output)
        trail = np.empty((7, working.size))
        limits = (working.lower, form.par, 0.0)
        if single:
            kernel = rebind(element_cycles, names)
            kernel(*shared, plain.curvature, working.weights, *limits, trail)
        else:
            kernel = rebind(block_cycles, names)
            kernel(*shared, working.starts, plain.curvature, working.weights, working.inner,
                   *limits, np.empty(working.size), trail)  # fmt: skip
        found = np.zeros(working.size)
        # five cycles, a jump, and more: both end at the model's optimum
        descend(compiled, working, found, 1e-26, 5000, newton=False)
        for _ in range(300):
            if single:
                kernel(*shared, plain.curvature, working.weights, *limits, trail)
            else:
                kernel(*shared, working.starts, plain.curvature, working.weights, working.inner,
                       *limits, np.empty(working.size), trail)  # fmt: skip
        np.testing.assert_allclose(found, w, atol=1e-7)


@pytest.mark.parametrize("store", [np.asarray, sparse.csc_array], ids=["dense", "csc"])
@pytest.mark.parametrize("name", CASES)
def test_residual_stores_reach_the_same_optimum(name, store, rng, monkeypatch):
    problem = _problem(name, store, rng)
    expected = problem.solve(tol=1e-10)
    monkeypatch.setattr(model_room, "_MAX_GRAM", 0)
    found = problem.solve(tol=1e-10)
    assert found.certificate.holds
    objective = expected.certificate.objective
    np.testing.assert_allclose(found.certificate.objective, objective, rtol=1e-8)
    if not problem.loss.coupled:
        np.testing.assert_allclose(found.coef, expected.coef, atol=1e-4)
