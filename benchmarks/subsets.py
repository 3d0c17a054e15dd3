"""Best subsets of ten among 5000 features, against abess and L0Learn.

``python -m benchmarks.subsets`` prints the table of docs/guide/subsets: on how many of the seeds
the objective is lower (won), equal or higher (lost) than the peer's, and CPU seconds over the
peer's, medians. L0Learn (algorithm CDPSI, with swaps) is judged at the largest support of its path
with at most ten features, its time is that of the path. Needs abess, and R with L0Learn.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gossamer as gs
from benchmarks import r

K = 10
EQUAL = 1e-9


@dataclass(frozen=True)
class Design:
    """Normal columns with correlation ``rho ** |i - j|``, ten coefficients of one, in places drawn
    at random, either sign; ``snr`` is the variance of the signal over that of the noise."""

    rho: float
    n: int = 500
    p: int = 5000
    snr: float = 5.0

    def data(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        X = np.asfortranarray(rng.standard_normal((self.n, self.p)))
        for j in range(1, self.p):
            X[:, j] = self.rho * X[:, j - 1] + np.sqrt(1 - self.rho**2) * X[:, j]
        w = np.zeros(self.p)
        w[rng.choice(self.p, K, replace=False)] = rng.choice([-1.0, 1.0], K)
        signal = X @ w
        noise = np.sqrt(signal.var() / self.snr)
        return X, signal + noise * rng.standard_normal(self.n)


DESIGNS = {
    f"{name}, n = {n}, SNR {snr:g}": Design(rho, n=n, snr=snr)
    for name, rho in (("independent", 0.0), ("AR(1) 0.95", 0.95))
    for n, snr in ((500, 5.0), (500, 1.0), (200, 5.0))
}


@dataclass(frozen=True)
class Found:
    """A support and the CPU seconds it took."""

    support: np.ndarray
    seconds: float


def ours(X: np.ndarray, y: np.ndarray, k: int = K) -> Found:
    """The budget of ``k``, best of two runs."""
    problem = lambda: gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(k))  # noqa: E731
    result, seconds = _timed(lambda: problem().solve())
    return Found(result.certificate.support, seconds)


def abess(X: np.ndarray, y: np.ndarray) -> Found:
    """The same by abess, for this size alone, best of two runs."""
    from abess import LinearRegression

    rows = np.ascontiguousarray(X)
    model, seconds = _timed(lambda: LinearRegression(support_size=K, thread=1).fit(rows, y))
    return Found(np.flatnonzero(model.coef_), seconds)


def l0learn(X: np.ndarray, y: np.ndarray) -> Found:
    """The largest support of L0Learn's path with at most ten features."""
    arrays = {"X": X, "y": y, "tol": np.array([1e-6]), "path": np.zeros(1)}
    found = r.run(r.TOOLS, arrays, tool="L0Learn", family="quadratic", k=K)
    points = found["coef"].reshape((X.shape[1], -1), order="F").T
    supports = [np.flatnonzero(point) for point in points]
    fitting = [s for s in supports if len(s) <= K]
    largest = max(len(s) for s in fitting)
    best = min((s for s in fitting if len(s) == largest), key=lambda s: objective(X, y, s))
    return Found(best, float(found["seconds"][0]))


def objective(X: np.ndarray, y: np.ndarray, support: np.ndarray) -> float:
    """Half the mean square that least squares on a support leaves."""
    A = np.column_stack([X[:, support], np.ones(len(y))])
    residual = y - A @ np.linalg.lstsq(A, y, rcond=None)[0]
    return 0.5 * float(np.mean(residual**2))


def _timed(action: Callable[[], Any]) -> tuple[Any, float]:
    seconds = []
    for _ in range(2):
        begun = time.process_time()
        result = action()
        seconds.append(time.process_time() - begun)
    return result, min(seconds)


def compare(
    design: Design, seed: int, peers: dict[str, Callable]
) -> dict[str, tuple[float, float]]:
    """For each peer, the objective here minus the peer's (relative), and the ratio of times."""
    X, y = design.data(seed)
    mine = ours(X, y)
    found = {}
    for name, peer in peers.items():
        theirs = peer(X, y)
        same = mine if len(theirs.support) == K else ours(X, y, len(theirs.support))
        value, other = objective(X, y, same.support), objective(X, y, theirs.support)
        found[name] = (value / other - 1, mine.seconds / theirs.seconds)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.subsets", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--peers", nargs="+", default=["abess", "L0Learn"])
    parser.add_argument("--only", default="", help="designs whose title has this in it")
    asked = parser.parse_args()
    known = {"abess": abess, "L0Learn": l0learn}
    peers = {name: known[name] for name in asked.peers}
    print("| design | peer | won | tied | lost | largest loss | time / peer's |")
    print("|---|---|---|---|---|---|---|")
    for title, design in DESIGNS.items():
        if asked.only not in title:
            continue
        rows = [compare(design, seed, peers) for seed in range(asked.seeds)]
        for name in peers:
            excess, ratio = np.array([row[name] for row in rows]).T
            won, lost = (excess < -EQUAL).sum(), (excess > EQUAL).sum()
            print(
                f"| {title} | {name} | {won} | {len(rows) - won - lost} | {lost} | "
                f"{max(excess.max(), 0.0):.1e} | {np.median(ratio):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
