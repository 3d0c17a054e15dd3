"""The quadratic model of the loss on a working set, in the cheapest of several stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gossamer.kernels import columns as stores
from gossamer.solvers.working_columns import WorkingColumns
from gossamer.solvers.working_units import WorkingUnits

# a Gram matrix of this many columns or coordinates takes 128 MB
_MAX_GRAM = 4000
# nanoseconds for an entry, as measured on one machine, of which only the proportions matter: in
# cycles on samples and on a Gram matrix, and in products of dense and of sparse matrices
_DENSE, _SPARSE, _GRAM, _PRODUCT, _SPARSE_PRODUCT = 0.15, 2.0, 0.1, 0.06, 4.0
# and of calling what a Newton move, and what five cycles and a jump consist of
_CALLS, _CYCLE_CALLS = 2e5, 1e4
# cycles on the samples that a Gram matrix of sparse columns may cost: one that is kept serves
# more of them than one that holds for one model
_WORTH_KEPT, _WORTH_ONCE = 40, 8


@dataclass(eq=False)
class Model:
    """``state``, a gradient, moves linearly with the local coefficients.

    columns, dot, axpy : the store, as kernels take it.
    feature, output : (m,) place of each coordinate in the store.
    curvature : (n_units,) largest eigenvalue of each unit's block.
    gram_of : the Gram matrix of some coordinates, or ``None`` where outputs interact on samples.
    cost : of a cycle and of a Newton step, for a support of so many coordinates.
    """

    columns: tuple
    dot: Callable
    axpy: Callable
    state: np.ndarray
    feature: np.ndarray
    output: np.ndarray
    curvature: np.ndarray
    push: Callable[[np.ndarray], np.ndarray]  # change of the state for a change of coefficients
    pull: Callable[[np.ndarray], np.ndarray]  # (m,) gradient in the coefficients of a state
    gram_of: Callable[[np.ndarray], np.ndarray] | None = None
    cost: Callable[[int], tuple[float, float]] = lambda support: (1.0, 1.0)

    def gradient(self) -> np.ndarray:
        """(m,) gradient of the model in the local coefficients."""
        return self.pull(self.state)


def pays_gram(columns: WorkingColumns, kept: bool) -> bool:
    """Whether cycles on the Gram matrix of the columns save what the matrix costs.

    A dense one costs the more the more columns there are; its cycles are shorter than those on
    the samples while there are fewer columns than samples.
    """
    if columns.is_sparse:
        worth = _WORTH_KEPT if kept else _WORTH_ONCE
        # of every three coordinates one moves, and is read twice where samples are cycled over
        shorter = columns.count**2 * _GRAM / 3 <= 4 / 3 * columns.data.nnz * _SPARSE
        return columns.count <= _MAX_GRAM and shorter and columns.gram_cost <= worth
    return columns.count <= min(max(300, len(columns.data)) if kept else 200, _MAX_GRAM)


def pays_coupled_gram(working: WorkingUnits) -> bool:
    """The same where outputs interact: every pair of coordinates counts, but so they do in a step
    on the samples."""
    return working.size <= _MAX_GRAM


def pays_joint_gram(columns: WorkingColumns) -> bool:
    """The same where samples interact: there is no other exact model."""
    return columns.count <= _MAX_GRAM


def gram_model(gram: np.ndarray, gradient: np.ndarray, working: WorkingUnits) -> Model:
    """Outputs that share the Gram matrix ``gram`` of the slots; ``gradient`` is (n_slots, K)."""
    state = np.ascontiguousarray(gradient.T)
    feature, output = working.feature, working.output
    several = len(state) > 1

    def push(change: np.ndarray) -> np.ndarray:
        slots = np.zeros_like(state)
        slots[output, feature] = change
        return slots @ gram if several else _rows_times(gram, slots[0])[None, :]

    def gram_of(at: np.ndarray) -> np.ndarray:
        block = gram.take(feature[at], axis=0).take(feature[at], axis=1)
        return block * (output[at][:, None] == output[at]) if several else block

    return Model(
        (gram,), stores.gram_dot, stores.gram_axpy, state, feature, output,
        _largest_eigenvalues(gram, feature, output, working), push,
        lambda state: state[output, feature], gram_of, _gram_costs(len(gram), working),
    )  # fmt: skip


def coupled_gram_model(
    columns: WorkingColumns, working: WorkingUnits, gradient: np.ndarray, h: np.ndarray,
    chance: np.ndarray, s: np.ndarray,
) -> Model:  # fmt: skip
    """Outputs that interact: the Gram matrix of coordinates,
    ``sum_i s_i a_ic a_id (same_cd p_ic - p_ic p_id) + same_cd h_ic a_ic a_id``.

    chance : (n, K) class probabilities p.
    h : (n, K) curvature added to the diagonal.
    """
    output = working.output
    same = output[:, None] == output[None, :]
    a = columns.data[:, working.feature]
    if columns.is_sparse:
        a = a * columns.scale[working.feature]
    likely = a * chance[:, output]
    gram = (likely * s[:, None] + a * h[:, output]).T @ a
    own = (likely * s[:, None]).T @ likely
    if columns.is_sparse:
        gram, own = gram.toarray(), own.toarray()
    gram = gram * same - own
    feature = np.arange(working.size, dtype=np.int32)
    output = np.zeros(working.size, dtype=np.int32)
    return Model(
        (gram,), stores.gram_dot, stores.gram_axpy,
        gradient[working.feature, working.output][None, :].copy(), feature, output,
        _largest_eigenvalues(gram, feature, output, working),
        lambda change: _rows_times(gram, change)[None, :], lambda state: state[0].copy(),
        lambda at: gram.take(at, axis=0).take(at, axis=1), _gram_costs(len(gram), working),
    )  # fmt: skip


def residual_model(
    columns: WorkingColumns, working: WorkingUnits, u: np.ndarray, h: np.ndarray,
    chance: np.ndarray | None, s: np.ndarray,
) -> Model:  # fmt: skip
    """The state is the gradient of the samples, ``u`` (n, K) at the start."""
    feature, output = working.feature, working.output
    shifted = columns.is_sparse and chance is None
    curving: tuple = (np.ascontiguousarray(h.T),)
    state = np.zeros((u.shape[1], u.shape[0] + int(shifted)))
    state[:, : u.shape[0]] = u.T
    means, scale = columns.means, columns.scale
    if chance is not None:
        curving += (s, np.ascontiguousarray(chance.T))

    def push(change: np.ndarray) -> np.ndarray:
        w = np.zeros((columns.count, u.shape[1]))
        w[feature, output] = change
        z = columns.times(w)
        moved = np.zeros_like(state)
        if chance is not None:
            mean = (chance * z).sum(axis=1, keepdims=True)
            moved[:] = (s[:, None] * chance * (z - mean) + h * z).T
        elif shifted:
            shift = means @ (w * scale[:, None])
            moved[:, :-1] = (h * (z + shift)).T
            moved[:, -1] = -shift
        else:
            moved[:] = (h * z).T
        return moved

    def pull(state: np.ndarray) -> np.ndarray:
        product = np.asarray(columns.data.T @ state[:, : u.shape[0]].T)
        if shifted:
            product += means[:, None] * state[:, -1]
        return (product * scale[:, None])[feature, output]

    def gram_of(at: np.ndarray) -> np.ndarray:
        if u.shape[1] == 1:
            return columns.gram_of(feature[at], h[:, 0])
        gram = np.zeros((len(at), len(at)))
        for k in np.unique(output[at]):
            own = np.flatnonzero(output[at] == k)
            gram[np.ix_(own, own)] = columns.gram_of(feature[at][own], h[:, k])
        return gram

    store: tuple
    if columns.is_sparse:
        X = columns.data
        store = (X.data, X.indices.astype(np.uint32), X.indptr.astype(np.int64), *curving)
        store += (means, scale) if shifted else (scale,)
        steps = (stores.csc_dot, stores.csc_axpy)
        coupled_steps = (stores.softmax_csc_dot, stores.softmax_csc_axpy)
    else:
        store = (columns.data, *curving)
        steps = (stores.dense_dot, stores.dense_axpy)
        coupled_steps = (stores.softmax_dense_dot, stores.softmax_dense_axpy)
    curvature = _block_curvature(columns, working, h, chance, s)
    if chance is not None:
        return Model(store, *coupled_steps, state, feature, output, curvature, push, pull)
    cost = _residual_costs(columns, working)
    return Model(store, *steps, state, feature, output, curvature, push, pull, gram_of, cost)


def _gram_costs(slots: int, working: WorkingUnits) -> Callable[[int], tuple[float, float]]:
    return lambda support: (
        _CYCLE_CALLS + working.size + support * slots * _GRAM,
        _CALLS + support**2 + support**3 * _PRODUCT / 3,
    )


def _residual_costs(
    columns: WorkingColumns, working: WorkingUnits
) -> Callable[[int], tuple[float, float]]:
    """A step of a coordinate reads its column, and once more when the coefficient moves."""

    def cost(support: int) -> tuple[float, float]:
        share, steps = support / working.size, 1 + support / working.size
        if not columns.is_sparse:
            n = len(columns.data)
            product = n * support**2 * _PRODUCT
            return (
                _CYCLE_CALLS + steps * working.size * n * _DENSE,
                _CALLS + product + support**3 * _PRODUCT / 3,
            )
        read = columns.data.nnz * working.size / columns.count
        product = columns.gram_cost * columns.data.nnz * share**2 * _SPARSE_PRODUCT
        return _CYCLE_CALLS + steps * read * _SPARSE, _CALLS + product + support**3 * _PRODUCT / 3

    return cost


def _block_curvature(
    columns: WorkingColumns, working: WorkingUnits, h: np.ndarray, chance: np.ndarray | None,
    s: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(n_units,) largest eigenvalue of each unit, bounded where outputs interact."""
    single = bool((working.units.lengths == 1).all())
    if chance is not None:
        # diag(p) - p p' is at most 1/2; along one coordinate it is p (1 - p)
        h = h + s[:, None] * (chance * (1 - chance) if single else 0.5)
    if single or _outputs_differ(working.output, working):
        squares = columns.squares(h)[working.feature, working.output]
        return np.maximum.reduceat(squares, working.starts[:-1])
    curvature = np.empty(working.units.count)
    for u, (start, stop) in enumerate(zip(working.starts[:-1], working.starts[1:], strict=True)):
        slots = np.unique(working.feature[start:stop])
        block = columns.gram_of(slots, h[:, np.unique(working.output[start:stop])].max(axis=1))
        curvature[u] = np.linalg.eigvalsh(block)[-1]
    return np.maximum(curvature, 0.0)


