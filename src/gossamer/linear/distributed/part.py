"""A part of the rows, and what one pass over it tells: sums that add up over all parts.

Everything here runs where the rows are. A point comes as coefficients ``v`` (p, K) and intercepts
``c`` (K,) for X as given; what goes back never has a row's length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gossamer.core import validation
from gossamer.core.loss import Loss
from gossamer.linear.moments import Moments, moments_by_part

# rows of working columns made at a time
_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows: X (n, p), the encoded target (n, K), weights (n,), offset (n, K) or ``None``."""

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray
    offset: np.ndarray | None = None

    def weighted(self, factor: np.ndarray) -> Part:
        """The same rows with weights multiplied; nothing of X is copied."""
        return replace(self, sample_weight=self.sample_weight * factor)

    def predict(self, v: np.ndarray, c: np.ndarray) -> np.ndarray:
        """(n, K) linear prediction; only columns with a coefficient are read."""
        z = np.zeros(self.y.shape) + c if self.offset is None else self.offset + c
        alive = np.flatnonzero(v.any(axis=1))
        if len(alive) > self.X.shape[1] // 4 and self.X.dtype == v.dtype:
            return z + self.X @ v
        for rows in self._blocks() if alive.size else ():
            z[rows] += self.X[rows][:, alive].astype(float, copy=False) @ v[alive]
        return z

    def columns(self, frame: Frame) -> Iterator[tuple[slice, np.ndarray]]:
        """Blocks of rows of the working columns of a frame, with a last column of ones."""
        for rows in self._blocks():
            block = np.ones((rows.stop - rows.start, len(frame.features) + 1))
            np.subtract(self.X[rows][:, frame.features], frame.center, out=block[:, :-1])
            block[:, :-1] /= frame.scale
            yield rows, block

    def _blocks(self) -> Iterator[slice]:
        n = len(self.y)
        return (slice(at, min(at + _BLOCK, n)) for at in range(0, n, _BLOCK))


def make_part(
    X: Any, y: Any, sample_weight: Any, offset: Any, loss: Loss, classes: np.ndarray | None
) -> Part:
    """Rows as they came, checked and encoded; ``classes`` are the labels in order."""
    X = np.asarray(X)
    if X.dtype not in (np.float32, np.float64):
        X = X.astype(float)
    y = np.asarray(y)
    y = y if classes is None else np.searchsorted(classes, y)
    # what an encoder asks of all rows, such as a count above zero, one row more fulfils
    witness = np.ones((1, *y.shape[1:]), dtype=y.dtype)
    target = loss.encode(np.concatenate([y, witness]))[:-1]
    for name, values in (("y", target), ("sample_weight", sample_weight), ("offset", offset)):
        if values is not None and len(values) != len(X):
            raise ValueError(
                f"{name} has {len(values)} samples in a part where X has {len(X)}: both need the "
                "same blocks of rows. Make them from one collection, or give known chunks."
            )
    weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, dtype=float)
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must be finite and >= 0.")
    return Part(X, target, weights, validation.offsets(offset, target.shape))


@dataclass(frozen=True, eq=False)
class Frame:
    """Columns of X, centred and scaled: their positions, centers and scales, (f,) each."""

    features: np.ndarray
    center: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, eq=False)
class At:
    """Where a loss is looked at: ``z = X v + c`` and the offset."""

    loss: Loss
    v: np.ndarray
    c: np.ndarray

    def prediction(self, part: Part) -> np.ndarray:
        z = part.predict(self.v, self.c)
        # a row without weight is not there: its prediction might overflow
        return np.where(part.sample_weight[:, None] > 0, z, 0.0)

    def residual(self, part: Part) -> np.ndarray:
        """(n, K) gradient of each row's loss, zero without a weight."""
        gradient = self.loss.gradient(self.prediction(part), part.y)
        return np.where(part.sample_weight[:, None] > 0, gradient, 0.0)


# -- what a table looks like -----------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Spread:
    """Weight and number of rows, and of each column the mean and the squares about it.

    Reference: Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.
    """

    weight: float
    count: int
    mean: np.ndarray
    squares: np.ndarray

    def __add__(self, other: Spread) -> Spread:
        if not other.weight or not self.weight:
            return self if self.weight else other
        weight = self.weight + other.weight
        apart = other.mean - self.mean
        return Spread(
            weight, self.count + other.count, self.mean + apart * (other.weight / weight),
            self.squares + other.squares
            + np.square(apart) * (self.weight * other.weight / weight),
        )  # fmt: skip


