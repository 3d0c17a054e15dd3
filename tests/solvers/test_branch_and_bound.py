"""Branch and bound against all subsets, against HiGHS, and what it says when it is stopped."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from gossamer.core import ConvergenceWarning, Problem, Status, UnsupportedProblem
from gossamer.losses import Logistic, Quadratic
from gossamer.penalties import AtMost
from gossamer.solvers import BranchAndBound
from gossamer.structures import Groups


def _least_of_all(X, y, k, ridge=0.0):
    """The least mean squared error (halved) with the ridge over all supports, by QR."""
    n = len(y)
    X, y = X - X.mean(axis=0), y - y.mean()
    best = np.inf
    for support in combinations(range(X.shape[1]), k):
        A = np.vstack([X[:, support], np.sqrt(n * ridge) * np.eye(k)])
        b = np.append(y, np.zeros(k))
        residual = b - A @ np.linalg.lstsq(A, b, rcond=None)[0]
        best = min(best, residual @ residual / (2 * n))
    return best


def _noisy(seed, n, p):
    """Correlated columns and a signal below the noise, where greedy choices go wrong."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + rng.standard_normal((n, 1))
    return X, X @ rng.standard_normal(p) * 0.5 + 2 * rng.standard_normal(n)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "p", "k"), [(40, 14, 4), (25, 18, 3), (10, 14, 3)])
def test_against_all_subsets(seed, n, p, k):
    X, y = _noisy(seed, n, p)
    for ridge in (0.0, 0.3):
        problem = Problem(X, y, Quadratic(), AtMost(k, ridge=ridge))
        result = problem.solve(BranchAndBound(box=10.0), tol=1e-9)
        assert result.certificate.holds
        assert result.certificate.objective == pytest.approx(_least_of_all(X, y, k, ridge))


def test_finds_what_greedy_misses():
    found = {}
    X, y = _noisy(1, 60, 40)
    problem = Problem(X, y, Quadratic(), AtMost(5))
    for name in ("omp", "cosamp", "iht", "foba", "branch-and-bound"):
        found[name] = problem.solve(name).certificate.objective
    assert min(found, key=lambda name: found[name]) == "branch-and-bound"
    assert found["branch-and-bound"] < 0.999 * min(v for k, v in found.items() if k[0] != "b")


def test_orthogonal_design_in_closed_form():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((50, 20)))[0]
    y = Q @ rng.standard_normal(20) + 0.1 * rng.standard_normal(50)
    problem = Problem(Q, y, Quadratic(), AtMost(6), fit_intercept=False)
    result = problem.solve("branch-and-bound", tol=1e-10)
    assert set(result.certificate.support) == set(np.argsort(-np.abs(Q.T @ y))[:6])


def test_time_runs_out():
    X, y = _noisy(0, 100, 400)
    seen = []
    problem = Problem(X, y, Quadratic(), AtMost(8))
    solver = BranchAndBound(time_limit=0.5, on_step=seen.append)
    with pytest.warns(ConvergenceWarning, match="time limit"):
        result = solver.solve(problem)
    certificate = result.certificate
    assert result.status is Status.TIME_LIMIT
    assert certificate.kind == "global in the box"
    assert 0 < certificate.gap <= certificate.objective * (1 + 1e-12)  # the bound may still be 0
    assert certificate.value == pytest.approx(certificate.gap / certificate.null_objective)
    assert all(progress.bound <= progress.value for progress in seen)


def test_an_interrupt_keeps_what_is_proven():
    def stop(progress):
        raise KeyboardInterrupt

    X, y = _noisy(0, 100, 200)
    problem = Problem(X, y, Quadratic(), AtMost(8))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        result = BranchAndBound(on_step=stop).solve(problem)
    assert result.status is Status.INTERRUPTED
    assert len(result.certificate.support) == 8
    assert result.certificate.gap > 0


@pytest.mark.parametrize("case", ["zero y", "duplicates", "constants", "k = 0", "all units"])
def test_hard_inputs(case):
    X, y = _noisy(1, 30, 12)
    k = 3
    match case:
        case "zero y":
            y = np.zeros(30)
        case "duplicates":
            X[:, 6:] = X[:, :6]
        case "constants":
            X[:, ::2] = 3.0
        case "k = 0":
            k = 0
        case "all units":
            k = 50
    result = Problem(X, y, Quadratic(), AtMost(k)).solve("branch-and-bound", tol=1e-8)
    assert result.certificate.holds
    reached = _least_of_all(X, y, min(k, 12))
    assert result.certificate.objective == pytest.approx(reached, abs=1e-12)


def test_weights_and_offset_are_minded(rng):
    """Whole weights are repeated samples; an offset moves the target."""
    X, y = _noisy(2, 30, 12)
    s, offset = rng.integers(0, 3, 30), rng.standard_normal(30)
    budget = AtMost(3)
    weighted = Problem(X, y, Quadratic(), budget, sample_weight=s, offset=offset)
    repeated = Problem(np.repeat(X, s, axis=0), np.repeat(y - offset, s), Quadratic(), budget)
    coefs = [p.solve("branch-and-bound", tol=1e-8).coef for p in (weighted, repeated)]
    np.testing.assert_allclose(coefs[0], coefs[1], atol=1e-7)


def test_refusals():
    X, y = _noisy(0, 20, 30)
    for problem, reason in (
        (Problem(X, y > 0, Logistic(), AtMost(2)), "quadratic loss"),
        (Problem(X, y, Quadratic(), AtMost(2, on=Groups(np.arange(30) // 2))), "single features"),
        (Problem(X, y, Quadratic(), AtMost(2, nonnegative=True)), "either sign"),
    ):
        with pytest.raises(UnsupportedProblem, match=reason):
            problem.solve("branch-and-bound")
    problem = Problem(X, y, Quadratic(), AtMost(2))
    with pytest.raises(ValueError, match="ridge"):
        problem.solve(BranchAndBound(box=None))
    for wrong in ({"time_limit": 0.0}, {"box": 1.0}, {"box": np.nan}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            BranchAndBound(**wrong)


def test_estimators_take_it_and_files_keep_it(tmp_path):
    import gossamer as gs

    X, y = _noisy(0, 60, 20)
    model = gs.BestSubset(3, solver=BranchAndBound(time_limit=20.0)).fit(X, y)
    assert model.certificate_.kind == "global"
    gs.save(model, tmp_path / "model.gossamer")
    again = gs.load(tmp_path / "model.gossamer")
    assert again.solver.time_limit == 20.0
    assert repr(again) == repr(model)
    assert gs.BestSubset(3, solver="branch-and-bound").fit(X, y).certificate_.holds
