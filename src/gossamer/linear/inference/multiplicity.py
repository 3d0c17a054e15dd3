"""P-values of many tests at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.core.validation import float_array
from gossamer.linear.inference.base import checked_choice

METHODS = ("holm", "bonferroni", "bh", "by")


def adjusted_p_values(p_values: Any, method: str = "holm") -> np.ndarray:
    """P-values that may be compared with one level for all tests.

    Parameters
    ----------
    p_values : (p,)
    method : {"holm", "bonferroni", "bh", "by"}, default "holm"
        Holm and Bonferroni bound the chance of any false rejection, whatever the dependence;
        Benjamini and Hochberg the expected share of false ones among the rejections, for tests that
        are independent or positively dependent; Benjamini and Yekutieli the same for all tests.

    References
    ----------
    Holm (1979); Benjamini and Hochberg (1995); Benjamini and Yekutieli (2001).

    Examples
    --------
    >>> adjusted_p_values([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    >>> adjusted_p_values([0.01, 0.04, 0.03], method="bh")
    array([0.03, 0.04, 0.04])
    """
    checked_choice(method, "method", METHODS)
    p_values = float_array(p_values, "p_values")
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError("p_values must be a 1-D array of numbers in [0, 1].")
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    ranks, ordered = np.arange(1, m + 1), p_values[order]
    if method == "bonferroni":
        stepped = m * ordered
    elif method == "holm":
        stepped = np.maximum.accumulate((m - ranks + 1) * ordered)
    else:
        price = (1 / ranks).sum() if method == "by" else 1.0
        stepped = np.minimum.accumulate((price * m / ranks * ordered)[::-1])[::-1]
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
