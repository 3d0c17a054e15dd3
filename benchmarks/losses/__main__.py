"""Quantile regression with L1: the method of multipliers against HiGHS.

``python -m benchmarks.losses`` prints CPU seconds, best of two runs on one thread, and their ratio.
The linear programme is scikit-learn's, stated with sparse matrices and without its wrapper, which
takes dense X only. Both ends are compared: objectives agree to 1e-7 of the null objective, and the
certificate here is a duality gap of at most 1e-6 of it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

import gossamer as gs

DESIGNS = ((1000, 50, 0.0), (5000, 100, 0.0), (200, 1000, 0.0), (200, 1000, 0.95), (500, 5000, 0.5))
SHARES = (0.3, 0.05)


def data(n: int, p: int, correlation: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns of an autoregression, ten of them with an effect, noise without a variance."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = correlation * X[:, j - 1] + np.sqrt(1 - correlation**2) * X[:, j]
    y = X[:, :: p // 10][:, :10].sum(axis=1) + rng.standard_t(1.5, n)
    return np.asfortranarray(X), y


def by_linear_programme(X: np.ndarray, y: np.ndarray, level: float, strength: float) -> float:
    """The optimum found by HiGHS."""
    n, p = X.shape
    cost = np.concatenate(
        [np.full(2 * p, strength), [0.0, 0.0], np.full(n, level / n), np.full(n, (1 - level) / n)]
    )
    one, eye = np.ones((n, 1)), sparse.eye_array(n)
    rows = sparse.hstack([sparse.csc_array(np.hstack([X, -X, one, -one])), eye, -eye])
    return float(linprog(cost, A_eq=rows.tocsc(), b_eq=y, method="highs").fun)


def timed(action: Callable[[], float]) -> tuple[float, float]:
    """The result, and CPU seconds of the better of two runs."""
    best = np.inf
    for _ in range(2):
        begun = time.process_time()
        result = action()
        best = min(best, time.process_time() - begun)
    return result, best


def main() -> None:
    print("| n x p, correlation | level | share of largest | selected | here | HiGHS | ratio |")
    print("|---|---|---|---|---|---|---|")
    for n, p, correlation in DESIGNS:
        X, y = data(n, p, correlation)
        for level in (0.5, 0.9):
            null = gs.Problem(X, y, gs.losses.Quantile(level), gs.L1(1.0))
            for share in SHARES:
                strength = share * null.strength_max()
                fresh = gs.Problem(X, y, null.loss, gs.L1(strength))
                result = fresh.solve()

                def here(loss: gs.losses.Quantile = null.loss, strength: float = strength) -> float:
                    problem = gs.Problem(X, y, loss, gs.L1(strength))  # noqa: B023
                    return problem.solve().certificate.objective

                def there(level: float = level, strength: float = strength) -> float:
                    return by_linear_programme(X, y, level, strength)  # noqa: B023

                ours, seconds = timed(here)
                theirs, peer = timed(there)
                assert result.certificate.holds
                assert abs(ours - theirs) <= 2e-6 * fresh.null_objective
                print(
                    f"| {n} x {p}, {correlation} | {level} | {share} "
                    f"| {len(result.certificate.support)} | {seconds:.3f} | {peer:.3f} "
                    f"| **{peer / seconds:.2f}** |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
