"""The quadratic loss with its ridge solved in closed form: a smooth function of prior variances.

For variances ``tau`` of the coefficients, one a unit,

    F(tau) = min_w  1/2 |Y - X w|^2 + 1/2 sum_u |w_u|^2 / tau_u = 1/2 tr Y' (I + X T X')^-1 Y

is convex in ``tau``. With the residual ``theta = (I + X T X')^-1 Y`` and the pulls
``c = X' theta``, the minimiser is ``w = tau c``, the gradient ``-1/2 |c_u|^2`` a unit, and the
second derivative ``Z' (I + X T X')^-1 Z`` with columns ``X_u c_u`` (Poon and Peyre 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack
from scipy.linalg.blas import dsyrk


@dataclass(frozen=True, eq=False)
class Reduced:
    """F at some variances; coefficients and second derivative are computed when asked for."""

    value: float
    squares: np.ndarray  # (n_units,) |c_u|^2
    coefficients: Callable[[], np.ndarray]  # (p, K)
    curvature: Callable[[], np.ndarray]  # (n_units, n_units)


Store = Callable[[np.ndarray], Reduced]


def sample_store(X: np.ndarray, Y: np.ndarray, labels: np.ndarray, count: int) -> Store:
    """n x n systems, formed from all columns at each evaluation: many units, few samples.

    X : (n, p), Y : (n, K), labels : (p,) unit of each column, count : of units.
    """

    def evaluate(variances: np.ndarray) -> Reduced:
        tau = variances[labels]
        factor = _cholesky(dsyrk(1.0, X * np.sqrt(tau), lower=1))
        theta = _solve(factor, Y)
        pulls = X.T @ theta

        def curvature() -> np.ndarray:
            return _products(factor, (_by_unit(X * c, labels, count) for c in pulls.T))

        squares = np.bincount(labels, (pulls * pulls).sum(axis=1), count)
        value = 0.5 * float((Y * theta).sum())
        return Reduced(value, squares, lambda: tau[:, None] * pulls, curvature)

    return evaluate


def kernel_store(
    kernels: Sequence[np.ndarray], Y: np.ndarray, labels: np.ndarray,
    transposed: Callable[[np.ndarray], np.ndarray],
) -> Store:  # fmt: skip
    """n x n systems from the units' kernels ``X_u X_u'``: few units of many columns.

    transposed : X' times (n, K).
    """
    flat = np.stack([kernel.ravel() for kernel in kernels])
    n = len(Y)

    def evaluate(variances: np.ndarray) -> Reduced:
        factor = _cholesky((variances @ flat).reshape(n, n))
        theta = _solve(factor, Y)
        moved = (flat.reshape(-1, n) @ theta).reshape(len(flat), n, -1)

        def coefficients() -> np.ndarray:
            return variances[labels][:, None] * transposed(theta)

        def curvature() -> np.ndarray:
            return _products(factor, (moved[:, :, k].T for k in range(Y.shape[1])))

        squares = np.maximum(np.einsum("gnk,nk->g", moved, theta), 0.0)
        return Reduced(0.5 * float((Y * theta).sum()), squares, coefficients, curvature)

    return evaluate


def gram_store(X: np.ndarray, Y: np.ndarray, labels: np.ndarray, count: int) -> Store:
    """p x p systems ``I + D X'X D`` with ``D = sqrt(T)``: fewer columns than samples."""
    gram, right = X.T @ X, X.T @ Y
    total = float((Y * Y).sum())

    def evaluate(variances: np.ndarray) -> Reduced:
        root = np.sqrt(variances[labels])
        factor = _cholesky(gram * root * root[:, None])
        w = root[:, None] * _solve(factor, root[:, None] * right)
        pulls = right - gram @ w

        def curvature() -> np.ndarray:
            # (I + X T X')^-1 = I - X D (I + D X'X D)^-1 D X', between columns of X
            scaled = root[:, None] * gram
            inner = gram - scaled.T @ _solve(factor, scaled)
            return np.sum([
                _by_unit(_by_unit(inner * c * c[:, None], labels, count).T, labels, count)
                for c in pulls.T
            ], axis=0)  # fmt: skip

        squares = np.bincount(labels, (pulls * pulls).sum(axis=1), count)
        return Reduced(0.5 * (total - float((right * w).sum())), squares, lambda: w, curvature)

    return evaluate


def _cholesky(kernel: np.ndarray) -> np.ndarray:
    """Of ``I + kernel``, of which the lower triangle is read; overwrites it."""
    kernel.flat[:: len(kernel) + 1] += 1.0
    # the transpose of a symmetric matrix is itself, in the memory order LAPACK reads
    kernel = kernel if kernel.flags.f_contiguous else kernel.T
    factor, failed = lapack.dpotrf(kernel, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the variances are too large for this precision")
    return factor


def _solve(factor: np.ndarray, right: np.ndarray) -> np.ndarray:
    return lapack.dpotrs(factor, right, lower=1)[0]


def _by_unit(columns: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Columns added up by unit; every unit has one."""
    if count == len(labels):
        return columns[:, np.argsort(labels)]
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count))
    return np.add.reduceat(columns[:, order], starts, axis=1)


def _products(factor: np.ndarray, moved: Iterable[np.ndarray]) -> np.ndarray:
    return np.sum([columns.T @ _solve(factor, columns) for columns in moved], axis=0)
