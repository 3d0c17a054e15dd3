"""The normal distribution cut to an interval, to full precision far out in its tails."""

from __future__ import annotations

import numpy as np
from scipy.special import erfcx, ndtr

# where the right tail is taken relative to the density at its beginning
_FAR = 1.0
_BISECTIONS = 200
_WIDEST = 1e8


def survival(x: float, mean: float, deviation: float, low: float, high: float) -> float:
    r"""P(V >= x) for :math:`V \sim N(\mu, \sigma^2)` given low <= V <= high.

    Masses of intervals in a tail are divided by the density at the interval's near end before they
    are divided by each other, so that nothing underflows at any distance.

    Examples
    --------
    >>> survival(1.0, mean=0.0, deviation=1.0, low=-np.inf, high=np.inf)
    0.1587
    >>> survival(101.0, mean=0.0, deviation=1.0, low=100.0, high=np.inf)
    2.2e-44
    """
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}.")
    a, b = (low - mean) / deviation, (high - mean) / deviation
    at = min(max((x - mean) / deviation, a), b)
    if a > _FAR:
        return _share(at, b, a, b)
    if b < -_FAR:
        # the same in the other tail, as a complement
        return 1.0 - _share(-at, -a, -b, -a) if at < b else 0.0
    return float((ndtr(-at) - ndtr(-b)) / (ndtr(-a) - ndtr(-b)))


def _share(x: float, y: float, a: float, b: float) -> float:
    """Mass of [x, y] within that of [a, b], all of them in the right tail."""
    return _mass(x, y, a) / _mass(a, b, a)


def _mass(x: float, y: float, near: float) -> float:
    """Mass of [x, y] times twice the inverse of ``exp(-near^2 / 2)``."""
    start = np.exp(-(x - near) * (x + near) / 2) * erfcx(x / np.sqrt(2))
    if np.isinf(y):
        return float(start)
    return float(start - np.exp(-(y - near) * (y + near) / 2) * erfcx(y / np.sqrt(2)))


def mean_with_survival(x: float, deviation: float, low: float, high: float, target: float) -> float:
    """The mean at which P(V >= x) is ``target``; it grows with the mean, so bisection finds it.

    Infinite where no mean within 10^8 standard deviations does.

    >>> mean_with_survival(1.96, 1.0, -np.inf, np.inf, 0.025)
    0.0
    """
    reach = 1.0
    while True:
        left, right = x - reach * deviation, x + reach * deviation
        below = survival(x, left, deviation, low, high) > target
        above = survival(x, right, deviation, low, high) < target
        if not below and not above:
            break
        reach *= 2
        if reach > _WIDEST:
            return -np.inf if below else np.inf
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        if middle in (left, right):
            break
        if survival(x, middle, deviation, low, high) < target:
            left = middle
        else:
            right = middle
    return (left + right) / 2
