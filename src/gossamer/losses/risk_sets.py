"""Who is at risk when: survival times sorted once, sums over risk sets in linear time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import xlogy

from gossamer.core.loss import ROUNDING

# exponents further apart than this leave the range of floating point when they are summed
_RANGE = 600.0
_MAX_NEWTON = 100


@dataclass(frozen=True, eq=False)
class Hazard:
    """What one prediction makes of the risk sets; logarithms throughout.

    at_risk : (n_terms,) log sum of ``weight exp(z)`` over the risk set of each term.
    cumulative : (n_used,) log of the hazard a sample with z = 0 has gone through.
    """

    at_risk: np.ndarray
    cumulative: np.ndarray


class RiskSets:
    """The samples of positive weight, by stratum and from the latest time to the earliest.

    A block is one time of one stratum. A *term* is one logarithm of the partial likelihood: with
    Breslow's ties one a block with events, with Efron's one an event, and of every event tied
    with it the share ``fraction`` is no longer at risk.

    Parameters
    ----------
    time, stratum : (n,)
    event : (n,) bool
    weight : (n,) summing to one
    efron : bool
    """

    def __init__(
        self, time: np.ndarray, event: np.ndarray, stratum: np.ndarray, weight: np.ndarray,
        efron: bool,
    ) -> None:  # fmt: skip
        order = np.lexsort((-time, stratum))
        self.order = order = order[weight[order] > 0]
        time, stratum = time[order], stratum[order]
        self.event, self.weight = event[order], weight[order]
        new_stratum = np.append(True, stratum[1:] != stratum[:-1])
        new_block = new_stratum | np.append(True, time[1:] != time[:-1])
        self.block = np.cumsum(new_block) - 1
        self.starts = np.flatnonzero(new_block)
        self.time, self.stratum = time[self.starts], stratum[self.starts]
        bounds = np.append(np.flatnonzero(new_stratum[self.starts]), len(self.starts))
        self.strata = [slice(a, b) for a, b in pairwise(bounds)]
        self.log_weight = np.log(self.weight)
        self.event_block = self.block[self.event]
        # (n_blocks,) weight of the events of each block
        self.event_weight = self._per_block(self.event_block, self.weight[self.event])
        self._last: tuple[np.ndarray, Hazard] | None = None
        self._make_terms(efron)

    def _make_terms(self, efron: bool) -> None:
        tied = np.bincount(self.event_block, minlength=len(self.starts))
        copies = tied if efron else np.minimum(tied, 1)
        self.term_block = np.repeat(np.arange(len(self.starts)), copies)
        divisor = np.maximum(copies, 1)[self.term_block]
        ends = np.cumsum(copies)
        place = np.arange(len(self.term_block)) - (ends - copies)[self.term_block]
        self.fraction = place / divisor
        self.term_weight = self.event_weight[self.term_block] / divisor
        # what the logarithms are when the events' predictions leave all others behind
        self.saturated = np.log(self.event_weight[self.term_block]) + np.log1p(-self.fraction)

    def _per_block(self, block: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.bincount(block, values, len(self.starts))

    # -- forwards: from predictions ----------------------------------------------------------------
    def hazard(self, z: np.ndarray) -> Hazard:
        """Risk sets and cumulative hazards of the predictions (n,), kept for the next question."""
        last = self._last  # read once: folds in threads share the loss of all samples
        if last is not None and np.array_equal(last[0], z):
            return last[1]
        hazard = self._hazard(z)
        self._last = z.copy(), hazard
        return hazard

    def _hazard(self, z: np.ndarray) -> Hazard:
        log_risk = self.log_weight + z[self.order]
        blocks = _log_sums(log_risk, self.starts)
        at_risk = np.concatenate([_log_cumulative(blocks[part]) for part in self.strata])
        at_risk = at_risk[self.term_block]
        if self.fraction.any():
            events = np.where(self.event, log_risk, -np.inf)
            share = np.exp(_log_sums(events, self.starts)[self.term_block] - at_risk)
            at_risk = at_risk + np.log1p(-self.fraction * share)
        return Hazard(at_risk, self._cumulative(np.log(self.term_weight) - at_risk))

    def _cumulative(self, steps: np.ndarray) -> np.ndarray:
        """(n_used,) log of the sum of ``exp(steps)``, of the terms up to each sample's time."""
        full = self._log_terms(steps)
        blocks = np.concatenate([_log_cumulative(full[part][::-1])[::-1] for part in self.strata])
        cumulative: np.ndarray = blocks[self.block]
        if self.fraction.any():
            earlier = np.full(len(full), -np.inf)
            for part in self.strata:
                earlier[part.start : part.stop - 1] = blocks[part.start + 1 : part.stop]
            partly = np.logaddexp(earlier, self._log_terms(steps + np.log1p(-self.fraction)))
            cumulative[self.event] = partly[self.event_block]
        return cumulative

    def _log_terms(self, logs: np.ndarray) -> np.ndarray:
        """(n_blocks,) log sums over the terms of each block."""
        sums = np.full(len(self.starts), -np.inf)
        first = np.flatnonzero(np.append(True, self.term_block[1:] != self.term_block[:-1]))
        sums[self.term_block[first]] = _log_sums(logs, first)
        return sums

    def terms(self, z: np.ndarray) -> np.ndarray:
        """(n_blocks,) cost of the events of each block, apart from their own predictions."""
        cost = self.term_weight * (self.hazard(z).at_risk - self.saturated)
        return self._per_block(self.term_block, cost)

    def weighted_means(self, z: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
        """(n_terms, m) root weight of each term times the mean of ``columns`` (n, m) over its risk
        set; ``None`` where predictions are too far apart to be summed."""
        z = z[self.order]
        top = z.max()
        if top - z.min() > _RANGE:
            return None
        risk = self.weight * np.exp(z - top)
        held = risk[:, None] * columns[self.order]
        ends = np.append(self.starts[1:], len(z)) - 1
        sums, totals = np.empty((len(self.starts), held.shape[1])), np.empty(len(self.starts))
        for part in self.strata:
            rows = slice(self.starts[part.start], ends[part.stop - 1] + 1)
            at = ends[part] - rows.start
            sums[part] = np.cumsum(held[rows], axis=0)[at]
            totals[part] = np.cumsum(risk[rows])[at]
        sums, totals = sums[self.term_block], totals[self.term_block]
        if self.fraction.any():
            own = np.add.reduceat(held * self.event[:, None], self.starts, axis=0)[self.term_block]
            tied = np.add.reduceat(risk * self.event, self.starts)[self.term_block]
            sums -= self.fraction[:, None] * own
            totals = totals - self.fraction * tied
        means: np.ndarray = sums * (np.sqrt(self.term_weight) / totals)[:, None]
        return means

    # -- backwards: from gradients -----------------------------------------------------------------
    def conjugate(self, mass: np.ndarray) -> tuple[np.ndarray, float]:
        """The conjugate of the negative log partial likelihood where its gradient, with the
        events' weight added, is ``mass`` (n,): a part for each used sample, and one for all.

        A gradient hands out the weight of each event among those at risk. What is handed out by
        a time and not yet taken is *carried*; risk sets are nested, so that this is all that has
        to be known: each block's share of the hazard follows from what it carries.
        """
        mass = mass[self.order]
        taken = self._per_block(self.block, mass)
        carried = np.empty(len(taken))
        for part in self.strata:
            carried[part] = np.cumsum((self.event_weight - taken)[part][::-1])[::-1]
        before = carried + taken - self.event_weight
        last = [abs(carried[part.start]) for part in self.strata]
        if min(mass.min(), carried.min()) < -ROUNDING or max(last) > ROUNDING:
            return np.zeros(len(mass)), np.inf
        mass, carried, before = (np.maximum(x, 0.0) for x in (mass, carried, before))
        own = self._per_block(self.event_block, mass[self.event])
        tied, partly, wholly = self._tied_shares(before, own)
        with np.errstate(divide="ignore", invalid="ignore"):
            blocks = xlogy(carried, carried) - xlogy(wholly * (1 - tied), wholly)
            blocks -= xlogy(own, partly)
        tied = tied[self.term_block]
        logs = self.term_weight * (self.saturated - np.log1p(-self.fraction * tied))
        return xlogy(mass, mass / self.weight), float(blocks.sum() + logs.sum())

    def _tied_shares(
        self, before: np.ndarray, own: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n_blocks,) share of each block's events in its risk set, and the hazards, times the
        size of the risk set, that its events and the others have gone through.

        The share solves an increasing convex equation: Newton's method descends to it from one.
        """
        f, a = self.fraction, self.term_weight
        share = np.where(self.event_weight > 0, 1.0, 0.0)
        for _ in range(_MAX_NEWTON):
            left = 1 - f * share[self.term_block]
            partly = before + self._per_block(self.term_block, a * (1 - f) / left)
            slope = before + self._per_block(self.term_block, a * (1 - f) / left**2)
            step = np.divide(share * partly - own, slope, out=np.zeros_like(own), where=slope > 0)
            share = np.clip(share - step, 0.0, 1.0)
            if np.abs(step).max() <= 1e-15:
                break
        left = 1 - f * share[self.term_block]
        wholly = before + self._per_block(self.term_block, a / left)
        return share, partly, wholly


def _log_cumulative(x: np.ndarray) -> np.ndarray:
    """Logarithms of the cumulative sums of ``exp(x)``."""
    top = x.max()
    if _spread(x, top) > _RANGE:
        found: np.ndarray = np.logaddexp.accumulate(x)
        return found
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.cumsum(np.exp(x - top))) + top)


def _log_sums(x: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Logarithms of the sums of ``exp(x)`` from each start to the next."""
    top = x.max()
    if _spread(x, top) > _RANGE:
        found: np.ndarray = np.logaddexp.reduceat(x, starts)
        return found
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.add.reduceat(np.exp(x - top), starts)) + top)


def _spread(x: np.ndarray, top: float) -> float:
    if not np.isfinite(top):
        return np.inf
    return float(top - x[np.isfinite(x)].min())
