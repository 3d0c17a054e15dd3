"""Smooth forms as a solver: derivatives, optima of other solvers, refusals, who takes it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import check_grad
from scipy.sparse.linalg import aslinearoperator

import gossamer as gs
from gossamer.solvers import Factorised, choose
from gossamer.solvers.continuation import shallower, thresholds
from gossamer.solvers.gate_search import Kernels
from gossamer.solvers.gates import Gates
from gossamer.solvers.reduced import gram_store, kernel_store, sample_store
from gossamer.solvers.spectral_search import ProjectedSpectrum
from gossamer.solvers.varpro import evaluate, open_gates, polish

QUADRATIC, LOGISTIC = gs.losses.Quadratic(), gs.losses.Logistic()
GROUPS = gs.Groups(np.arange(60) // 10)


def at(ratio, X, y, loss, penalty, **options):
    """The problem at a share of the strength at which nothing is selected."""
    problem = gs.Problem(X, y, loss, penalty, **options)
    return problem.with_penalty(penalty.with_strength(ratio * problem.strength_max()))


def design(rng, n=40, p=60):
    """Correlated columns."""
    X = rng.standard_normal((n, p)) + 0.8 * rng.standard_normal((n, 1))
    return X, X[:, :12] @ rng.standard_normal(12) + 0.5 * rng.standard_normal(n)


# -- the reduced loss ------------------------------------------------------------------------------
@pytest.fixture
def reduced(rng):
    X, Y = rng.standard_normal((7, 9)), rng.standard_normal((7, 2))
    labels = np.array([0, 2, 1, 1, 0, 2, 2, 3, 0])
    kernels = [X[:, labels == unit] @ X[:, labels == unit].T for unit in range(4)]
    stores = {
        "samples": sample_store(X, Y, labels, 4),
        "Gram matrix": gram_store(X, Y, labels, 4),
        "kernels": kernel_store(kernels, Y, labels, lambda theta: X.T @ theta),
    }
    return X, Y, labels, stores


def test_stores_agree_with_plain_ridge(reduced, rng):
    X, Y, labels, stores = reduced
    tau = rng.random(4) + 0.1
    ridge = np.diag(1 / tau[labels])
    w = np.linalg.solve(X.T @ X + ridge, X.T @ Y)
    value = 0.5 * ((Y - X @ w) ** 2).sum() + 0.5 * (w * (ridge @ w)).sum()
    curvatures = []
    for name, store in stores.items():
        found = store(tau)
        np.testing.assert_allclose(found.value, value, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(found.coefficients(), w, rtol=1e-10, err_msg=name)
        pulls = np.bincount(labels, ((w / tau[labels][:, None]) ** 2).sum(axis=1))
        np.testing.assert_allclose(found.squares, pulls, rtol=1e-10, err_msg=name)
        curvatures.append(found.curvature())
    for curvature in curvatures[1:]:
        np.testing.assert_allclose(curvature, curvatures[0], rtol=1e-9)


@pytest.mark.parametrize("depth", [2.0, 3.0, 4.0, 2.5])
def test_gradient_and_curvature_by_differences(reduced, rng, depth):
    store = reduced[-1]["samples"]
    gates = Gates(depth, rng.random(4) + 0.5, np.array([0.0, 0.3, 1.0, 0.0]))
    v = rng.random(4) + 0.5
    value, gradient = (
        (lambda x: evaluate(store, gates, x)[0]),
        lambda x: evaluate(store, gates, x)[1],
    )
    assert check_grad(value, gradient, v) < 1e-5 * np.abs(gradient(v)).max()
    tau, slope, bend = gates.variances(v)
    found = store(tau)
    hessian = slope[:, None] * found.curvature() * slope + np.diag(1 - 0.5 * bend * found.squares)
    h = 1e-6
    expected = [(gradient(v + h * e) - gradient(v - h * e)) / (2 * h) for e in np.eye(4)]
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("depth", [2.0, 3.0, 4.0])
def test_the_gates_penalty_is_the_induced_one(rng, depth):
    """min_v 1/2 v^2 + 1/2 w^2 / tau(v) is c |w|^(2/k) plus the ridge, at the balanced gates."""
    gates = Gates(depth, np.array([0.7, 2.0, 0.1]), np.array([0.0, 0.5, 0.0]))
    w = np.array([1.5, 0.2, 3.0])
    v = gates.balanced(w)

    def total(v):
        return 0.5 * v**2 + 0.5 * w**2 / gates.variances(v)[0]

    induced = gates.charges * w ** (2 / depth) + 0.5 * gates.ridges * w**2
    np.testing.assert_allclose(total(v), induced, rtol=1e-12)
    for factor in (0.9, 1.1):
        assert (total(factor * v) > induced).all()


def test_polish_closes_gates_exactly(reduced):
    store = reduced[-1]["samples"]
    for depth, charge in ((2.0, 4.0), (3.0, 3.0)):
        gates = Gates(depth, np.full(4, charge), np.zeros(4))
        v = polish(store, gates, open_gates(store, gates, np.full(4, 1.0)))
        assert 0 < np.count_nonzero(v) < 4
        assert np.abs(evaluate(store, gates, v)[1]).max() < 1e-9


# -- the optimum of other solvers ------------------------------------------------------------------
CONVEX = [
    gs.L1(1.0),
    gs.L1(1.0, on=GROUPS),
    gs.L1(1.0, on=GROUPS, weights=np.linspace(0.5, 2.0, 6)),
    gs.ElasticNet(1.0, l1_ratio=0.7),
    gs.ElasticNet(1.0, l1_ratio=0.5, on=GROUPS),
]


def agrees(problem, tol=1e-9, other="ActiveSetNewton", support=True):
    found, expected = (problem.solve(s, tol=tol) for s in ("Factorised", other))
    null = problem.null_objective
    assert found.certificate.holds
    assert abs(found.certificate.objective - expected.certificate.objective) <= 2 * tol * null
    if support:
        np.testing.assert_array_equal(found.certificate.support, expected.certificate.support)
    return found


@pytest.mark.parametrize("ratio", [0.5, 0.05, 1e-3])
@pytest.mark.parametrize("penalty", CONVEX, ids=repr)
def test_quadratic(penalty, ratio, rng):
    X, y = design(rng)
    found = agrees(at(ratio, X, y, QUADRATIC, penalty), support=ratio > 1e-2)
    assert found.certificate.value < 1e-10  # Newton's steps end at rounding, not at the tolerance


@pytest.mark.parametrize("penalty", CONVEX[1:4], ids=repr)
def test_options(penalty, rng):
    X, y = design(rng)
    options = {"sample_weight": rng.integers(0, 3, 40), "offset": rng.standard_normal(40)}
    for standardise, intercept in ((True, True), (False, False)):
        agrees(at(0.1, X, y, QUADRATIC, penalty, standardise=standardise, fit_intercept=intercept,
                  **options))  # fmt: skip


@pytest.mark.parametrize("on", [gs.Rows(), gs.Elements(), GROUPS, gs.Channels(axis=1)], ids=repr)
def test_several_outputs(on, rng):
    X, y = design(rng)
    Y = np.column_stack([y, y + rng.standard_normal(40), X[:, 0]])
    agrees(at(0.1, X, Y, QUADRATIC, gs.L1(1.0, on=on)))


@pytest.mark.parametrize("penalty", CONVEX[:4], ids=repr)
@pytest.mark.parametrize("loss", [LOGISTIC, gs.losses.Huber(0.5), gs.losses.Poisson()], ids=repr)
def test_other_losses(loss, penalty, rng):
    X, y = design(rng, 80)
    y = {"Logistic": y > 0, "Poisson": np.round(np.exp(y / y.std()))}.get(type(loss).__name__, y)
    agrees(at(0.1, X, y, loss, penalty))


def test_classes_and_sparse_designs(rng):
    X, y = design(rng, 80)
    labels = np.digitize(y, np.quantile(y, [0.3, 0.7]))
    agrees(at(0.1, X, labels, gs.losses.Multinomial(), gs.L1(1.0)), tol=1e-8)
    X[rng.random(X.shape) < 0.6] = 0.0
    for loss, target in ((QUADRATIC, y), (LOGISTIC, y > 0)):
        for store in (sparse.csc_array(X), X.astype(np.float32)):
            agrees(at(0.1, store, target, loss, gs.L1(1.0, on=GROUPS)))


def test_more_gates_than_the_rank(rng):
    """The support reaches the rank of X: the second derivative is singular."""
    X = rng.standard_normal((30, 600))
    y = X[:, :10].sum(axis=1) + rng.standard_normal(30)
    agrees(at(2e-3, X, y, QUADRATIC, gs.L1(1.0)))


# -- singular values -------------------------------------------------------------------------------
def low_rank(rng, n=40, p=12, K=8):
    X = rng.standard_normal((n, p)) + rng.standard_normal((n, 1))
    Y = X @ rng.standard_normal((p, 2)) @ rng.standard_normal((2, K))
    return X, Y + rng.standard_normal((n, K))


@pytest.mark.parametrize("shape", [(40, 12, 8), (40, 6, 15), (10, 30, 8)])
@pytest.mark.parametrize("ratio", [0.5, 0.05, 5e-3])
def test_nuclear_norm(shape, ratio, rng):
    X, Y = low_rank(rng, *shape)
    found = agrees(at(ratio, X, Y, QUADRATIC, gs.L1(1.0, on=gs.Spectrum())), 1e-8,
                   "ProximalGradient", support=False)  # fmt: skip
    tight = at(ratio, X, Y, QUADRATIC, gs.L1(1.0, on=gs.Spectrum())).solve("Factorised", tol=1e-12)
    assert tight.certificate.value <= 1e-12
    assert len(tight.certificate.support) == len(found.certificate.support)


def test_nuclear_norm_with_ridge_and_other_losses(rng):
    X, Y = low_rank(rng)
    net = gs.ElasticNet(1.0, l1_ratio=0.6, on=gs.Spectrum())
    agrees(at(0.1, X, Y, QUADRATIC, net, sample_weight=rng.integers(0, 3, 40), standardise=True),
           1e-8, "ProximalGradient", support=False)  # fmt: skip
    labels = np.argmax(Y[:, :4] + rng.standard_normal((40, 4)), axis=1)
    for penalty in (gs.L1(1.0, on=gs.Spectrum()), net):
        agrees(at(0.2, X, labels, gs.losses.Multinomial(), penalty), 1e-8, "ProximalGradient",
               support=False)  # fmt: skip
    operator = at(0.2, aslinearoperator(X), Y, QUADRATIC, gs.L1(1.0, on=gs.Spectrum()))
    agrees(operator, 1e-8, "ProximalGradient", support=False)


def test_gradient_of_the_projected_spectrum(rng):
    X, Y = low_rank(rng)
    problem = at(0.1, X, Y, QUADRATIC, gs.L1(1.0, on=gs.Spectrum()))
    search = ProjectedSpectrum(problem, problem.penalty.strength, 0.1)
    for function, rows in ((search._of_outputs, 8), (search._of_features, 12)):
        x = rng.standard_normal((rows, 3))
        wrong = check_grad(
            lambda flat, f=function, s=x.shape: f(flat.reshape(s))[0],
            lambda flat, f=function, s=x.shape: f(flat.reshape(s))[1].ravel(), x.ravel(),
        )  # fmt: skip
        assert wrong < 1e-5 * np.abs(function(x)[1]).max()


# -- bridge penalties ------------------------------------------------------------------------------
def test_shallower_forms_select_at_the_same_pull():
    curvature = np.array([0.5, 1.0, 2.0])
    gates = Gates(4.0, np.array([0.3, 1.0, 0.1]), np.zeros(3))
    expected = thresholds(gates, curvature)
    for depth in (3.0, 2.5):
        found = thresholds(shallower(gates, curvature, depth), curvature)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(shallower(gates, curvature, 2.0).charges, expected)
    penalty = gs.Lq(0.3, q=1 / 2)  # by the prox: just kept, just dropped
    for factor, kept in ((1 + 1e-9, True), (1 - 1e-9, False)):
        moved = penalty.prox(np.array([expected[0] * factor / 0.5]), 1 / 0.5)
        assert bool(moved[0]) == kept


@pytest.mark.parametrize("q", [2 / 3, 1 / 2, 0.4])
@pytest.mark.parametrize("loss", [QUADRATIC, LOGISTIC], ids=repr)
def test_bridges_end_coordinate_wise(q, loss, rng):
    X, y = design(rng, 80)
    y = y if loss.is_quadratic else y > 0
    for on in (gs.Elements(), GROUPS):
        problem = at(0.2, X, y, loss, gs.Lq(1.0, q=q, on=on))
        result = problem.solve("Factorised", tol=1e-8)
        again = problem.solve("ActiveSetNewton", w0=result.coef, intercept0=result.intercept)
        assert result.certificate.holds and result.certificate.kind == "coordinate-wise"
        assert again.certificate.objective == pytest.approx(result.certificate.objective, rel=1e-7)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_a_bridge_as_good_as_the_best_of_twenty_starts(seed):
    rng = np.random.default_rng(seed)
    X = 0.3 * rng.standard_normal((80, 300)) + rng.standard_normal((80, 1))
    y = X[:, ::30] @ rng.standard_normal(10) + 0.3 * rng.standard_normal(80)
    problem = at(0.1, X, y, QUADRATIC, gs.Lq(1.0, q=1 / 2), standardise=True)
    reached = problem.solve("Factorised").certificate.objective
    starts = [None, *rng.standard_normal((19, 300))]
    others = [problem.solve("CoordinateDescent", w0=w0).certificate.objective for w0 in starts]
    assert reached <= min(others) * (1 + 1e-9)


# -- when it is taken, and when not ----------------------------------------------------------------
def test_auto_takes_it_for_large_groups_and_low_rank(rng):
    X = rng.standard_normal((20, 100))
    y = X[:, 0] + rng.standard_normal(20)
    large, small = gs.Groups(np.arange(100) // 25), gs.Groups(np.arange(100) // 5)
    Y = np.column_stack([y, X[:, 1]])
    for target, penalty, name in (
        (y, gs.L1(0.1, on=large), "Factorised"),
        (y, gs.L1(0.1, on=small), "ActiveSetNewton"),
        (y, gs.MCP(0.1, on=large), "ActiveSetNewton"),
        (y, gs.L1(0.1), "ActiveSetNewton"),
        (y, gs.Lq(0.1), "ActiveSetNewton"),
        (Y, gs.L1(0.1, on=gs.Spectrum()), "Factorised"),
        (Y, gs.MCP(0.1, on=gs.Spectrum()), "ProximalGradient"),
    ):
        problem = gs.Problem(X, target, QUADRATIC, penalty)
        assert type(choose(problem)).__name__ == name
    assert type(choose(gs.Problem(X, y > 0, LOGISTIC, gs.L1(0.1, on=large)))) is not Factorised


REFUSED = [
    (gs.MCP(0.1), "no smooth form"),
    (gs.L1(0.1, nonnegative=True), "single gate"),
    (gs.L1(0.1) + gs.L1(0.1, on=GROUPS), "single gate"),
    (gs.L1(0.0), "without a penalty"),
    (gs.L1(0.1, weights=np.arange(60.0)), "without a penalty"),
    (gs.ElasticNet(0.1, l1_ratio=0.0), "no smooth form"),
    (gs.Lq(0.1, q=0.1), "depth 20"),
    (gs.Lq(0.1, q=2 / 3, on=gs.Spectrum()), "several minima"),
]


@pytest.mark.parametrize(("penalty", "reason"), REFUSED, ids=repr)
def test_refusals(penalty, reason, rng):
    X, y = design(rng)
    with pytest.raises(gs.UnsupportedProblem, match=reason):
        gs.Problem(X, y, QUADRATIC, penalty).solve("Factorised")


def test_operators_have_no_units(rng):
    X, y = design(rng)
    problem = gs.Problem(aslinearoperator(X), y, QUADRATIC, gs.L1(0.1))
    with pytest.raises(gs.UnsupportedProblem, match="LinearOperator"):
        problem.solve("Factorised")


def test_a_path_keeps_the_kernels(rng):
    X, y = design(rng, n=8)
    problem = at(0.5, X, y, QUADRATIC, gs.L1(1.0, on=GROUPS))
    first = Factorised().run(problem, problem.start(), 1e-8, 100)
    kernels = first.point.workspace
    assert isinstance(kernels, Kernels) and kernels.known
    before = dict(kernels.known)
    weaker = problem.with_penalty(problem.penalty.with_strength(0.1 * problem.penalty.strength))
    again = Factorised().run(weaker, first.point, 1e-8, 100)
    assert again.certificate.holds and again.point.workspace is kernels
    assert all(kernels.known[unit] is kernel for unit, kernel in before.items())


def test_systems_beyond_precision_are_reported(rng, monkeypatch):
    X, y = design(rng)
    problem = at(0.1, X, y, QUADRATIC, gs.L1(1.0))

    def fails(*arguments, **options):
        raise RuntimeError

    monkeypatch.setattr("gossamer.solvers.varpro.nnls", fails)
    with pytest.warns(gs.ConvergenceWarning, match="no further progress"):
        assert not problem.solve("Factorised").certificate.holds


@pytest.mark.parametrize("kind", ["equal", "zero", "constant", "scales", "float32"])
def test_hard_groups(kind, rng):
    """Groups without full rank, and columns of very different sizes, are solved all the same."""
    X = rng.standard_normal((20, 80))
    y = X[:, :30].sum(axis=1) + rng.standard_normal(20)
    if kind == "equal":
        X[:, 20:40] = X[:, :20]
    elif kind == "zero":
        X[:, :20] = 0.0
    elif kind == "constant":
        X[:, :20] = 3.0
    elif kind == "scales":
        X *= np.geomspace(1e-4, 1e4, 80)
    X = X.astype(np.float32) if kind == "float32" else X
    for ratio in (0.5, 1e-2, 1e-5):
        problem = at(ratio, X, y, QUADRATIC, gs.L1(1.0, on=gs.Groups(np.arange(80) // 20)))
        result = problem.solve(tol=1e-9)
        assert result.solver == "Factorised" and result.certificate.holds


def test_never_converged_without_a_certificate(rng):
    X, y = design(rng)
    problem = at(1e-3, X, y, QUADRATIC, gs.L1(1.0))
    with pytest.warns(gs.ConvergenceWarning, match="Factorised"):
        result = problem.solve("Factorised", max_iter=1, tol=1e-12)
    assert not result.certificate.holds
    judged = problem.certificate(result.coef, result.intercept)
    assert judged.value == pytest.approx(result.certificate.value, rel=1e-6)
