"""Thresholds between ordered classes: the best ones for given predictions, and their dual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from gossamer.core.loss import ROUNDING

_MAX_STEPS, _MAX_HALVINGS = 100, 40


@dataclass(frozen=True, eq=False)
class Cuts:
    """How far the thresholds beside a sample's class are from its prediction.

    theta : (K-1,) thresholds, increasing.
    upper, lower : (n,) ``theta - z`` of the ends of each sample's class, infinite at the extremes.
    gap : (n,) between them, without the rounding of their difference.
    """

    theta: np.ndarray
    z: np.ndarray
    rank: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    gap: np.ndarray

    @classmethod
    def of(cls, theta: np.ndarray, z: np.ndarray, rank: np.ndarray) -> Cuts:
        ends = np.concatenate([[-np.inf], theta, [np.inf]])
        return cls(
            theta, z, rank, ends[rank + 1] - z, ends[rank] - z, (ends[1:] - ends[:-1])[rank]
        )  # fmt: skip

    @property
    def value(self) -> np.ndarray:
        """(n,) ``-log(sigma(upper) - sigma(lower))``."""
        beside = np.logaddexp(0.0, -self.upper) + np.logaddexp(0.0, self.lower)
        with np.errstate(divide="ignore"):  # thresholds that rounding has made one
            return beside - np.log(-np.expm1(-self.gap))

    @property
    def bends(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) derivatives of sigma at both ends."""
        upper, lower = self.upper, self.lower
        return expit(upper) * expit(-upper), expit(lower) * expit(-lower)

    @property
    def _odds(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            return 1 / np.expm1(self.gap)

    def gradient(self, s: np.ndarray) -> np.ndarray:
        """(K-1,) of the weighted sum in the thresholds."""
        odds = self._odds
        above, below = expit(-self.upper) + odds, expit(self.lower) + odds
        return self._sum(s * -above, s * below)

    def hessian(self, s: np.ndarray) -> np.ndarray:
        """(K-1, K-1) of the weighted sum in the thresholds, tridiagonal."""
        upper, lower = self.bends
        odds = self._odds
        mixed = odds * (1 + odds)
        diagonal = self._sum(s * (upper + mixed), s * (lower + mixed))
        beside = -np.bincount(self.rank, s * mixed, len(self.theta) + 1)[1:-1]
        return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)

    def mixed(self, s: np.ndarray) -> np.ndarray:
        """(K-1, n) second derivative in thresholds and predictions."""
        upper, lower = self.bends
        ends = np.zeros((len(self.theta) + 2, len(self.z)))
        at = np.arange(len(self.z))
        ends[self.rank + 1, at] = -s * upper
        ends[self.rank, at] -= s * lower
        return ends[1:-1]

    def _sum(self, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """(K-1,) sums over the samples below and above each threshold."""
        size = len(self.theta) + 1
        below = np.bincount(self.rank, upper, size)[:-1]
        return np.asarray(below + np.bincount(self.rank, lower, size)[1:])

    def newton_step(self, s: np.ndarray) -> tuple[np.ndarray, float]:
        """Newton's step of the thresholds and twice the gain it promises."""
        gradient = self.gradient(s)
        step = -np.linalg.lstsq(self.hessian(s), gradient, rcond=1e-15)[0]
        return step, -float(gradient @ step)


def best_cuts(z: np.ndarray, rank: np.ndarray, s: np.ndarray) -> np.ndarray:
    """(K-1,) thresholds of least loss, by damped Newton from those of the mean prediction."""
    used = s > 0
    z, rank, s = z[used], rank[used], s[used]
    mass = np.bincount(rank, s)
    below, above = np.cumsum(mass)[:-1], np.cumsum(mass[::-1])[::-1][1:]
    theta = np.log(below) - np.log(above) + s @ z / s.sum()
    if not len(theta):
        return theta
    cuts = Cuts.of(theta, z, rank)
    current = float(s @ cuts.value)
    if not np.isfinite(current):
        return theta
    for _ in range(_MAX_STEPS):
        step, gain = cuts.newton_step(s)
        is_last = gain <= 1e-12 * max(current, 1e-300)
        for _ in range(_MAX_HALVINGS):
            trial = cuts.theta + step
            if (np.diff(trial) > 0).all():
                moved = Cuts.of(trial, z, rank)
                value = float(s @ moved.value)
                # a gain this small the loss cannot show: the last step is taken on trust
                if is_last or value <= current:
                    break
            step = step / 2
        else:
            break
        cuts, current = moved, value
        if is_last:
            break
    return cuts.theta


def dual_gaps(
    u: np.ndarray, rank: np.ndarray, s: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The gaps (K-2,) between thresholds at which slopes ``u`` are the loss's own, and where the
    ends of each sample's class then lie; ``None`` where there are none.

    A slope is the difference of what pushes the upper and the lower end. What the class pushes up
    in all is known from the classes below it, since thresholds are in balance: one equation for
    the gap of each inner class. Given the gap, the ends solve a quadratic equation.
    """
    top = int(rank.max())
    size = np.where(s > 0, np.abs(u), 0.0)
    slack = ROUNDING * max(float(s @ size), 1e-300)
    pushed = np.cumsum(np.bincount(rank, s * u, top + 1))  # by each class and those below
    too_steep = ((size > 1 + ROUNDING) | ((rank == 0) & (u < -ROUNDING))) & (s > 0)
    wrong = too_steep | ((rank == top) & (u > ROUNDING) & (s > 0) & (top > 0))
    if wrong.any() or abs(pushed[-1]) > slack:
        return None
    u = np.clip(u, -1.0, 1.0)
    gaps = np.empty(max(top - 1, 0))
    upper, lower = np.zeros(len(u)), np.zeros(len(u))
    for k in range(1, top):
        own = np.flatnonzero((rank == k) & (s > 0))
        target = pushed[k] - float(s[own] @ np.maximum(u[own], 0.0))
        if target < -slack:
            return None
        gaps[k - 1] = _gap(u[own], s[own], target)
        every = np.flatnonzero(rank == k)
        upper[every], lower[every] = _ends(u[every], gaps[k - 1])
    return gaps, upper, lower


def _ends(u: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends a, b = a - gap with ``1 - sigma(a) - sigma(b) = u``."""
    size = np.abs(u)
    root = np.sqrt(1 + np.square(size * np.sinh(gap / 2)))
    with np.errstate(divide="ignore"):
        middle = np.log1p(-size) - np.log(np.cosh(gap / 2) * size + root)
    middle = np.where(u > 0, middle, -middle)
    middle = np.clip(middle, -700.0, 700.0)
    return middle + gap / 2, middle - gap / 2


def _gap(u: np.ndarray, s: np.ndarray, target: float) -> float:
    """The gap at which both ends are pushed by ``target`` more than the slopes themselves."""

    def excess(log_gap: float) -> float:
        gap = float(np.exp(log_gap))
        upper, _ = _ends(u, gap)
        push = expit(-upper) + 1 / np.expm1(gap) - np.maximum(u, 0.0)
        return float(s @ push) - target

    low, high = -30.0, np.log(600.0)
    if excess(high) >= 0:
        return 600.0
    return float(np.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-14)))
