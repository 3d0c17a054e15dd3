"""The quadratic model of the loss on a working set, in the cheapest of several stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from gossamer.core.problem import Problem
from gossamer.kernels import columns as stores
from gossamer.solvers.working_units import WorkingUnits

# a Gram matrix of this many coordinates takes 128 MB, and less time than cycling over samples
_MAX_GRAM = 4000
_MAX_SPARSE_GRAM = 1000


@dataclass(eq=False)
class Model:
    """``state``, a gradient, moves linearly with the local coefficients.

    columns, dot, axpy : the store, as kernels take it.
    feature, output : (m,) place of each coordinate in the store.
    curvature : (n_units,) largest eigenvalue of each unit's block.
    gram : (m, m), or ``None`` where the store is a residual one.
    """

    columns: tuple
    dot: Callable
    axpy: Callable
    state: np.ndarray
    feature: np.ndarray
    output: np.ndarray
    curvature: np.ndarray
    gram: np.ndarray | None
    push: Callable[[np.ndarray], np.ndarray]  # change of the state for a change of coefficients
    pull: Callable[[np.ndarray], np.ndarray]  # (m,) gradient in the coefficients of a state

    def gradient(self) -> np.ndarray:
        """(m,) gradient of the model in the local coefficients."""
        return self.pull(self.state)


class Block:
    """The columns of a working set, from which models at different points are made.

    An explicit intercept is a last column of ones.
    """

    def __init__(self, problem: Problem, working: WorkingUnits) -> None:
        self.problem, self.working = problem, working
        design = problem.design
        self.columns: Any = design.columns(working.features)
        self.is_sparse = sparse.issparse(self.columns)
        ones = np.ones((design.shape[0], 1))
        n_columns = self.columns.shape[1] + bool(working.n_intercepts)
        self.scale = np.ones(n_columns)
        self.means = np.zeros(n_columns)
        if self.is_sparse:
            if design.scale is not None:
                self.scale[: len(working.features)] = 1 / design.scale[working.features]
            if design.center is not None:
                self.means[: len(working.features)] = design.center[working.features]
        if working.n_intercepts and self.is_sparse:
            self.columns = sparse.csc_array(sparse.hstack([self.columns, ones]))
        elif working.n_intercepts:
            self.columns = np.asfortranarray(np.hstack([self.columns, ones]))

    def times(self, local: np.ndarray) -> np.ndarray:
        """(n, K) change of the prediction for a change of the local coefficients."""
        dense = np.zeros((self.columns.shape[1], self.problem.shape[1]))
        dense[self.working.feature, self.working.output] = local
        if not self.is_sparse:
            return self.columns @ dense
        dense *= self.scale[:, None]
        return self.columns @ dense - self.means @ dense

    def model(self, u: np.ndarray, h: np.ndarray, chance: np.ndarray | None) -> Model:
        """The model with gradient ``u`` and curvature ``h`` (n, K) of the weighted samples.

        ``chance`` (n, K) are the class probabilities of a loss whose outputs interact: a sample's
        curvature is then ``s (diag(p) - p p')``, and ``h`` is added to its diagonal.
        """
        m = self.working.size
        small = m <= (_MAX_SPARSE_GRAM if self.is_sparse else _MAX_GRAM)
        if small:
            return self._gram_model(u, h, chance)
        return self._residual_model(u, h, chance)

    # -- Gram stores -----------------------------------------------------------------------------
    def _gram_of(self, h: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """``A[:, left]' diag(h) A[:, right]`` of the working columns."""
        if not self.is_sparse:
            weighted = self.columns[:, left] * h[:, None]
            return weighted.T @ self.columns[:, right]
        a, b = self.columns[:, left], self.columns[:, right]
        gram = ((a * h[:, None]).T @ b).toarray()
        if self.means.any():
            means_a, means_b = (a.T @ h)[:, None], (b.T @ h)[None, :]
            c_a, c_b = self.means[left][:, None], self.means[right][None, :]
            gram += h.sum() * c_a * c_b - c_a * means_b - means_a * c_b
        return gram * self.scale[left][:, None] * self.scale[right][None, :]

    def _gram_model(self, u: np.ndarray, h: np.ndarray, chance: np.ndarray | None) -> Model:
        working = self.working
        everything = np.arange(self.columns.shape[1])
        gradient = self._transpose_times(u)
        if chance is not None:
            return self._coupled_gram_model(gradient, h, chance)
        gram = np.ascontiguousarray(self._gram_of(h[:, 0], everything, everything))
        state = np.ascontiguousarray(gradient.T)
        shared = u.shape[1] > 1
        feature, output = working.feature, working.output

        def push(change: np.ndarray) -> np.ndarray:
            if len(state) == 1:
                return _rows_times(gram, change)[None, :]
            dense = np.zeros_like(state)
            dense[output, feature] = change
            return dense @ gram

        full = gram[np.ix_(feature, feature)] if shared else gram
        if shared:
            full = full * (output[:, None] == output[None, :])
        elif not np.array_equal(feature, everything):
            # one output: coordinates are columns, in the units' order
            full = gram = np.ascontiguousarray(gram[np.ix_(feature, feature)])
            state, feature = np.ascontiguousarray(state[:, feature]), np.arange(len(feature))
            feature = feature.astype(np.int32)
        return Model(
            (gram,), stores.gram_dot, stores.gram_axpy, state, feature, output,
            _largest_eigenvalues(full, working), full, push, lambda state: state[output, feature],
        )  # fmt: skip

    def _coupled_gram_model(self, gradient: np.ndarray, h: np.ndarray, chance: np.ndarray) -> Model:
        """The Gram matrix of coordinates: ``sum_i s_i a_ic a_id (same_cd p_ic - p_ic p_id)``."""
        working, s = self.working, self.problem.sample_weight[:, None]
        m, output = working.size, working.output
        same = output[:, None] == output[None, :]
        if self.is_sparse:
            a = self.columns[:, working.feature] * self.scale[working.feature]
            likely = a * chance[:, output]
            gram = ((likely * s + a * h[:, output]).T @ a).toarray() * same
            gram -= ((likely * s).T @ likely).toarray()
        else:
            a = self.columns[:, working.feature]
            likely = a * chance[:, output]
            gram = ((likely * s + a * h[:, output]).T @ a) * same
            gram -= (likely * s).T @ likely
        state = gradient[working.feature, working.output][None, :].copy()
        return Model(
            (gram,), stores.gram_dot, stores.gram_axpy, state, np.arange(m, dtype=np.int32),
            np.zeros(m, dtype=np.int32), _largest_eigenvalues(gram, working), gram,
            lambda change: _rows_times(gram, change)[None, :], lambda state: state[0].copy(),
        )  # fmt: skip

    # -- residual stores -------------------------------------------------------------------------
    def _residual_model(self, u: np.ndarray, h: np.ndarray, chance: np.ndarray | None) -> Model:
        working, s = self.working, self.problem.sample_weight
        feature, output = working.feature, working.output
        extra = 1 if self.is_sparse and chance is None else 0
        curving: tuple = (np.ascontiguousarray(h.T),)
        state = np.zeros((u.shape[1], u.shape[0] + extra))
        state[:, : u.shape[0]] = u.T
        if chance is not None:
            curving += (s, np.ascontiguousarray(chance.T))

        def push(change: np.ndarray) -> np.ndarray:
            z = self.times(change)
            moved = np.zeros_like(state)
            if chance is not None:
                mean = (chance * z).sum(axis=1, keepdims=True)
                moved[:] = (s[:, None] * chance * (z - mean) + h * z).T
            elif extra:
                dense = np.zeros((self.columns.shape[1], u.shape[1]))
                dense[feature, output] = change
                shift = self.means @ (dense * self.scale[:, None])
                moved[:, :-1] = (h * (z + shift)).T
                moved[:, -1] = -shift
            else:
                moved[:] = (h * z).T
            return moved

        def pull(state: np.ndarray) -> np.ndarray:
            samples = state[:, : u.shape[0]].T
            product = np.asarray(self.columns.T @ samples)
            if extra:
                product += self.means[:, None] * state[:, -1]
            return (product * self.scale[:, None])[feature, output]

        if self.is_sparse:
            indices = self.columns.indices.astype(np.uint32)
            indptr = self.columns.indptr.astype(np.int64)
            data = (self.columns.data, indices, indptr)
            if chance is not None:
                store = (*data, *curving, self.scale)
                steps = (stores.softmax_csc_dot, stores.softmax_csc_axpy)
            else:
                store = (*data, *curving, self.means, self.scale)
                steps = (stores.csc_dot, stores.csc_axpy)
        else:
            store = (self.columns, *curving)
            coupled = chance is not None
            steps = (
                stores.softmax_dense_dot if coupled else stores.dense_dot,
                stores.softmax_dense_axpy if coupled else stores.dense_axpy,
            )
        curvature = self._block_curvature(h, chance)
        return Model(store, *steps, state, feature, output, curvature, None, push, pull)

    def _block_curvature(self, h: np.ndarray, chance: np.ndarray | None) -> np.ndarray:
        """(n_units,) largest eigenvalue of each unit, bounded where outputs interact."""
        working, s = self.working, self.problem.sample_weight[:, None]
        if chance is not None:
            # diag(p) - p p' is at most 1/2; along one coordinate it is p (1 - p)
            single = (working.units.lengths == 1).all()
            h = h + s * (chance * (1 - chance) if single else 0.5)
        if (working.units.lengths == 1).all():
            squares = self._squares(h)
            return squares[working.feature, working.output]
        curvature = np.empty(working.units.count)
        for u, (start, stop) in enumerate(
            zip(working.starts[:-1], working.starts[1:], strict=True)
        ):
            features = np.unique(working.feature[start:stop])
            gram = self._gram_of(h[:, working.output[start]], features, features)
            curvature[u] = np.linalg.eigvalsh(gram)[-1]
        return np.maximum(curvature, 0.0)

    def _squares(self, h: np.ndarray) -> np.ndarray:
        """(columns, K) weighted sums of squares of the working columns."""
        if not self.is_sparse:
            return np.square(self.columns).T @ h
        squares = (self.columns * self.columns).T @ h
        if self.means.any():
            c = self.means[:, None]
            squares = squares + c * (c * h.sum(axis=0) - 2 * (self.columns.T @ h))
        return np.maximum(squares, 0.0) * self.scale[:, None] ** 2

    def _transpose_times(self, u: np.ndarray) -> np.ndarray:
        product = np.asarray(self.columns.T @ u)
        if self.means.any():
            product -= np.outer(self.means, u.sum(axis=0))
        return product * self.scale[:, None]


def _rows_times(gram: np.ndarray, change: np.ndarray) -> np.ndarray:
    """``change @ gram``, reading only the rows that count."""
    at = np.flatnonzero(change)
    return change[at] @ gram[at] if len(at) < len(gram) // 4 else change @ gram


def _largest_eigenvalues(gram: np.ndarray, working: WorkingUnits) -> np.ndarray:
    """(n_units,) largest eigenvalue of each unit's diagonal block, units of one size at a time."""
    lengths, starts = working.units.lengths, working.starts[:-1]
    largest = np.empty(len(lengths))
    for length in np.unique(lengths):
        units = np.flatnonzero(lengths == length)
        at = starts[units][:, None] + np.arange(length)
        blocks = gram[at[:, :, None], at[:, None, :]]
        largest[units] = blocks[:, 0, 0] if length == 1 else np.linalg.eigvalsh(blocks)[:, -1]
    # rounding of a dead column must not look like curvature
    return np.where(largest > 1e-14 * largest.max(initial=0.0), largest, 0.0)
