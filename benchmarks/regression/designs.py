"""Design matrices and targets drawn at random, the same for everyone who draws them."""

from __future__ import annotations

from typing import Any

import numpy as np


def independent(n: int, p: int, seed: int = 0) -> np.ndarray:
    """(n, p) standard normal, in Fortran order without a copy."""
    return np.random.default_rng(seed).standard_normal((p, n)).T


def autoregressive(n: int, p: int, correlation: float) -> np.ndarray:
    """Neighbouring columns are correlated, distant ones less: AR(1)."""
    rows = independent(n, p).T  # one a column, contiguous
    fresh = np.sqrt(1 - correlation**2)
    for j in range(1, p):
        rows[j] *= fresh
        rows[j] += correlation * rows[j - 1]
    return rows.T


def equicorrelated(n: int, p: int, correlation: float) -> np.ndarray:
    """Every column is as correlated with every other."""
    X = independent(n, p)
    X *= np.sqrt(1 - correlation)
    X += np.sqrt(correlation) * np.random.default_rng(1).standard_normal((n, 1))
    return X


def duplicated(n: int, p: int) -> np.ndarray:
    """The second half of the columns repeats the first: the optimum is not unique."""
    rows = independent(n, p).T
    rows[p // 2 : 2 * (p // 2)] = rows[: p // 2]
    return rows.T


def power_law(n: int, p: int, per_row: int, seed: int = 0) -> Any:
    """(n, p) CSC of about ``per_row`` entries a row, in columns of very unequal frequency."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, p + 1) ** 0.8
    columns = np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(n * per_row))
    columns = rng.permutation(p)[np.minimum(columns, p - 1)]
    rows = np.repeat(np.arange(n), per_row)
    values = rng.lognormal(0.0, 0.5, n * per_row)
    X = sparse.csc_matrix((values, (rows, columns)), shape=(n, p))
    # rows of length one, as in TF-IDF
    X.data /= np.sqrt(np.bincount(X.indices, X.data**2, n))[X.indices]
    return X


def sparse_signal(X: Any, k: int, outputs: int = 0, seed: int = 2) -> np.ndarray:
    """(n,), or (n, outputs): k of the columns, spread evenly, in sum of variance about 10."""
    rng = np.random.default_rng(seed)
    used = np.linspace(0, X.shape[1] - 1, k).astype(int)
    coef = rng.standard_normal((k, outputs) if outputs else k)
    signal = np.asarray(X[:, used] @ coef)
    return signal * np.sqrt(10) / max(signal.std(), 1e-300)


def noisy(signal: np.ndarray, seed: int = 3) -> np.ndarray:
    """The signal with a tenth of its variance added as noise."""
    return signal + np.random.default_rng(seed).standard_normal(signal.shape)


def labels(signal: np.ndarray, seed: int = 3) -> np.ndarray:
    """Zeros and ones, a logistic draw each."""
    chance = 1 / (1 + np.exp(-signal))
    return (np.random.default_rng(seed).random(signal.shape) < chance).astype(float)


def counts(signal: np.ndarray, seed: int = 3) -> np.ndarray:
    """Poisson draws of means from 0.05 to 20."""
    means = np.exp(np.clip(signal / 3, -3, 3))
    return np.random.default_rng(seed).poisson(means).astype(float)
