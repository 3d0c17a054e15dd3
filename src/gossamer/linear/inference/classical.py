"""P-values of a few features without a penalty: t-tests, and Wald tests of other losses."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, t

from gossamer.core.loss import Loss

_NEWTON_STEPS = 50
_HALVINGS = 30


def wald_p_values(X: np.ndarray, y: np.ndarray, loss: Loss) -> np.ndarray:
    """(k,) two-sided p-values for coefficients of zero, of an unpenalised model with an intercept.

    The loss is a negative log-likelihood (logistic, Poisson); for the quadratic loss the noise is
    estimated and the tests are exact. A feature that cannot be told from the others, or that
    separates the classes, gets 1.
    """
    n, k = X.shape
    if k == 0:
        return np.empty(0)
    table = np.column_stack([np.ones(n), X])
    if np.linalg.matrix_rank(table) <= k:
        return _of_independent(X, y, loss)
    if loss.is_quadratic:
        coef = np.linalg.lstsq(table, y[:, 0])[0]
        residual = y[:, 0] - table @ coef
        freedom = n - k - 1
        inverse = np.linalg.inv(table.T @ table)
        error = np.sqrt(residual @ residual / freedom * np.diag(inverse))
        tests: np.ndarray = 2 * t.sf(np.abs(coef[1:]) / error[1:], freedom)
        return tests
    coef, information = _maximum_likelihood(table, y, loss)
    error = np.sqrt(np.diag(np.linalg.pinv(information)))
    return np.asarray(2 * norm.sf(np.abs(coef[1:]) / np.maximum(error[1:], 1e-300)))


def _of_independent(X: np.ndarray, y: np.ndarray, loss: Loss) -> np.ndarray:
    """Those of columns that the ones before do not explain; 1 for the others."""
    kept: list[int] = []
    for j in range(X.shape[1]):
        trial = np.column_stack([np.ones(len(X)), X[:, [*kept, j]]])
        if np.linalg.matrix_rank(trial) == len(kept) + 2:
            kept.append(j)
    found = np.ones(X.shape[1])
    if kept:
        found[kept] = wald_p_values(X[:, kept], y, loss)
    return found


def _maximum_likelihood(
    table: np.ndarray, y: np.ndarray, loss: Loss
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and information, by Newton's method with halved steps."""
    w = np.zeros(table.shape[1])
    z = table @ w
    value = float(loss.value(z[:, None], y).sum())
    information = np.eye(len(w))
    for _ in range(_NEWTON_STEPS):
        gradient = table.T @ loss.gradient(z[:, None], y)[:, 0]
        information = (table * loss.curvature(z[:, None], y)).T @ table
        move = np.linalg.lstsq(information, gradient)[0]
        if gradient @ move <= 1e-12 * max(abs(value), 1.0):
            break
        step = 1.0
        for _ in range(_HALVINGS):
            trial = table @ (w - step * move)
            with np.errstate(over="ignore", invalid="ignore"):
                found = float(loss.value(trial[:, None], y).sum())
            if found <= value:
                break
            step /= 2
        w, z, value = w - step * move, trial, found
    return w, information
