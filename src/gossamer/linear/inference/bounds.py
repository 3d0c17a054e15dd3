"""How many false selections stability selection makes at most, on average."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from scipy.optimize import brentq, minimize_scalar

ASSUMPTIONS = ("none", "unimodal", "r-concave")


def false_selections(
    n_selected: int, threshold: float, n_units: int, n_pairs: int, assumption: str = "unimodal"
) -> float:
    r"""Bound on the expected number of selected units that a half selects no more than by chance.

    With q units selected by every half out of p, and :math:`\theta = q / p`, units of selection
    probability at most :math:`\theta` reach the threshold :math:`\tau` in ``n_pairs``
    complementary pairs of halves at most so often, on average:

    ============ ==========================================================================
    none         :math:`q \theta / (2 \tau - 1)`
    unimodal     the same with a constant about half as large: the number of pairs that
                 select such a unit twice has a distribution with one mode
    r-concave    smaller still: that distribution, and that of the number of halves, are
                 r-concave for r = -1/2 and r = -1/4
    ============ ==========================================================================

    Infinite where the assumption gives no bound.

    References
    ----------
    Meinshausen and Bühlmann (2010), Stability selection, theorem 1.
    Shah and Samworth (2013), Variable selection with error control, theorems 1 and 2, section 3.4.

    Examples
    --------
    >>> round(false_selections(10, 0.75, 1000, 50), 3)
    0.102
    """
    share = n_selected / n_units
    if assumption == "none":
        return share * n_selected / (2 * threshold - 1) if threshold > 0.5 else np.inf
    if assumption == "unimodal":
        return _unimodal(share, threshold, n_pairs) * share * n_selected
    count = int(np.ceil(round(threshold * 2 * n_pairs, 8)))
    twice = _r_concave_tail(share**2, count - n_pairs, n_pairs, -0.5)
    return float(n_units * min(twice, _r_concave_tail(share, count, 2 * n_pairs, -0.25)))


def _unimodal(share: float, threshold: float, n_pairs: int) -> float:
    """The constant C of theorem 2."""
    step = 1 / (2 * n_pairs)
    if share > 1 / np.sqrt(3) or threshold > 1:
        return np.inf
    if threshold > 0.75:
        return 4 * (1 - threshold + step) / (1 + 2 * step)
    smallest = min(0.5 + share**2, 0.5 + step + 0.75 * share**2)
    return 1 / (2 * (2 * threshold - 1 - step)) if threshold > smallest else np.inf


@lru_cache(maxsize=4096)
def _r_concave_tail(mean: float, count: int, size: int, r: float) -> float:
    """The largest P(S >= count / size) of an r-concave S on 0, 1/size, ..., 1 of such a mean.

    The extreme distributions are a power of a line, cut at k: for every k the slope of the line is
    a number between two at which the mean alone fixes the distribution.
    """
    total, power = mean * size, 1 / r
    first = int(np.ceil(round(2 * total, 8))) + 1
    if count < first or first > size:
        return 1.0
    grid = np.arange(size + 2)

    def excess(k: int, a: float) -> float:
        line = (a + grid[: k + 1]) ** power
        return float(grid[: k + 1] @ line / line.sum() - total)

    def complement(k: int, a: float) -> float:
        line = (a + grid[: k + 1]) ** power
        below = (k + 1 - total) * line[:count].sum()
        return float(below / ((k + 1 - grid[: k + 1]) @ line))

    ends = {first - 1: 1e5}
    for k in range(first, size + 1):
        ends[k] = _root(partial(excess, k), 1e-5, ends[k - 1])
    largest = 0.0
    for k in range(max(first, count - 1), size):
        found = minimize_scalar(
            partial(complement, k), bounds=(ends[k + 1], ends[k]), method="bounded"
        )
        largest = max(largest, 1 - float(found.fun))
    return largest


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """A root where the ends differ in sign, else the end that is nearer to one."""
    at_low, at_high = function(low), function(high)
    if at_low * at_high > 0:
        return low if abs(at_low) < abs(at_high) else high
    return float(brentq(function, low, high, xtol=1e-12))


def resolve(
    max_false: float | None, threshold: float | None, n_selected: int | None, n_units: int,
    n_pairs: int, assumption: str,
) -> tuple[float, int]:  # fmt: skip
    """Threshold and number of selections, the missing ones from the others."""
    if max_false is None and (threshold is None or n_selected is None):
        max_false = 1.0

    def allowed(count: int, level: float) -> bool:
        assert max_false is not None
        return false_selections(count, level, n_units, n_pairs, assumption) <= max_false

    if n_selected is None:
        threshold = 0.75 if threshold is None else threshold
        count = _last(lambda q: allowed(q, threshold), n_units)
        if count == 0:
            raise ValueError(
                f"max_false={max_false} is out of reach at threshold={threshold} among {n_units} "
                "features: raise max_false, threshold or n_pairs."
            )
        return threshold, count
    if threshold is not None:
        return threshold, n_selected
    levels = np.arange(n_pairs + 1, 2 * n_pairs + 1) / (2 * n_pairs)
    fit = [level for level in levels if allowed(n_selected, float(level))]
    if not fit:
        raise ValueError(
            f"max_false={max_false} is out of reach with n_selected={n_selected} of {n_units} "
            "features a half: lower n_selected, raise max_false or n_pairs."
        )
    return float(fit[0]), n_selected


def _last(holds: Callable[[int], bool], most: int) -> int:
    """The last of 0, 1, ..., most up to which a condition holds, which it ceases to do once."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low
