"""The columns of a working set, read from X once, and their Gram matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from gossamer.core.design import Design
from gossamer.kernels import bind
from gossamer.kernels.gram import sparse_gram


class WorkingColumns:
    """Columns of the working design in slots, in the order in which they were asked for.

    An explicit intercept is a column of ones in slot 0. The Gram matrix of the quadratic loss
    grows with the columns: of every pair it is computed once.

    features : (n_slots,) column of X in each slot, -1 for the ones.
    slot_of : (p,) slot of each column of X, -1 for those that are not here.
    """

    def __init__(self, design: Design, intercept: bool) -> None:
        self.design, self.is_sparse, self.has_intercept = design, design.is_sparse, intercept
        n, p = design.shape
        self.slot_of = np.full(p, -1, dtype=np.int32)
        self.features = np.full(int(intercept), -1)
        ones = np.ones((n, int(intercept)), order="F")
        self.data: Any = sparse.csc_array(ones) if self.is_sparse else ones
        self._room: np.ndarray = ones
        self._gram = np.empty((0, 0))
        self._rows: sparse.csr_array | None = None

    @property
    def count(self) -> int:
        return len(self.features)

    def extend(self, features: np.ndarray) -> None:
        """Take in the columns that are not here yet."""
        new = np.unique(features[self.slot_of[features] < 0])
        if not new.size:
            return
        columns = self.design.columns(new)
        count = self.count + len(new)
        if self.is_sparse:
            self.data = sparse.csc_array(sparse.hstack([self.data, columns]))
        else:
            if count > self._room.shape[1]:
                room = np.empty((len(columns), max(count, 2 * self.count)), order="F")
                room[:, : self.count] = self.data
                self._room = room
            self._room[:, self.count : count] = columns
            self.data = self._room[:, :count]
        self.slot_of[new] = np.arange(self.count, count)
        self.features = np.append(self.features, new)

    def keep(self, features: np.ndarray) -> None:
        """Forget all other columns, apart from the intercept's."""
        kept = self.slot_of[features]
        kept = np.union1d(kept[kept >= 0], np.flatnonzero(self.features < 0))
        if len(kept) == self.count:
            return
        known = kept[kept < len(self._gram)]
        self._gram = np.ascontiguousarray(self._gram[np.ix_(known, known)])
        self.slot_of[self.features[self.features >= 0]] = -1
        self.features, self._rows = self.features[kept], None
        real = self.features >= 0
        self.slot_of[self.features[real]] = np.flatnonzero(real)
        self.data = self.data[:, kept]
        if not self.is_sparse:
            self._room = self.data = np.asfortranarray(self.data)

    # -- sparse columns are centred and scaled on the fly ------------------------------------------
    @property
    def scale(self) -> np.ndarray:
        """(n_slots,) what the stored columns are to be multiplied by."""
        return self._of_features(
            None if self.design.scale is None or not self.is_sparse else 1 / self.design.scale, 1.0
        )

    @property
    def means(self) -> np.ndarray:
        """(n_slots,) what is to be subtracted from the stored columns before that."""
        return self._of_features(self.design.center if self.is_sparse else None, 0.0)

    def _of_features(self, values: np.ndarray | None, otherwise: float) -> np.ndarray:
        taken = np.full(self.count, otherwise)
        if values is not None:
            real = self.features >= 0
            taken[real] = values[self.features[real]]
        return taken

    def dense(self) -> np.ndarray:
        """(n, n_slots) the working columns as an array."""
        if not self.is_sparse:
            return np.asarray(self.data)
        return (self.data.toarray() - self.means) * self.scale

    # -- products ----------------------------------------------------------------------------------
    def times(self, w: np.ndarray) -> np.ndarray:
        """(n, K) columns times ``w`` (n_slots, K)."""
        if not self.is_sparse:
            alive = np.flatnonzero(w.any(axis=1))
            few = len(alive) < self.count // 4
            return self.data[:, alive] @ w[alive] if few else self.data @ w
        w = w * self.scale[:, None]
        return np.asarray(self.data @ w) - self.means @ w

    def transpose_times(self, u: np.ndarray) -> np.ndarray:
        """(n_slots, K) transposed columns times ``u`` (n, K)."""
        product = np.asarray(self.data.T @ u)
        if not self.is_sparse:
            return product
        return (product - np.outer(self.means, u.sum(axis=0))) * self.scale[:, None]

    def squares(self, h: np.ndarray) -> np.ndarray:
        """(n_slots, K) sums of squares, weighted by ``h`` (n, K)."""
        if not self.is_sparse:
            return np.square(self.data).T @ h
        c = self.means[:, None]
        squares = (self.data * self.data).T @ h
        squares = squares + c * (c * h.sum(axis=0) - 2 * (self.data.T @ h))
        return np.maximum(squares, 0.0) * self.scale[:, None] ** 2

    def gram(self, h: np.ndarray, first: int = 0) -> np.ndarray:
        """(n_slots, n_slots - first) ``A' diag(h) A[:, first:]`` for weights ``h`` (n,)."""
        if not self.is_sparse:
            return self.data.T @ (self.data[:, first:] * h[:, None])
        return self._sparse_gram(self.data, self._by_row, h, np.arange(self.count), first)

    def gram_of(self, slots: np.ndarray, h: np.ndarray) -> np.ndarray:
        """The Gram matrix of some slots."""
        part = self.data[:, slots]
        if not self.is_sparse:
            return np.asarray(part.T @ (part * h[:, None]))
        rows = part.tocsr()
        rows.sort_indices()
        return self._sparse_gram(part, rows, h, slots, 0)

    def _sparse_gram(
        self, columns: sparse.csc_array, rows: sparse.csr_array, h: np.ndarray, slots: np.ndarray,
        first: int,
    ) -> np.ndarray:  # fmt: skip
        gram = np.zeros((len(slots) - first, len(slots)))
        bind(sparse_gram)(rows.data, rows.indices, rows.indptr, h, first, gram)
        square = gram[:, first:]
        square += np.tril(square, -1).T
        means, scale = self.means[slots], self.scale[slots]
        if means.any():
            moved = columns.T @ h
            gram -= np.outer(means[first:], moved)
            gram += np.outer(h.sum() * means[first:] - moved[first:], means)
        return (gram * np.outer(scale[first:], scale)).T

    @property
    def gram_cost(self) -> float:
        """Multiplications of a Gram matrix over those of a cycle of coordinate descent on the
        samples."""
        if not self.is_sparse:
            return self.count
        lengths = np.diff(self._by_row.indptr).astype(float)
        return float(lengths @ lengths) / max(float(lengths.sum()), 1.0)

    @property
    def _by_row(self) -> sparse.csr_array:
        if self._rows is None or self._rows.shape[1] != self.count:
            self._rows = self.data.tocsr()
            self._rows.sort_indices()
        return self._rows

    def quadratic_gram(self) -> np.ndarray:
        """(n_slots, n_slots) Gram matrix under the sample weights."""
        old = len(self._gram)
        if old < self.count:
            gram = np.empty((self.count, self.count))
            gram[:old, :old] = self._gram
            block = self.gram(self.design.sample_weight, old)
            gram[:, old:], gram[old:, :old] = block, block[:old].T
            self._gram = gram
        return self._gram
