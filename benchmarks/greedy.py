"""Greedy solvers and branch and bound against scikit-learn and l0bnb.

``python -m benchmarks.greedy`` prints three tables. Ratios are ours over theirs; the times of the
first are the best of three runs in turns, those of the last of one run.

1. orthogonal matching pursuit and scikit-learn's, at equal coefficients;
2. the share of supports that each solver finds, for Gaussian measurements without noise;
3. branch and bound and l0bnb (if installed), with the same ridge and box, at equal supports.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable

import numpy as np

import gossamer as gs
from gossamer.core import ConvergenceWarning

SOLVERS = ("omp", "cosamp", "iht", "foba", "splicing")


def best_of_three(*runs: Callable[[], object]) -> list[float]:
    seconds = [[] for _ in runs]
    for _ in range(3):
        for run, taken in zip(runs, seconds, strict=True):
            begun = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begun)
    return [min(taken) for taken in seconds]


def signal(n: int, p: int, k: int, noise: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    X = np.asfortranarray(rng.standard_normal((n, p)))
    support = rng.permutation(p)[:k]
    y = X[:, support] @ rng.choice([-1.0, 1.0], k) + noise * rng.standard_normal(n)
    return X, y, np.sort(support)


def pursuit(n: int, p: int, k: int) -> None:
    from sklearn.linear_model import orthogonal_mp

    X, y, _ = signal(n, p, k, 0.5)
    X /= np.linalg.norm(X, axis=0)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(k), fit_intercept=False)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = (
            gs.Problem(X, y, problem.loss, problem.penalty, fit_intercept=False).solve("omp").coef
        )

    def theirs() -> None:
        found["theirs"] = orthogonal_mp(X, y, n_nonzero_coefs=k)

    ours()  # compiled before the clock runs
    mine, other = best_of_three(ours, theirs)
    apart = np.abs(found["ours"] - found["theirs"]).max() / np.abs(found["theirs"]).max()
    times = f"{mine:8.4f} s {other:8.4f} s {mine / other:6.2f}"
    print(f"{n:5d} x {p:5d}, k = {k:3d}   {times}   {apart:.0e}")


def recovery(k: int, seeds: int) -> None:
    hits = dict.fromkeys(SOLVERS, 0)
    for seed in range(seeds):
        X, y, support = signal(100, 300, k, 0.0, seed)
        problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(k), fit_intercept=False)
        for name in SOLVERS:
            hits[name] += np.array_equal(problem.solve(name).certificate.support, support)
    print(f"k = {k:2d}  " + "".join(f"{hits[name] / seeds:10.2f}" for name in SOLVERS))


def exact(n: int, p: int, k: int, noise: float, limit: float) -> None:
    X, y, _ = signal(n, p, k, noise)
    X, y = X - X.mean(axis=0), y - y.mean()
    ridge, gap = 1e-3, 1e-3
    budget = gs.AtMost(k, ridge=ridge)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), budget, fit_intercept=False)
    solver = gs.solvers.BranchAndBound(time_limit=limit)
    problem.solve(solver)  # compiled before the clock runs
    begun = time.perf_counter()
    result = problem.solve(solver, tol=gap, max_iter=10**6)
    ours = time.perf_counter() - begun
    label = f"{n:5d} x {p:5d}, k = {k:2d}   gap {result.certificate.value:.1e} {ours:7.1f} s"
    if importlib.util.find_spec("l0bnb") is None:
        print(label + "   l0bnb is not installed")
        return
    seconds, left, same = l0bnb(X, y, result.coef, ridge, gap, limit)
    print(f"{label}   gap {left:.1e} {seconds:7.1f} s   {ours / seconds:6.2f}   {same}")


def l0bnb(
    X: np.ndarray, y: np.ndarray, coef: np.ndarray, ridge: float, gap: float, limit: float
) -> tuple[float, float, str]:
    """Seconds, gap and whether the support is ours: for a price that leaves as many features."""
    np.Inf = np.inf  # l0bnb 1.0.0 was written for numpy 1
    from l0bnb import BNBTree

    n, chosen = len(y), np.flatnonzero(coef)
    # half of what the weakest feature is worth
    price = 0.25 * n * float((coef[chosen] ** 2).min())
    box = 2 * np.abs(coef).max()
    BNBTree(X[:, :50], y).solve(price, n * ridge / 2, box, gap_tol=0.5, time_limit=5)
    begun = time.perf_counter()
    found = BNBTree(X, y).solve(
        price, n * ridge / 2, box, gap_tol=gap, time_limit=limit, warm_start=coef
    )
    seconds = time.perf_counter() - begun
    same = set(np.flatnonzero(found.beta)) == set(chosen)
    return seconds, float(found.gap), "same support" if same else "another support"


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("orthogonal matching pursuit     gossamer scikit-learn ratio  apart")
    pursuit(500, 5000, 10)
    pursuit(2000, 20_000, 50)
    print("\nsupports found, 100 x 300\n        " + "".join(f"{name:>10}" for name in SOLVERS))
    for k in (10, 20, 30):
        recovery(k, 20)
    print("\nbranch and bound                gossamer            l0bnb             ratio")
    exact(500, 1000, 10, 1.0, 60.0)
    exact(1000, 5000, 10, 1.0, 60.0)
    exact(1000, 10_000, 10, 1.0, 60.0)