def _outputs_differ(output: np.ndarray, working: WorkingUnits) -> bool:
    """Whether no unit has two coordinates in one output: its block is then diagonal."""
    label = working.units.labels.astype(np.int64)
    pairs = np.unique(label * (int(output.max(initial=0)) + 1) + output)
    return len(pairs) == len(output)


def _rows_times(gram: np.ndarray, change: np.ndarray) -> np.ndarray:
    """``change @ gram``, reading only the rows that count."""
    at = np.flatnonzero(change)
    return change[at] @ gram[at] if len(at) < len(gram) // 4 else change @ gram


def _largest_eigenvalues(
    gram: np.ndarray, feature: np.ndarray, output: np.ndarray, working: WorkingUnits
) -> np.ndarray:
    """(n_units,) largest eigenvalue of each unit's diagonal block, units of one size at a time."""
    lengths, starts = working.units.lengths, working.starts[:-1]
    if _outputs_differ(output, working):
        largest = np.maximum.reduceat(np.diagonal(gram)[feature], starts)
    else:
        largest = np.empty(len(lengths))
        for length in np.unique(lengths):
            units = np.flatnonzero(lengths == length)
            at = starts[units][:, None] + np.arange(length)
            f, k = feature[at], output[at]
            blocks = gram[f[:, :, None], f[:, None, :]] * (k[:, :, None] == k[:, None, :])
            largest[units] = np.linalg.eigvalsh(blocks)[:, -1]
    # rounding of a dead column must not look like curvature
    return np.where(largest > 1e-14 * largest.max(initial=0.0), largest, 0.0)
