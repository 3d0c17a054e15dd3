"""The design matrix as solvers see it: centred and scaled without a copy.

Column j of the working design is ``(x_j - center_j) / scale_j``. Nothing of X is ever copied but
the few columns of a working set; sparse X stays sparse.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator

# columns converted to float64 at a time where X has another type
_CHUNK = 256
# entries of X from which loading a compiled pass pays, and rows beyond which BLAS is faster
_LARGE, _LONG = 400_000, 4096


class Design:
    """A matrix (n, p) with sample weights; ``center`` and ``scale`` are implicit.

    Parameters
    ----------
    X : ndarray (float32 or float64, any order), CSC array or LinearOperator
    sample_weight : (n,) summing to one
    center, standardise : bool
        Subtract the weighted column means; divide by the weighted standard deviations. Constant
        columns keep scale one.
    intercept : bool
        The model has an intercept. Without one, columns are divided by their root mean squares;
        with one, by their deviations from the mean, whether or not they are centred.
    """

    def __init__(
        self,
        X: Any,
        sample_weight: np.ndarray,
        *,
        center: bool = False,
        standardise: bool = False,
        intercept: bool = False,
    ) -> None:
        self.X, self.sample_weight = X, sample_weight
        self.shape: tuple[int, int] = X.shape
        self.is_sparse = sparse.issparse(X)
        self.is_operator = isinstance(X, LinearOperator)
        self._constant = np.empty(0, dtype=np.intp)  # columns that centring makes zero
        self.center = self.means if center else None
        self.scale: np.ndarray | None = None
        self.scale = self._deviations(intercept) if standardise else None

    @cached_property
    def means(self) -> np.ndarray:
        """(p,) weighted column means of X as given."""
        means = self._transpose_times(self.sample_weight[:, None])[:, 0]
        if self.is_sparse or self.is_operator:
            return means
        # a constant column is its own mean, not a rounding beside it: centred it is zero
        first = self.X[0].astype(float)
        near = np.flatnonzero(np.abs(first - means) <= 1e-12 * np.abs(means))
        constant = near[(self.X[:, near] == self.X[0, near]).all(axis=0)]
        means[constant] = first[constant]
        self._constant = constant
        return means

    def _deviations(self, intercept: bool) -> np.ndarray:
        squares = self.weighted_squares(self.sample_weight[:, None])[:, 0]
        if intercept and self.center is None:
            squares = squares - self.means**2
        squares = np.maximum(squares, 0.0)
        # below rounding of the mean a column is constant
        constant = squares <= (1e-7 * np.abs(self.means)) ** 2 + np.finfo(float).tiny
        return np.where(constant, 1.0, np.sqrt(squares))

    @property
    def _reads_by_column(self) -> bool:
        """Whether a compiled pass over the columns pays."""
        return bool(self.X.size > _LARGE and self.X.flags.f_contiguous)

    def _transpose_times(self, u: np.ndarray) -> np.ndarray:
        if self.is_operator or self.is_sparse:
            return np.asarray(self.X.T @ u)
        product = np.empty((self.shape[1], u.shape[1]))
        same = self.X.dtype == u.dtype
        short = u.shape[1] == 1 and (self.shape[0] <= _LONG or not same)
        if short and self._reads_by_column:
            from gossamer.kernels import bind, passes

            run = bind(passes.transpose_times)
            run(self.X, np.ascontiguousarray(u[:, 0]), product.ravel())
            return product
        if same:
            return np.matmul(self.X.T, u, out=product)
        for columns in _chunks(self.shape[1]):
            product[columns] = self.X[:, columns].astype(float).T @ u
        return product

    def rmatvec(self, u: np.ndarray) -> np.ndarray:
        """Working design transposed times ``u``: (n, K) to (p, K)."""
        product = self._transpose_times(u)
        if self.center is not None:
            product -= np.outer(self.center, u.sum(axis=0))
            product[self._constant] = 0.0
        if self.scale is not None:
            product /= self.scale[:, None]
        return product

    def matvec(self, w: np.ndarray) -> np.ndarray:
        """Working design times ``w``: (p, K) to (n, K); only non-zero rows are touched."""
        if self.scale is not None:
            w = w / self.scale[:, None]
        if self.is_operator:
            product = np.asarray(self.X @ w)
        else:
            alive = np.flatnonzero(w.any(axis=1))
            if len(alive) > self.shape[1] // 4 and self.X.dtype == w.dtype:
                product = np.asarray(self.X @ w)
            else:
                product = np.zeros((self.shape[0], w.shape[1]))
                for at in _chunks(len(alive)):
                    block = self.X[:, alive[at]].astype(float, copy=False)
                    product += block @ w[alive[at]]
        return product - self.center @ w if self.center is not None else product

    @cached_property
    def squares(self) -> np.ndarray:
        """(p, 1) sums of squares of the working columns under the sample weights."""
        return self.weighted_squares(self.sample_weight[:, None])

    def weighted_squares(self, h: np.ndarray) -> np.ndarray:
        """(p, K) weighted sums of squares ``sum_i h_ik x_ij^2`` of the working columns."""
        if self.is_sparse:
            return self._sparse_squares(h)
        squares = np.empty((self.shape[1], h.shape[1]))
        if h.shape[1] == 1 and self._reads_by_column:
            from gossamer.kernels import bind, passes

            means = np.zeros(self.shape[1]) if self.center is None else self.center
            run = bind(passes.weighted_squares)
            run(self.X, np.ascontiguousarray(h[:, 0]), means, squares.ravel())
            return squares if self.scale is None else squares / self.scale[:, None] ** 2
        for at in _chunks(self.shape[1]):
            squares[at] = np.square(self.columns(np.arange(self.shape[1])[at])).T @ h
        return squares

    def _sparse_squares(self, h: np.ndarray) -> np.ndarray:
        X = self.X
        entries = np.square(X.data.astype(float))
        squares = np.asarray(sparse.csc_array((entries, X.indices, X.indptr), X.shape).T @ h)
        if self.center is not None:
            c = self.center[:, None]
            squares = squares + c * (c * h.sum(axis=0) - 2 * (X.T @ h))
        return squares if self.scale is None else squares / self.scale[:, None] ** 2

    def columns(self, features: np.ndarray) -> np.ndarray | sparse.csc_array:
        """The chosen columns in float64: dense ones centred and scaled (Fortran order), sparse
        ones as they are."""
        if self.is_sparse:
            return self.X[:, features].astype(float, copy=False)
        block = np.empty((self.shape[0], len(features)), order="F")
        np.copyto(block, self.X[:, features])
        if self.center is not None:
            block -= self.center[features]
        if self.scale is not None:
            block /= self.scale[features]
        return block

    def dense(self, features: np.ndarray) -> np.ndarray:
        """(n, a) the chosen working columns, centred and scaled, dense whatever X is."""
        block: Any = self.columns(features)
        if not self.is_sparse:
            return np.asarray(block)
        block = block.toarray()
        if self.center is not None:
            block = block - self.center[features]
        return np.asarray(block if self.scale is None else block / self.scale[features])

    def to_public(self, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and intercept for X as given, from those of the working design."""
        if self.scale is not None:
            w = w / self.scale[:, None]
        return w, b - self.center @ w if self.center is not None else b

    def to_working(self, w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inverse of :meth:`to_public`."""
        if self.center is not None:
            b = b + self.center @ w
        return (w * self.scale[:, None] if self.scale is not None else w), b


def _chunks(size: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, size, _CHUNK)]
