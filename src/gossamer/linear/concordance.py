"""Harrell's concordance index: how often who is at higher risk has the event first."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.losses import Cox


def concordance_index(y: Any, risk: Any, sample_weight: Any = None) -> float:
    """Share of comparable pairs that the risk puts into the right order, equal risks counting half.

    A pair is comparable when the one with the shorter time had an event (at equal times: when
    one of the two had), and both are of one stratum. O(n log n).

    Parameters
    ----------
    y : (n, 2) or (n, 3), or structured
        As for :class:`~gossamer.losses.Cox`: time, event, stratum.
    risk : (n,)
        Larger is expected to be shorter.
    sample_weight : (n,), default None
        A pair counts by the product.

    Returns
    -------
    float
        In [0, 1], 0.5 for no information.

    References
    ----------
    Harrell, Lee and Mark (1996), Multivariable prognostic models.

    Examples
    --------
    >>> concordance_index([[1, 1], [2, 0], [3, 1]], [0.9, 0.1, 0.5])
    1.0
    """
    time, event, stratum = Cox().encode(y).T
    weight = np.ones(len(time)) if sample_weight is None else np.asarray(sample_weight, float)
    risk = np.asarray(risk, dtype=float).reshape(len(time))
    # later times first; of equal times the censored ones, which are compared with the events
    order = np.lexsort((event, -time, stratum))
    time, event, stratum, weight = time[order], event[order] > 0, stratum[order], weight[order]
    rank = np.unique(risk[order], return_inverse=True)[1]
    changes = (np.diff(time) != 0) | (np.diff(stratum) != 0) | (event[1:] != event[:-1])
    tied = np.cumsum(np.append(True, changes))
    # those tied with an event in time are no later than it
    lower, higher = (
        _weight_below(r, weight, stratum) - _weight_below(r, weight, tied)
        for r in (rank, rank.max() - rank)
    )
    pairs = weight * event
    comparable = float(pairs @ (_weight_before(stratum, weight) - _weight_before(tied, weight)))
    if comparable <= 0:
        raise ValueError("y has no comparable pair: no event comes before another sample's time.")
    return float(0.5 + 0.5 * (pairs @ (lower - higher)) / comparable)


def _weight_below(rank: np.ndarray, weight: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(n,) weight of the earlier entries of the same group that have a lower rank."""
    total = np.zeros(len(rank))
    code = np.unique(group, return_inverse=True)[1].astype(np.int64)
    bits = int(rank.max(initial=0)).bit_length()
    # ranks that agree in all higher bits are compared by the next one
    for bit in range(bits):
        is_one = (rank >> bit) & 1 == 1
        key = (code << bits) | (rank >> (bit + 1))
        total += np.where(is_one, _weight_before(key, np.where(is_one, 0.0, weight)), 0.0)
    return total


def _weight_before(group: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(n,) weight of the earlier entries of the same group."""
    order = np.argsort(group, kind="stable")
    group, weight = group[order], weight[order]
    sums = np.concatenate([[0.0], np.cumsum(weight)[:-1]])
    first = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    lengths = np.diff(np.append(first, len(group)))
    found = np.empty(len(group))
    found[order] = sums - np.repeat(sums[first], lengths)
    return found
