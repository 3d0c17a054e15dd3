"""The lasso of every column on all the others, from one Gram matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gossamer.kernels import bind
from gossamer.kernels.columns import gram_axpy, gram_dot
from gossamer.kernels.descent import element_cycles
from gossamer.linear.inference.resampling import nothing, repeat
from gossamer.penalties import L1

# columns that are solved for together: their state stays in a core's cache
_TOGETHER = 32
_CYCLES, _MAX_ROUNDS = 4, 2000
# gain of a cycle at which it ends: coefficients of columns of unit variance are then right to 1e-4
_TOLERANCE = 1e-8
# weaker strengths than the best so far that are tried
_PATIENCE = 3
# what the variance may grow by where less bias is bought with it
_INFLATION = 1.25


@dataclass(frozen=True, eq=False)
class Nodewise:
    """Residual directions ``Z = X (I - B)`` of the columns' regressions, at one strength.

    directions : (p, p), row j is that of column j of X: ``e_j - b_j``.
    strength : float.
    """

    directions: np.ndarray
    strength: float


def along_strengths(
    gram: np.ndarray, columns: np.ndarray, strengths: np.ndarray
) -> Iterator[np.ndarray]:
    r"""(len(columns), p) directions ``e_j - b_j`` at decreasing strengths, where b_j solves

    .. math:: \min_{b:\, b_j = 0} \; \tfrac12 (e_j - b)^\top G (e_j - b) + \lambda \|b\|_1
    """
    p, k = len(gram), len(columns)
    feature = np.tile(np.arange(p, dtype=np.int32), k)
    output = np.repeat(np.arange(k, dtype=np.int32), p)
    own = np.arange(k) * p + columns
    curvature = np.tile(np.diag(gram), k)
    curvature[own] = 0.0  # a column does not explain itself
    state = -gram[columns]
    w = np.zeros(k * p)
    trail = np.empty((_CYCLES, k * p))
    unit, lower = np.ones(k * p), np.full(k * p, -np.inf)
    cycles = bind(element_cycles, prox=L1.shape_prox, dot=gram_dot, axpy=gram_axpy)
    for strength in strengths:
        for _ in range(_MAX_ROUNDS):
            _, largest, _ = cycles(
                (gram,), state, w, feature, output, curvature, unit, lower, (float(strength),),
                _TOLERANCE, trail,
            )  # fmt: skip
            if largest <= _TOLERANCE:
                break
        directions = -w.reshape(k, p)
        directions[np.arange(k), columns] = 1.0
        yield directions


def nodewise(
    X: np.ndarray, *, n_folds: int, n_strengths: int, rng: np.random.Generator,
    n_jobs: int | None = None, on_step: Callable[[], object] | None = None,
) -> Nodewise:  # fmt: skip
    """All columns at one strength: what predicts them best, lowered to lessen the bias.

    X has centred columns of unit variance. The strength that predicts held-out rows best is
    lowered until the variances of the coefficients have grown by a quarter (Zhang and Zhang 2014,
    section 2.3, as in R's hdi).
    """
    n, p = X.shape
    gram = X.T @ X / n
    off = np.abs(gram - np.diag(np.diag(gram))).max(initial=1e-12)
    strengths = off * np.geomspace(1.0, 1e-2, n_strengths)
    blocks = np.array_split(np.arange(p), max(1, -(-p // _TOGETHER)))
    folds = [_fold_grams(X, part) for part in np.array_split(rng.permutation(n), n_folds)]
    advance = on_step or nothing

    best, errors = 0, [np.inf]
    for step, error in enumerate(_held_out_errors(folds, blocks, strengths, n_jobs)):
        errors = [*errors[:step], error]
        best = int(np.argmin(errors))
        advance()
        if step - best >= _PATIENCE:
            break
    least, chosen = np.inf, np.empty((p, p))
    for step, directions in enumerate(_in_blocks(gram, blocks, strengths, n_jobs)):
        variance = variances(gram, directions).mean()
        if step > best and variance > _INFLATION * least:
            return Nodewise(chosen, float(strengths[step - 1]))
        least, chosen = variance if step == best else least, directions
        advance()
    return Nodewise(chosen, float(strengths[-1]))


def _held_out_errors(
    folds: list[tuple[np.ndarray, np.ndarray]], blocks: list[np.ndarray], strengths: np.ndarray,
    n_jobs: int | None,
) -> Iterator[float]:  # fmt: skip
    """Squares left of all held-out rows and columns, strength after strength."""
    paths = [_in_blocks(train, blocks, strengths, n_jobs) for train, _ in folds]
    for found in zip(*paths, strict=True):
        yield sum(float(np.sum(d @ test * d)) for d, (_, test) in zip(found, folds, strict=True))


def _in_blocks(
    gram: np.ndarray, blocks: list[np.ndarray], strengths: np.ndarray, n_jobs: int | None
) -> Iterator[np.ndarray]:
    """(p, p) directions of all columns, strength after strength, blocks of them in threads."""
    paths = [along_strengths(gram, block, strengths) for block in blocks]
    for _ in strengths:
        found = repeat(next, paths, n_jobs=n_jobs)
        if found.interrupted:
            raise KeyboardInterrupt
        yield np.concatenate(found.results)


def variances(gram: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """(p,) ``n |z_j|^2 / (z_j' x_j)^2``: variance of each coefficient per variance of the noise."""
    product = directions @ gram
    squares: np.ndarray = np.sum(product * directions, axis=1)
    return squares / np.maximum(np.diag(product), 1e-300) ** 2


def _fold_grams(X: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices of the training and of the held-out rows about the training mean."""
    rows = np.ones(len(X), dtype=bool)
    rows[held_out] = False
    middle = X[rows].mean(axis=0)
    train, test = X[rows] - middle, X[held_out] - middle
    return train.T @ train / len(train), test.T @ test
