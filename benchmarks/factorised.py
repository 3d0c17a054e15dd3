"""Smooth forms as a solver, against the other solvers here and skglm's local optima.

``python -m benchmarks.factorised`` prints the tables of docs/theory/factorised in about three
minutes. CPU seconds, best of two runs, one BLAS thread; tolerance 1e-6 of the null objective.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

import gossamer as gs

SHARES = (0.5, 0.1, 0.01)
STARTS = 20


@dataclass(frozen=True)
class Data:
    """A design whose columns have a common part of variance ``correlation``."""

    n: int
    p: int
    correlation: float
    seed: int = 0

    def design(self) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        own, common = rng.standard_normal((self.n, self.p)), rng.standard_normal((self.n, 1))
        return np.asfortranarray(
            np.sqrt(1 - self.correlation) * own + np.sqrt(self.correlation) * common
        )

    def target(self, X: np.ndarray, outputs: int = 1, noise: float = 0.5) -> np.ndarray:
        """A linear combination of ten columns, of rank five for several outputs."""
        rng = np.random.default_rng(self.seed + 1)
        if outputs == 1:
            w = np.zeros(self.p)
            w[rng.choice(self.p, 10, replace=False)] = rng.standard_normal(10)
            return X @ w + noise * rng.standard_normal(self.n)
        Y = X @ rng.standard_normal((self.p, 5)) @ rng.standard_normal((5, outputs))
        return Y + noise * Y.std() * rng.standard_normal(Y.shape)


def at(share: float, X: np.ndarray, y: np.ndarray, penalty: gs.core.Penalty) -> gs.Problem:
    """The problem at a share of the strength at which nothing is selected."""
    problem = gs.Problem(X, y, gs.losses.Quadratic(), penalty)
    return problem.with_penalty(penalty.with_strength(share * problem.strength_max()))


def cpu_seconds(action: Callable[[], object], runs: int = 2) -> float:
    """Best of a few runs."""
    found = []
    for _ in range(runs):
        begun = time.process_time()
        action()
        found.append(time.process_time() - begun)
    return min(found)


def seconds(problem: gs.Problem, solver: str) -> float:
    """Of a solve whose certificate holds, infinite where it does not."""
    if not problem.solve(solver).certificate.holds:  # also compiles what is to be compiled
        return np.inf
    return cpu_seconds(lambda: problem.solve(solver))


def lasso_and_groups() -> Iterator[str]:
    """Coordinate descent is left out for long groups, where it is far behind Newton's steps."""
    yield "| design | penalty | Factorised, s | ActiveSetNewton / it | CoordinateDescent / it |"
    yield "|---|---|---|---|---|"
    for n, p, length in (
        (50, 20_000, 1), (200, 2000, 1), (400, 100, 1), (200, 2000, 10), (200, 10_000, 100),
        (50, 5000, 50), (100, 10_000, 100), (200, 20_000, 500), (500, 20_000, 1000),
    ):  # fmt: skip
        on = gs.Elements() if length == 1 else gs.Groups(np.arange(p) // length)
        name = "lasso" if length == 1 else f"{p // length} groups of {length}"
        for correlation in (0.0, 0.95):
            X = Data(n, p, correlation).design()
            y = Data(n, p, correlation).target(X)
            problems = [at(share, X, y, gs.L1(1.0, on=on)) for share in SHARES]
            cells = [f"{n} x {p}, {correlation}", name]
            own = np.array([seconds(problem, "Factorised") for problem in problems])
            cells.append(" ".join(f"{x:.2g}" for x in own))
            for solver in ("ActiveSetNewton", "CoordinateDescent")[: 2 if length <= 10 else 1]:
                other = np.array([seconds(problem, solver) for problem in problems])
                cells.append(" ".join(f"{x:.2g}" for x in other / own))
            yield f"| {' | '.join(cells + [''] * (5 - len(cells)))} |"


def nuclear_norm() -> Iterator[str]:
    yield "| design, outputs | rank | Factorised, s | ProximalGradient / it |"
    yield "|---|---|---|---|"
    for n, p, outputs in (
        (100, 30, 10),
        (200, 100, 20),
        (100, 300, 40),
        (60, 20, 100),
        (500, 200, 100),
    ):
        for correlation in (0.0, 0.95):
            data = Data(n, p, correlation)
            X = data.design()
            Y = data.target(X, outputs)
            problems = [at(share, X, Y, gs.L1(1.0, on=gs.Spectrum())) for share in SHARES]
            own, other = (
                np.array([seconds(problem, solver) for problem in problems])
                for solver in ("Factorised", "ProximalGradient")
            )
            ranks = [len(x.solve("Factorised").certificate.support) for x in problems]
            cells = (" ".join(map(str, ranks)), " ".join(f"{x:.2g}" for x in own))
            cells += (" ".join(f"{x:.2g}" for x in other / own),)
            yield f"| {n} x {p}, {correlation}; {outputs} | " + " | ".join(cells) + " |"


def bridges() -> Iterator[str]:
    """One run of depth continuation against the best of the others' twenty starts."""
    yield "| design | q | as good or better, of 6 | mean objective / best of others | s / theirs |"
    yield "|---|---|---|---|---|"
    for q in (2 / 3, 1 / 2):
        for n, p, correlation in (
            (100, 300, 0.7),
            (80, 500, 0.9),
            (200, 200, 0.5),
            (60, 1000, 0.5),
        ):
            good, shares, times = 0, [], []
            for seed in range(2):
                data = Data(n, p, correlation, seed)
                X = data.design()
                X = np.asfortranarray((X - X.mean(axis=0)) / X.std(axis=0))
                y = data.target(X)
                for share in (0.5, 0.2, 0.05):
                    problem = at(share, X, y - y.mean(), gs.Lq(1.0, q=q))
                    begun = time.process_time()
                    own = problem.solve("Factorised", tol=1e-8).certificate.objective
                    spent = time.process_time() - begun
                    begun = time.process_time()
                    best = min(*_own_starts(problem), *_skglm_starts(problem, q))
                    times.append(spent / (time.process_time() - begun))
                    shares.append(own / best)
                    good += own <= best * (1 + 1e-9)
            yield (
                f"| {n} x {p}, {correlation} | {q:.2f} | {good} | {np.mean(shares):.4f} | "
                f"{np.median(times):.2g} |"
            )


def _starts(p: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    yield np.zeros(p)
    for _ in range(STARTS - 1):
        yield rng.standard_normal(p) * rng.choice([0.1, 0.5, 1.0])


def _own_starts(problem: gs.Problem) -> list[float]:
    solve = lambda w0: problem.solve("CoordinateDescent", w0=w0, tol=1e-8)  # noqa: E731
    return [solve(w0).certificate.objective for w0 in _starts(problem.shape[0])]


def _skglm_starts(problem: gs.Problem, q: float) -> list[float]:
    from skglm.datafits import Quadratic
    from skglm.penalties import L0_5, L2_3
    from skglm.solvers import AndersonCD
    from skglm.utils.jit_compilation import compiled_clone

    penalty = compiled_clone((L0_5 if q == 1 / 2 else L2_3)(problem.penalty.strength))
    datafit, y = compiled_clone(Quadratic()), problem.y[:, 0]
    found = []
    for w0 in _starts(problem.shape[0]):
        solver = AndersonCD(tol=1e-8, fit_intercept=False, max_iter=200)
        w = solver.solve(problem.X, y, datafit, penalty, w_init=w0, Xw_init=problem.X @ w0)[0]
        found.append(problem.objective(w))
    return found


def main() -> None:
    warnings.simplefilter("ignore")  # a peer that stops early is judged by its objective
    strengths = ", ".join(map(str, SHARES))
    for title, table in (
        (f"Lasso and group lasso, at {strengths} of the largest strength", lasso_and_groups),
        (f"Nuclear norm, at {strengths} of the largest strength", nuclear_norm),
        (f"Bridges: one continuation against {2 * STARTS} starts", bridges),
    ):
        print(f"\n{title}\n")
        for row in table():
            print(row, flush=True)


if __name__ == "__main__":
    main()
