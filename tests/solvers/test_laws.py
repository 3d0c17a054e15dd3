"""Every registered solver keeps the laws, and all agree with scipy and scikit-learn."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from scipy.optimize import minimize

from gossamer.core import ConvergenceWarning, Problem, Status, UnsupportedProblem
from gossamer.core.registry import LOSSES, SOLVERS
from gossamer.losses import Logistic, Quadratic
from gossamer.penalties import L1, MCP, ElasticNet
from gossamer.solvers import ProximalGradient
from gossamer.structures import Groups, Rows
from gossamer.testing import apply, instances, laws_of
from gossamer.testing.instances import plain_target
from gossamer.testing.problems import Explicit, budget_cases, cases
from gossamer.testing.solver_laws import solves


@pytest.mark.parametrize(
    ("solver", "law"),
    [
        pytest.param(solver, law, id=f"{type(solver).__name__}-{law.__name__}")
        for solver in instances(SOLVERS)
        for law in laws_of(solver)
    ],
)
def test_registered(solver, law):
    apply(law, solver)


@pytest.mark.slow
@pytest.mark.parametrize("solver", instances(SOLVERS), ids=lambda solver: type(solver).__name__)
def test_many_problems(solver):
    # a first-order method on an ill-conditioned problem takes its time: it is asked for less
    tol = 1e-6 if isinstance(solver, ProximalGradient) else 1e-8
    for case in chain(cases(600), budget_cases(200)):
        if solver.refuses(case.problem) is None:
            solves(solver, case, tol)


def _by_lbfgs(problem: Problem) -> float:
    """The optimum of an L1 or elastic-net problem on elements, w = u - v with u, v >= 0."""
    explicit, penalty = Explicit.of(problem), problem.penalty
    weights = np.ones(problem.shape).ravel() if penalty.weights is None else penalty.weights
    ratio = getattr(penalty, "l1_ratio", 1.0)
    slope = penalty.strength * ratio * weights
    ridge = penalty.strength * (1 - ratio) * weights
    m, k = len(weights), problem.shape[1]

    def cost(x):
        u, v, b = x[:m], x[m : 2 * m], x[2 * m :]
        w = (u - v).reshape(problem.shape)
        z = explicit.predict(w, b)
        gradient, slope_b = explicit.gradients(w, b)
        value = problem.sample_weight @ problem.loss.value(z, problem.y)
        value += slope @ (u + v) + 0.5 * ridge @ (u - v) ** 2
        pull = gradient.ravel() + ridge * (u - v)
        return value, np.concatenate([pull + slope, slope - pull, slope_b])

    top = 0.0 if penalty.nonnegative else None
    free = (None, None) if problem.fit_intercept else (0.0, 0.0)
    bounds = [(0, None)] * m + [(0, top)] * m + [free] * k
    options = {"maxiter": 20_000, "maxfun": 20_000, "ftol": 0, "gtol": 1e-10, "maxcor": 30}
    found = minimize(cost, np.zeros(2 * m + k), jac=True, method="L-BFGS-B", bounds=bounds,
                     options=options)  # fmt: skip
    return float(found.fun)


_CONVEX_ELEMENTS = [
    case
    for case in cases(90)
    if type(case.problem.penalty) in (L1, ElasticNet)
    and case.problem.loss.is_smooth
    and case.problem.penalty.on.units(case.problem.shape).are_single
]


@pytest.mark.parametrize("case", _CONVEX_ELEMENTS, ids=repr)
def test_against_lbfgs(case):
    result = case.problem.solve(tol=1e-10)
    least = _by_lbfgs(case.problem)
    # one-sided: scipy stops first, at a gain of 1e-10 along the gradient
    assert result.certificate.objective <= least + 1e-9
    assert result.certificate.objective >= least - 1e-6 * (1 + least)


def test_against_scikit_learn(rng):
    from sklearn.linear_model import Lasso, LogisticRegression, MultiTaskLasso

    X = rng.standard_normal((80, 20)) + 0.5
    y = X[:, :3] @ [1.0, -2.0, 0.5] + rng.standard_normal(80)
    ours = Problem(X, y, Quadratic(), L1(0.1)).solve(tol=1e-12)
    theirs = Lasso(0.1, tol=1e-12, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=1e-7)
    np.testing.assert_allclose(ours.intercept, theirs.intercept_, atol=1e-7)

    Y = np.stack([y, rng.standard_normal(80)], axis=1)
    ours = Problem(X, Y, Quadratic(), L1(0.1, on=Rows())).solve(tol=1e-12)
    theirs = MultiTaskLasso(0.1, tol=1e-12, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(ours.coef, theirs.coef_.T, atol=1e-7)

    labels = (y > 0).astype(int)
    ours = Problem(X, labels, Logistic(), L1(0.05), fit_intercept=False).solve(tol=1e-12)
    theirs = LogisticRegression(l1_ratio=1.0, solver="liblinear", C=1 / (80 * 0.05), tol=1e-10,
                                fit_intercept=False, max_iter=10_000, random_state=0)  # fmt: skip
    np.testing.assert_allclose(ours.coef, theirs.fit(X, labels).coef_[0], atol=1e-6)


@pytest.mark.parametrize("loss", instances(LOSSES), ids=repr)
def test_dense_and_sparse_agree(loss, rng):
    """The same X in another store is the same problem, standardised or not."""
    from scipy import sparse

    X = rng.standard_normal((60, 8)) * np.linspace(0.2, 3, 8) + 1.0
    X[rng.random(X.shape) < 0.5] = 0.0
    y = plain_target(loss, X[:, 0] + rng.standard_normal(60) - 0.5)
    tol = 1e-12 if loss.is_smooth else 1e-10
    for standardise in (False, True):
        dense, compressed = (
            Problem(store, y, loss, L1(0.02), standardise=standardise).solve(tol=tol)
            for store in (X, sparse.csc_array(X))
        )
        found, expected = compressed.certificate.objective, dense.certificate.objective
        np.testing.assert_allclose(found, expected, rtol=10 * tol)
        # two classes share what they please of a coefficient, and straight lines have flat valleys
        if loss.is_smooth and not loss.coupled:
            np.testing.assert_allclose(compressed.coef, dense.coef, atol=1e-6)
            np.testing.assert_allclose(compressed.intercept, dense.intercept, atol=1e-6)


@pytest.mark.parametrize("solver", ["activesetnewton", "coordinate_descent", "proximal-gradient"])
def test_interrupt_returns_what_it_has(solver, rng, monkeypatch):
    import gossamer.core.certificate as certificate
    import gossamer.solvers.iterating as gradient
    import gossamer.solvers.working_set as working

    calls = []

    def interrupted(*arguments, **keywords):
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return certificate.certify(*arguments, **keywords)

    monkeypatch.setattr(gradient, "certify", interrupted)
    monkeypatch.setattr(working, "certify", interrupted)
    X = rng.standard_normal((50, 400))
    y = X[:, :20].sum(axis=1) + rng.standard_normal(50)
    problem = Problem(X, y, Quadratic(), L1(1e-3))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        result = problem.solve(solver, tol=1e-14)
    assert result.status is Status.INTERRUPTED
    judged = problem.certificate(result.coef, result.intercept)
    np.testing.assert_allclose(judged.objective, result.certificate.objective, rtol=1e-9)


def test_refusals_name_every_solver_and_reason(rng):
    from scipy.sparse.linalg import aslinearoperator

    X = aslinearoperator(rng.standard_normal((20, 5)))
    problem = Problem(X, rng.standard_normal(20), Quadratic(), L1(0.1), fit_intercept=False)
    for name in ("activesetnewton", "coordinatedescent"):
        with pytest.raises(UnsupportedProblem, match=r"LinearOperator.*Omit solver="):
            problem.solve(name)
    assert problem.solve().solver == "ProximalGradient"


def test_an_unknown_solver_gets_a_hint(rng):
    problem = Problem(np.eye(3), np.ones(3), Quadratic(), L1(0.1))
    with pytest.raises(ValueError, match="Did you mean 'coordinatedescent'"):
        problem.solve("coordinate_decent")


def test_separable_labels_are_reported_not_hidden(rng):
    """Where no finite optimum exists (MCP is flat far out) the solver ends, and says how far."""
    X = rng.standard_normal((30, 3))
    problem = Problem(X, X[:, 0] > 0, Logistic(), MCP(0.01), fit_intercept=False)
    try:
        result = problem.solve(tol=1e-10, max_iter=50)
    except ConvergenceWarning as warning:
        assert "certificate" in str(warning)
    else:
        assert result.certificate.holds


def test_wide_data_in_seconds(rng):
    X = rng.standard_normal((20, 100_000))
    y = X[:, 0] - X[:, 99_999] + 0.1 * rng.standard_normal(20)
    result = Problem(X, y, Quadratic(), L1(0.3)).solve()
    assert result.certificate.holds
    labels = np.arange(100_000) // 4
    assert Problem(X, y, Quadratic(), L1(0.3, on=Groups(labels))).solve().certificate.holds
