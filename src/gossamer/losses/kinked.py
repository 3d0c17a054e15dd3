"""What losses of two straight lines share: everything follows from the kink and the slopes."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from gossamer.core.loss import ROUNDING, Loss


class Kinked(Loss):
    """``max(left (z - kink), right (z - kink))`` with slopes ``left <= 0 <= right`` of a sample."""

    smoothness: ClassVar[float | None] = None
    is_smooth: ClassVar[bool] = False

    @abstractmethod
    def lines(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n, K) kinks, and the slopes left and right of them."""

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        kink, left, right = self.lines(y)
        return np.maximum(left * (z - kink), right * (z - kink)).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The slope; at the kink itself, where every slope in between will do, zero."""
        kink, left, right = self.lines(y)
        return np.where(z > kink, right, np.where(z < kink, left, 0.0))

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.zeros_like(z)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        kink, left, right = self.lines(y)
        inside = (theta >= left - ROUNDING) & (theta <= right + ROUNDING)
        return np.where(inside, theta * kink, np.inf).sum(axis=1)

    def prox(self, v: np.ndarray, step: float, y: np.ndarray) -> np.ndarray:
        """(n, K) ``argmin_z loss(z, y) + |z - v|^2 / (2 step)``: the kink, or a step to it."""
        kink, left, right = self.lines(y)
        return np.clip(kink, v - step * right, v - step * left)

    def best_shift(self, z: np.ndarray, y: np.ndarray, s: np.ndarray) -> np.ndarray:
        """The weighted quantile at which the slope of the mean turns positive, for each output."""
        kink, left, right = self.lines(y)
        at = kink - z
        order = np.argsort(at, axis=0)
        weight = s[:, None]
        turns = np.take_along_axis(weight * (right - left), order, axis=0)
        slopes = (weight * left).sum(axis=0) + np.cumsum(turns, axis=0)
        # rounding of a sum must not carry a slope of zero on to the next kink
        first = np.argmax(slopes >= -ROUNDING * turns.sum(axis=0), axis=0)
        return np.take_along_axis(at, np.take_along_axis(order, first[None, :], 0), 0)[0]


def best_shift_of_envelope(
    z: np.ndarray, kink: np.ndarray, left: np.ndarray, right: np.ndarray, step: float, s: np.ndarray
) -> np.ndarray:
    """(K,) shifts b of z at which ``s @ clip((z + b - kink) / step, left, right)`` is zero: the
    slope is a line between the ends of the samples' parabolas."""
    shifts = np.empty(z.shape[1])
    for k in range(z.shape[1]):
        start = (kink - z)[:, k]
        ends = np.concatenate([start + step * left[:, k], start + step * right[:, k]])
        order = np.argsort(ends)
        bends, at = np.append(s, -s)[order] / step, ends[order]
        slopes = np.append(0.0, np.cumsum(np.cumsum(bends)[:-1] * np.diff(at)))
        shift = np.interp(0.0, s @ left[:, k] + slopes, at)
        # long sums have rounded: the slope itself, and Newton's step from it
        slope = (shift - start) / step
        inside = (slope > left[:, k]) & (slope < right[:, k])
        bend = float(s @ inside) / step
        pull = float(s @ np.clip(slope, left[:, k], right[:, k]))
        shifts[k] = shift - pull / bend if bend > 0 else shift
    return shifts
