"""Random sketches: features multiplied by a random matrix, so that fewer of them are left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import fft, sparse


def gaussian(X: Any, size: int, rng: np.random.Generator) -> tuple[np.ndarray, Callable]:
    """Independent normal entries of variance 1 / size."""
    S = rng.standard_normal((X.shape[1], size)) / np.sqrt(size)
    return X @ S, lambda v: S @ v


def orthogonal(X: Any, size: int, rng: np.random.Generator) -> tuple[np.ndarray, Callable]:
    """A uniformly random subspace: ``p / size`` times a projection, less variable than Gaussian."""
    p = X.shape[1]
    basis, upper = np.linalg.qr(rng.standard_normal((p, size)))
    # a sign for every column makes the distribution uniform (Mezzadri 2007)
    S = basis * np.sign(np.diag(upper)) * np.sqrt(p / size)
    return X @ S, lambda v: S @ v


def count(X: Any, size: int, rng: np.random.Generator) -> tuple[np.ndarray, Callable]:
    """Every feature is added, with a random sign, to one of ``size`` sums: one pass over X."""
    p = X.shape[1]
    signs, sums = rng.choice([-1.0, 1.0], p), rng.integers(0, size, p)
    S = sparse.csr_array((signs, (np.arange(p), sums)), shape=(p, size))
    product = X @ S
    return product.toarray() if sparse.issparse(product) else product, lambda v: S @ v


def cosine(X: Any, size: int, rng: np.random.Generator) -> tuple[np.ndarray, Callable]:
    """Random signs, a cosine transform and a sample of frequencies: n p log p operations."""
    p = X.shape[1]
    signs = rng.choice([-1.0, 1.0], p)
    chosen = rng.choice(p, size, replace=False)
    scale = np.sqrt(p / size)

    def back(v: np.ndarray) -> np.ndarray:
        full = np.zeros((p, *v.shape[1:]))
        full[chosen] = scale * v
        lifted = fft.idct(full, axis=0, norm="ortho")
        return (lifted.T * signs).T

    return fft.dct(X * signs, axis=1, norm="ortho")[:, chosen] * scale, back


#: name -> ``sketch(X, size, rng)``, which gives X S and the map v -> S v; E[S S'] is the identity
SKETCHES = {
    "gaussian": gaussian,
    "orthogonal": orthogonal,
    "count": count,
    "cosine": cosine,
}
