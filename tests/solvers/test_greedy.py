"""Greedy solvers against scikit-learn, and where their theory says that they recover a support."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gossamer.core import Problem, UnsupportedProblem
from gossamer.losses import Logistic, Multinomial, Quadratic
from gossamer.penalties import L1, AtMost
from gossamer.solvers import IHT, OMP, CoSaMP, FoBa
from gossamer.solvers.greedy import Supports
from gossamer.structures import Elements, Groups, Rows

GREEDY = [OMP(), CoSaMP(), IHT(), IHT(pursuit=False), FoBa()]
NAMES = ["omp", "cosamp", "htp", "iht", "foba"]


def _recoverable(rng, n=120, p=400, k=8):
    """Gaussian measurements without noise, enough of them for every method here."""
    X = rng.standard_normal((n, p))
    support = np.sort(rng.permutation(p)[:k])
    w = np.zeros(p)
    w[support] = rng.choice([-1.0, 1.0], k) * rng.uniform(1.0, 2.0, k)
    return X, X @ w, support, w


@pytest.mark.parametrize("solver", GREEDY, ids=NAMES)
def test_recovers_a_sparse_signal(rng, solver):
    X, y, support, w = _recoverable(rng)
    result = Problem(X, y, Quadratic(), AtMost(8), fit_intercept=False).solve(solver, tol=1e-8)
    assert list(result.certificate.support) == list(support)
    np.testing.assert_allclose(result.coef, w, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_omp_is_that_of_scikit_learn(seed):
    """For columns of one length the choice by correlation is the choice by gain."""
    from sklearn.linear_model import orthogonal_mp

    rng = np.random.default_rng(seed)
    X = rng.standard_normal((80, 200)) + 0.7 * rng.standard_normal((80, 1))
    X /= np.linalg.norm(X, axis=0)
    y = X[:, :10] @ rng.standard_normal(10) + 0.1 * rng.standard_normal(80)
    ours = Problem(X, y, Quadratic(), AtMost(15), fit_intercept=False).solve("omp")
    np.testing.assert_allclose(ours.coef, orthogonal_mp(X, y, n_nonzero_coefs=15), atol=1e-8)


@pytest.mark.parametrize("solver", GREEDY, ids=NAMES)
def test_scale_of_columns_does_not_matter(rng, solver):
    X, y, support, _ = _recoverable(rng)
    scaled = X * np.exp(rng.standard_normal(400))
    # a gradient step sees the scale, as a prox does: standardise
    problem = Problem(scaled, y, Quadratic(), AtMost(8), standardise=isinstance(solver, IHT))
    assert list(problem.solve(solver).certificate.support) == list(support)


@pytest.mark.parametrize("solver", GREEDY, ids=NAMES)
def test_groups_labels_and_classes(rng, solver):
    X = rng.standard_normal((300, 60))
    signal = X[:, :3] @ [1.5, -1.5, 1.0] + X[:, 30:33] @ [1.0, 1.0, -1.5]
    budget = AtMost(2, on=Groups(np.arange(60) // 3))
    for loss, y in ((Quadratic(), signal), (Logistic(), signal + rng.logistic(size=300) > 0)):
        result = Problem(X, y, loss, budget).solve(solver)
        assert list(result.certificate.support) == [0, 10]
    classes = np.digitize(2 * X[:, 4] + X[:, 9] + 0.5 * rng.standard_normal(300), [-1, 1])
    result = Problem(X, classes, Multinomial(), AtMost(2, on=Rows())).solve(solver)
    assert list(result.certificate.support) == [4, 9]


def test_backward_steps_undo_a_wrong_choice(rng):
    """A sum of two columns, which matches best at first, is useless beside them (Zhang 2011)."""
    u, v, noise = np.linalg.qr(rng.standard_normal((50, 3)))[0].T
    X = np.column_stack([u, v, (u + v) / np.sqrt(2) + 0.3 * noise])
    problem = Problem(X, u + v, Quadratic(), AtMost(2), fit_intercept=False)
    assert list(problem.solve("foba").certificate.support) == [0, 1]
    assert 2 in problem.solve("omp").certificate.support


@pytest.mark.parametrize("solver", GREEDY, ids=NAMES)
def test_dense_and_sparse_agree(rng, solver):
    X = rng.standard_normal((60, 30)) + 1.0
    X[rng.random(X.shape) < 0.6] = 0.0
    y = X[:, 0] - X[:, 5] + 0.1 * rng.standard_normal(60)
    cases = [(Quadratic(), y), (Logistic(), y > np.median(y))]
    # sparse columns are not centred for other losses, which bends the path of gradient steps
    for loss, target in cases[: 1 if isinstance(solver, IHT) else 2]:
        coefs = [
            Problem(store, target, loss, AtMost(3, ridge=0.01)).solve(solver, tol=1e-9).coef
            for store in (X, sparse.csc_array(X))
        ]
        np.testing.assert_allclose(coefs[0], coefs[1], atol=1e-8)


@pytest.mark.parametrize("solver", GREEDY, ids=NAMES)
@pytest.mark.parametrize("case", ["zero y", "duplicates", "constants", "k above rank", "all units"])
def test_hard_inputs(rng, solver, case):
    X = rng.standard_normal((12, 40))
    y = X[:, 0] + 0.5 * X[:, 1]
    k = 3
    match case:
        case "zero y":
            y = np.zeros(12)
        case "duplicates":
            X[:, 20:] = X[:, :20]
        case "constants":
            X[:, ::2] = 3.0
        case "k above rank":
            k = 30
        case "all units":
            k = 100
    result = Problem(X, y, Quadratic(), AtMost(k)).solve(solver)
    assert np.isfinite(result.coef).all()
    assert len(result.certificate.support) <= k
    if case == "zero y":
        assert not result.coef.any()


def test_refusals():
    problem = Problem(np.eye(4), np.arange(4.0), Quadratic(), L1(0.1))
    with pytest.raises(UnsupportedProblem, match="not a budget"):
        problem.solve("omp")
    with pytest.raises(ValueError, match="backward must be below 1"):
        FoBa(backward=1.0)


def test_steps_are_limited_and_said(rng):
    from gossamer.core import ConvergenceWarning, Status

    X, y, _, _ = _recoverable(rng)
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        result = Problem(X, y, Quadratic(), AtMost(8)).solve("omp", max_iter=3)
    assert result.status is Status.MAX_ITER
    assert len(result.certificate.support) == 3


@pytest.mark.parametrize("shape", ["features", "groups", "tasks", "sparse", "duplicates"])
def test_columns_that_are_kept_refit_as_the_samples_do(shape, monkeypatch):
    rng = np.random.default_rng(0)
    X, on = 3 + rng.standard_normal((60, 40)), Elements()
    if shape == "duplicates":
        X[:, 20:] = X[:, :20]
    y = X[:, :4] @ [1.0, -2.0, 1.0, 2.0] + rng.standard_normal(60)
    if shape == "groups":
        on = Groups(np.arange(40) // 4)
    if shape == "tasks":
        y, on = np.column_stack([y, X[:, 7] - X[:, 30]]), Rows()
    if shape == "sparse":
        X = sparse.csc_array(np.where(X > 3, X, 0.0))
    problem = Problem(
        X, y, Quadratic(), AtMost(3, on=on, ridge=0.1),
        sample_weight=rng.uniform(size=60), standardise=True,
    )  # fmt: skip
    start, chosen = problem.start(), np.array([1, 0, 7])
    fast = Supports(problem).refit(chosen, start)
    assert "gradient" in vars(fast)  # not by a pass over X
    monkeypatch.setattr("gossamer.solvers.gram_refits._MOST", 0)
    slow = Supports(problem).refit(chosen, start)
    assert "gradient" not in vars(slow)
    np.testing.assert_allclose(fast.w, slow.w, atol=1e-10)
    np.testing.assert_allclose(fast.b, slow.b, atol=1e-10)
    np.testing.assert_allclose(fast.gradient, slow.gradient, atol=1e-10)