def spread(part: Part) -> Spread:
    """Raises where X has NaN or inf."""
    validation.check_finite(part.X)
    s, p = part.sample_weight, part.X.shape[1]
    weight = float(s.sum())
    if not weight:
        return Spread(0.0, 0, np.zeros(p), np.zeros(p))
    mean = s @ part.X / weight
    frame = Frame(np.arange(p), mean, np.ones(p))
    squares = sum(s[rows] @ np.square(block[:, :-1]) for rows, block in part.columns(frame))
    return Spread(weight, int((s > 0).sum()), mean, squares)


def fold_moments(part: Part, n_folds: int) -> list[Moments]:
    """The moments of the rows that are dealt out to each fold in turn."""
    of = np.arange(len(part.y)) % n_folds
    return moments_by_part(part.X, part.y, part.sample_weight, part.offset, of, n_folds)


# -- the loss at a point ---------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class LossSums:
    """Sums over rows of the loss, of its derivative in the intercepts (K,) and of the second one;
    and the largest derivative of a row."""

    value: float
    pull: np.ndarray
    bend: np.ndarray
    peak: float

    def __add__(self, other: LossSums) -> LossSums:
        return LossSums(
            self.value + other.value, self.pull + other.pull, self.bend + other.bend,
            max(self.peak, other.peak),
        )  # fmt: skip


def weight_of(part: Part) -> float:
    return float(part.sample_weight.sum())


def loss_value(part: Part, at: At) -> float:
    return float(part.sample_weight @ at.loss.value(at.prediction(part), part.y))


def loss_sums(part: Part, at: At) -> LossSums:
    s, z = part.sample_weight, at.prediction(part)
    u = at.residual(part)
    value = float(s @ at.loss.value(z, part.y))
    bend = s @ np.broadcast_to(at.loss.curvature(z, part.y), z.shape)
    return LossSums(value, s @ u, bend, float(np.abs(u).max(initial=0.0)))


def gradient_sums(part: Part, at: At) -> np.ndarray:
    """(p + 1, K) derivative in the coefficients, and in the intercepts last."""
    u = at.residual(part) * part.sample_weight[:, None]
    sums = np.zeros((part.X.shape[1] + 1, u.shape[1]))
    for rows in part._blocks():
        sums[:-1] += part.X[rows].T.astype(float, copy=False) @ u[rows]
    sums[-1] = u.sum(axis=0)
    return sums


def gram_sums(part: Part, at: At | None, frame: Frame, extra: float) -> np.ndarray:
    """(f + 1, f + 1) Gram matrix of working columns and ones, weighted by the curvature of the
    loss plus ``extra``; by the sample weights alone where no point is given."""
    h = part.sample_weight
    if at is not None:
        z = at.prediction(part)
        h = h * (at.loss.curvature(z, part.y)[:, 0] + extra)
    gram = np.zeros((len(frame.features) + 1,) * 2)
    for rows, block in part.columns(frame):
        root = np.sqrt(h[rows])[:, None] * block
        gram += root.T @ root
    return gram


def square_sums(part: Part, at: At, frame: Frame) -> np.ndarray:
    """(p, K) sums of squares of the working columns, weighted by the curvature of the loss."""
    z = at.prediction(part)
    h = part.sample_weight[:, None] * at.loss.curvature(z, part.y)
    sums = np.zeros((len(frame.features), z.shape[1]))
    for rows, block in part.columns(frame):
        sums += np.square(block[:, :-1]).T @ np.broadcast_to(h, z.shape)[rows]
    return sums


def conjugate_sums(
    part: Part, at: At, scale: float, frame: Frame, shift: np.ndarray
) -> float:  # fmt: skip
    """Sum of the conjugates at ``scale (u - A shift)``, A being working columns and ones."""
    u = at.residual(part)
    for rows, block in part.columns(frame):
        u[rows] -= block @ shift
    u *= scale
    value = at.loss.conjugate(u, part.y)
    if part.offset is not None:
        value = value - (u * part.offset).sum(axis=1)
    s = part.sample_weight
    return float(s @ np.where(s > 0, value, 0.0))


def losses_along(part: Part, at: At, direction: At, steps: np.ndarray) -> np.ndarray:
    """Sums of the loss at the point plus each of some steps along a direction."""
    z, s = at.prediction(part), part.sample_weight
    moved = replace(part, offset=None).predict(direction.v, direction.c)
    with np.errstate(over="ignore", invalid="ignore"):  # a step too long is not taken
        return np.array([s @ at.loss.value(z + step * moved, part.y) for step in steps])
