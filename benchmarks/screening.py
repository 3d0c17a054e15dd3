"""Screening by mutual information beside correlation and scikit-learn's estimator.

``python -m benchmarks.screening`` prints the worst rank of a relevant feature among all, and the
seconds of each: independent normal features of which four act, by their square, a sine, their size
and linearly, on a number or on the odds of a label; noise of size one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from sklearn.feature_selection import (
    f_classif,
    mutual_info_classif,
    mutual_info_regression,
    r_regression,
)

from gossamer.linear import MutualInformationScreening

RELEVANT = 4


def nonlinear(n: int, p: int, seed: int = 0, labels: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """X (n, p) and y (n,): a number, or a label."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    y = X[:, 0] ** 2 - 1 + 2 * np.sin(3 * X[:, 1]) + 2 * np.abs(X[:, 2]) - 1.6 + X[:, 3]
    return X, (rng.random(n) < 1 / (1 + np.exp(-2 * y)) if labels else y + rng.standard_normal(n))


def worst_rank(scores: np.ndarray, relevant: int = RELEVANT) -> int:
    """How many features one must keep to keep the first ``relevant`` ones."""
    return int((scores >= scores[:relevant].min()).sum())


def ours(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return MutualInformationScreening().fit(X, y).scores_


def neighbours(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    by_target = mutual_info_classif if y.dtype == bool else mutual_info_regression
    return np.asarray(by_target(X, y, random_state=0))


def correlation(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(f_classif(X, y)[0] if y.dtype == bool else np.abs(r_regression(X, y)))


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "gossamer": ours,
    "scikit-learn": neighbours,
    "correlation": correlation,
}


def compare(n: int, p: int, labels: bool, repeats: int) -> dict[str, tuple[list[int], float]]:
    """Worst ranks by method, one a repeat, and seconds in all; one after the other."""
    found: dict[str, tuple[list[int], float]] = {name: ([], 0.0) for name in METHODS}
    ours(*nonlinear(n, 10, labels=labels))
    for seed in range(repeats):
        X, y = nonlinear(n, p, seed, labels)
        for name, method in METHODS.items():
            begun = time.perf_counter()
            rank = worst_rank(method(X, y))
            ranks, seconds = found[name]
            found[name] = [*ranks, rank], seconds + time.perf_counter() - begun
    return found


if __name__ == "__main__":
    print("     n       p  target   method          worst rank of four   seconds")
    for n, p, labels in ((300, 2000, False), (1000, 2000, False), (1000, 2000, True)):
        for name, (ranks, seconds) in compare(n, p, labels, 3).items():
            kind = "label" if labels else "number"
            print(f"{n:6d} {p:7d}  {kind:8} {name:15} {ranks!s:20} {seconds / 3:8.2f}", flush=True)
    X, y = nonlinear(300, 100_000)
    begun = time.perf_counter()
    rank = worst_rank(ours(X, y))
    print(f"   300  100000  number   gossamer        {rank:<20} {time.perf_counter() - begun:8.2f}")
