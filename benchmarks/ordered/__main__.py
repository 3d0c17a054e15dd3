"""Tables of docs/guide/ordered: SLOPE, total variation and trend filtering against their peers.

``python -m benchmarks.ordered [prox] [slope] [trend]`` prints markdown tables. CPU seconds, best
of a few runs, one BLAS thread. Peers that are not installed are left out (sortedl1, skglm, prox_tv,
condat_tv, cyl1tf).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np

import gossamer as gs
from gossamer.solvers.trend import Differences, trend_filter


def cpu_seconds(action: Callable[[], Any], runs: int = 3) -> float:
    """Best of a few runs, after one that compiles what is to be compiled."""
    action()
    found = []
    for _ in range(runs):
        begun = time.process_time()
        action()
        found.append(time.process_time() - begun)
    return min(found)


def peer(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


# -- proximal operators --------------------------------------------------------------------------
def prox_tables() -> Iterator[str]:
    """SLOPE's prox over sizes, with the exponent of p; total variation at a million points."""
    rng = np.random.default_rng(0)
    yield "| p | prox of SLOPE, s | s / (p log p), ns |"
    yield "|---|---|---|"
    for p in (10**3, 10**4, 10**5, 10**6):
        v, penalty = 3 * rng.standard_normal(p), gs.SLOPE.bh(p)
        seconds = cpu_seconds(lambda v=v, penalty=penalty: penalty.prox(v, 0.5))
        yield f"| {p} | {seconds:.5f} | {1e9 * seconds / (p * np.log(p)):.2f} |"
    yield ""
    yield "| total variation, 10^6 points | strength | s | largest difference to ours |"
    yield "|---|---|---|---|"
    n = 10**6
    y = np.repeat(rng.standard_normal(n // 1000), 1000) + rng.standard_normal(n)
    for strength in (1.0, 100.0):
        ours = gs.Fused(strength).prox(y, 1.0)
        seconds = cpu_seconds(lambda s=strength: gs.Fused(s).prox(y, 1.0))
        yield f"| gossamer | {strength:g} | {seconds:.3f} | |"
        for name, run in _variation_peers(y, strength):
            apart = float(np.abs(run() - ours).max())
            yield f"| {name} | {strength:g} | {cpu_seconds(run):.3f} | {apart:.1e} |"


def _variation_peers(y: np.ndarray, strength: float) -> Iterator[tuple[str, Callable]]:
    if prox_tv := peer("prox_tv"):
        for method in ("condat", "dp", "hybridtautstring"):
            yield f"prox_tv {method}", lambda m=method: prox_tv.tv1_1d(y, strength, method=m)
    if condat := peer("condat_tv"):
        yield "condat_tv", lambda: condat.tv_denoise(y, strength)


# -- SLOPE problems ------------------------------------------------------------------------------
def slope_table() -> Iterator[str]:
    """Time to a relative duality gap of 1e-6, one gap for all: peers at the loosest tolerance."""
    yield "| design | strength | solver | CPU s | gap | features |"
    yield "|---|---|---|---|---|---|"
    for n, p, correlation in ((200, 20_000, 0.0), (200, 20_000, 0.5), (500, 5000, 0.5)):
        X, y = _design(n, p, correlation)
        shape = gs.SLOPE.bh(p, q=0.1)
        problem = gs.Problem(X, y, gs.losses.Quadratic(), shape)
        largest = problem.strength_max()
        for share in (20, 100):
            at = problem.with_penalty(shape.with_strength(largest / share))
            for name, run in _slope_solvers(at):
                seconds, gap, count = _to_gap(at, run)
                yield (
                    f"| {n} x {p}, AR {correlation} | max / {share} | {name} | {seconds:.2f} | "
                    f"{gap:.0e} | {count} |"
                )


def _design(n: int, p: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    w = np.zeros(p)
    w[rng.choice(p, 20, replace=False)] = rng.standard_normal(20)
    return np.asfortranarray(X), X @ w + 0.5 * rng.standard_normal(n)


def _slope_solvers(problem: gs.Problem) -> Iterator[tuple[str, Callable[[float], tuple]]]:
    """Functions of a tolerance to coefficients and intercept."""

    def ours(tol: float) -> tuple:
        result = problem.solve(tol=tol)
        return result.coef, result.intercept

    yield "gossamer", ours
    X, y, strengths = problem.X, problem.y[:, 0], problem.penalty.strengths
    if sortedl1 := peer("sortedl1"):

        def hybrid(tol: float) -> tuple:
            model = sortedl1.Slope(lam=strengths, alpha=1.0, tol=tol, max_iter=100_000).fit(X, y)
            return np.ravel(model.coef_), float(np.ravel(model.intercept_)[0])

        yield f"sortedl1 {sortedl1.__version__}", hybrid
    # its first-order method takes minutes where there are more columns
    if (skglm := peer("skglm")) and X.shape[1] <= 5000:
        from skglm.solvers import FISTA

        def fista(tol: float) -> tuple:
            centred = X - X.mean(axis=0)
            model = skglm.GeneralizedLinearEstimator(
                skglm.datafits.Quadratic(), skglm.penalties.SLOPE(strengths),
                FISTA(max_iter=20_000, tol=tol, opt_strategy="fixpoint"),
            ).fit(np.asfortranarray(centred), y - y.mean())  # fmt: skip
            return model.coef_, y.mean() - X.mean(axis=0) @ model.coef_

        yield f"skglm {skglm.__version__} FISTA", fista


def _to_gap(problem: gs.Problem, run: Callable[[float], tuple]) -> tuple[float, float, int]:
    """Seconds of the loosest tolerance that reaches the gap, or of the last one tried."""
    run(1e-2)
    for tol in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
        begun = time.process_time()
        coef, intercept = run(tol)
        seconds = time.process_time() - begun
        gap = problem.certificate(coef, intercept).value
        if gap <= 1e-6 or seconds > 60:
            break
    return seconds, gap, int(np.count_nonzero(coef))


# -- trends --------------------------------------------------------------------------------------
def trend_table() -> Iterator[str]:
    """A million points of each order, and a peer of order one on fewer."""
    yield "| points | order | solver | CPU s | gap | objective |"
    yield "|---|---|---|---|---|---|"
    for n in (10**5, 10**6):
        rng = np.random.default_rng(0)
        slopes = np.repeat(rng.standard_normal(n // 500), 500) * 0.05
        y = np.cumsum(slopes) + rng.standard_normal(n)
        for order in (0, 1, 2):
            differences, s = Differences(np.arange(n, dtype=float), order), np.full(n, 1 / n)

            def ours(d: Differences = differences, y: np.ndarray = y, s: np.ndarray = s) -> Any:
                return trend_filter(y, d, s, 50.0 / len(y))

            c = ours().certificate
            seconds = cpu_seconds(ours, 1)
            yield (
                f"| {n} | {order} | gossamer | {seconds:.2f} | {c.value:.1e} | {c.objective:.8g} |"
            )
            if order == 1 and (cyl1tf := peer("cyl1tf")):

                def theirs(y: np.ndarray = y) -> np.ndarray:
                    return np.asarray(cyl1tf.calc_fit(y, scale=50.0))

                b = theirs()
                objective = ((y - b) ** 2).sum() / 2 / n + 50 / n * np.abs(np.diff(b, 2)).sum()
                yield f"| {n} | 1 | cyl1tf | {cpu_seconds(theirs, 1):.2f} | | {objective:.8g} |"


TABLES = {"prox": prox_tables, "slope": slope_table, "trend": trend_table}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for chosen in sys.argv[1:] or TABLES:
        for line in TABLES[chosen]():
            print(line, flush=True)
        print()
