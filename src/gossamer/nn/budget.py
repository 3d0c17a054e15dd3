"""Budgets: which units of several weights are kept when only so much may remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real

import numpy as np

from gossamer.nn.factorised import FactorisedWeight


@dataclass(frozen=True, eq=False)
class Units:
    """The units of all weights of a model, weight after weight.

    Selections look for a threshold in sorted numbers: that is many times faster than to sort the
    units themselves.

    contributions, costs : (n_units,)
    free : (n_units,) flags of those without a penalty, which always stay
    bounds : (n_weights + 1,) where each weight's units begin
    """

    contributions: np.ndarray
    costs: np.ndarray
    free: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, weights: Sequence[FactorisedWeight]) -> Units:
        """Those of the weights as they are.

        Raises
        ------
        ValueError
            When a weight is not finite.
        """
        contributions = []
        for weight in weights:
            found = weight.contributions(weight.made())
            contributions.append(found.cpu().numpy())
            if not bool(found.sum().isfinite()):
                raise ValueError(
                    f"{weight.name} is not finite: training diverged. Lower the learning rate, or "
                    "load an earlier state."
                )
        bounds = np.concatenate([[0], np.cumsum([len(part) for part in contributions])])
        costs, free = _joined([w.costs() for w in weights]), _joined([w.free for w in weights])
        return cls(np.concatenate(contributions), costs, free, bounds)

    def within(self, keep: float) -> np.ndarray:
        """(n_units,) flags of the units kept: the largest contributions for their cost.

        Their costs add up to at most the share ``keep`` of all; units at zero go.
        """
        budget = keep * float(self.costs.sum()) * (1 + 1e-12)
        budget -= float(self.costs.sum(where=self.free))
        if _is_constant(self.costs):
            ratios, dropped = self.contributions, len(self.costs) - int(budget / self.costs[0])
            least = float(self._ordered[min(dropped, len(ratios)) - 1]) if dropped > 0 else -1.0
        else:
            ratios = self.contributions / self.costs
            least = self._affordable(ratios, budget)
        alive = (ratios > least) & (self.contributions > 0)
        # of equal units the first ones
        tied = np.flatnonzero((ratios == least) & (self.contributions > 0))
        left = budget - float(self.costs[alive].sum())
        alive[tied[np.cumsum(self.costs[tied]) <= left]] = True
        return alive | self.free

    def above(self, share: float) -> np.ndarray:
        """(n_units,) flags of all units but the smallest, whose contributions add up to at most
        ``share`` of the total; equal units stay or go together."""
        ordered, sums = self._ordered, self._sums
        count = int(np.searchsorted(sums, share * sums[-1], side="right"))
        if count == 0:
            return np.ones(len(ordered), dtype=bool)
        largest = ordered[count - 1]
        is_split = count < len(ordered) and ordered[count] == largest
        over = np.greater_equal if is_split else np.greater
        return over(self.contributions, largest) | self.free

    def lost(self, alive: np.ndarray) -> float:
        """Share of the contributions that the other units hold."""
        total = float(self.contributions.sum(dtype=float))
        cut = float(self.contributions[~alive].sum(dtype=float))
        return cut / total if total > 0 else 0.0

    def split(self, each: np.ndarray) -> list[np.ndarray]:
        """Flags, or numbers, of all units as those of each weight."""
        return np.split(each, self.bounds[1:-1])

    @cached_property
    def _ordered(self) -> np.ndarray:
        """The contributions in rising order."""
        return np.sort(self.contributions)

    @cached_property
    def _sums(self) -> np.ndarray:
        """Their running sums."""
        return np.cumsum(self._ordered, dtype=float)

    def _affordable(self, ratios: np.ndarray, budget: float) -> float:
        """The least ratio above which all units together are within the budget."""
        ordered = np.sort(ratios)
        low, high = -1, len(ordered) - 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.costs.sum(where=ratios > ordered[middle]) <= budget
            low, high = (low, middle) if fits else (middle, high)
        return float(ordered[high])


def _is_constant(numbers: np.ndarray) -> bool:
    return numbers.strides == (0,) or bool((numbers == numbers[0]).all())


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """All parts in a row; without memory where they are one number."""
    if all(_is_constant(part) and part[0] == parts[0][0] for part in parts):
        return np.broadcast_to(parts[0][0], sum(map(len, parts)))
    return np.concatenate(parts)


def check_keep(keep: float) -> float:
    """A share to keep, or ``ValueError``."""
    if isinstance(keep, bool) or not isinstance(keep, Real) or not 0 < keep <= 1:
        raise ValueError(
            f"keep must be the share to keep, in (0, 1], got {keep!r}; 0.1 is 90 % sparsity."
        )
    return float(keep)
