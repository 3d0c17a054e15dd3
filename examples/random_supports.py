"""Sparse regression on a badly conditioned design whose signal has a random support.

The design has families of near-duplicates: column j is the factor of its family plus a deviation of
its own, and the deviations of the families differ in size by orders of magnitude. One strength of
the lasso cannot serve them all, and greedy methods follow the factors.

A support at random says how to change that (Chandrasekaran, Meka and Stavropoulos 2025): columns
drawn at random are like those of the support, so what they span is what columns have in common.
``preconditioned_lasso`` takes a few columns at random, projects all others and the target onto
what these do not explain, and scales the rest to length one: a lasso on a well conditioned design.
The paper has a preconditioner of its own, with a guarantee for every design; this is a small one.

``python examples/random_supports.py`` prints the errors of the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import gossamer as gs

P, K, NOISE = 240, 6, 0.1
DEVIATIONS = 10.0 ** -np.arange(4.0)

Fit = tuple[np.ndarray, float]


@dataclass(frozen=True)
class Data:
    """Samples to fit, to choose among fits, and to judge them; ``signal`` is y without noise."""

    X: np.ndarray
    y: np.ndarray
    signal: np.ndarray
    n: int

    @classmethod
    def draw(cls, n: int, seed: int) -> Data:
        rng = np.random.default_rng(seed)
        family = np.arange(P) % len(DEVIATIONS)
        factors = rng.standard_normal((4 * n, len(DEVIATIONS)))
        X = factors[:, family] + DEVIATIONS[family] * rng.standard_normal((4 * n, P))
        support = rng.permutation(P)[:K]
        w = np.zeros(P)
        # what each column adds of its own is as large, whatever its family
        w[support] = rng.choice([-1.0, 1.0], K) / DEVIATIONS[family[support]]
        signal = X @ w
        return cls(X, signal + NOISE * rng.standard_normal(4 * n), signal, n)

    @property
    def train(self) -> tuple[np.ndarray, np.ndarray]:
        return self.X[: self.n], self.y[: self.n]

    def error(self, fits: Iterator[Fit]) -> float:
        """Mean squared error of the fit that is best on the next ``n`` samples, on the rest."""
        chosen = slice(self.n, 2 * self.n)
        coef, intercept = min(
            fits, key=lambda fit: np.mean((self.X[chosen] @ fit[0] + fit[1] - self.y[chosen]) ** 2)
        )
        rest = slice(2 * self.n, None)
        return float(np.mean((self.X[rest] @ coef + intercept - self.signal[rest]) ** 2))


def lasso(X: np.ndarray, y: np.ndarray, least: float = 1e-9) -> Iterator[Fit]:
    """The lasso along a path that ends where the smallest deviations can enter."""
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(1.0))
    coef = None
    for strength in problem.strength_max() * np.geomspace(1, least, 40):
        # relative to a target of which the factors are by far the largest part
        result = problem.with_penalty(gs.L1(strength)).solve(w0=coef, tol=1e-11, max_iter=200)
        coef = result.coef
        yield coef, float(result.intercept)


def preconditioned_lasso(X: np.ndarray, y: np.ndarray) -> Iterator[Fit]:
    """The lasso beside some columns taken at random, which are free."""
    rng = np.random.default_rng(0)
    means, mean = X.mean(axis=0), y.mean()
    centred, target = X - means, y - mean
    for size in (8, 16, 24):
        free = rng.permutation(X.shape[1])[:size]
        basis = np.linalg.qr(centred[:, free])[0]
        left = centred - basis @ (basis.T @ centred)
        lengths = np.linalg.norm(left, axis=0) / np.sqrt(len(y))
        rest = np.setdiff1d(np.flatnonzero(lengths > 1e-9), free)
        for reduced, _ in lasso(left[:, rest] / lengths[rest], y - basis @ (basis.T @ y), 1e-2):
            coef = np.zeros(X.shape[1])
            coef[rest] = reduced / lengths[rest]
            coef[free] = np.linalg.lstsq(centred[:, free], target - centred @ coef, rcond=None)[0]
            yield coef, float(mean - means @ coef)


def budgets(solver: str) -> Callable[[np.ndarray, np.ndarray], Iterator[Fit]]:
    """Least squares on as many columns as the signal has, and up to four times as many."""

    def fits(X: np.ndarray, y: np.ndarray) -> Iterator[Fit]:
        for k in (K, 2 * K, 3 * K, 4 * K):
            result = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(k)).solve(solver)
            yield result.coef, float(result.intercept)

    return fits


METHODS = {
    "lasso": lasso,
    "matching pursuit": budgets("omp"),
    "splicing": budgets("splicing"),
    "preconditioned lasso": preconditioned_lasso,
}


def errors(sizes: tuple[int, ...], seeds: int) -> dict[str, np.ndarray]:
    """(n_sizes, seeds) errors of each method."""
    found = {name: np.empty((len(sizes), seeds)) for name in METHODS}
    for i, n in enumerate(sizes):
        for seed in range(seeds):
            data = Data.draw(n, seed)
            for name, method in METHODS.items():
                found[name][i, seed] = data.error(method(*data.train))
    return found


if __name__ == "__main__":
    SIZES = (40, 60, 80, 120)
    print("median error of the prediction, noise", NOISE**2, "for samples", SIZES)
    for name, error in errors(SIZES, 8).items():
        print(f"{name:>21}", np.round(np.median(error, axis=1), 4))
