"""Budgets: which units of several weights are kept when only so much may remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gossamer.nn.factorised import FactorisedWeight


@dataclass(frozen=True)
class Units:
    """The units of all weights of a model, weight after weight.

    contributions, costs : (n_units,)
    bounds : (n_weights + 1,) where each weight's units begin
    """

    contributions: np.ndarray
    costs: np.ndarray
    bounds: np.ndarray

    @classmethod
    def of(cls, weights: Sequence[FactorisedWeight]) -> Units:
        contributions = [weight.contributions(weight.plain()) for weight in weights]
        bounds = np.concatenate([[0], np.cumsum([len(part) for part in contributions])])
        costs = np.concatenate([weight.costs() for weight in weights])
        return cls(np.concatenate(contributions), costs, bounds)

    def within(self, keep: float) -> np.ndarray:
        """(n_units,) flags of the units kept: the largest contributions for their cost.

        Their costs add up to at most the share ``keep`` of all; units of no contribution go.
        """
        order = np.argsort(-self.contributions / self.costs, kind="stable")
        fits = np.cumsum(self.costs[order]) <= keep * self.costs.sum() * (1 + 1e-12)
        alive = np.zeros(len(order), dtype=bool)
        alive[order[fits]] = True
        return alive & (self.contributions > 0)

    def above(self, share: float) -> np.ndarray:
        """(n_units,) flags of all units but the smallest, whose contributions add up to ``share``
        of the total."""
        order = np.argsort(self.contributions, kind="stable")
        lost = np.cumsum(self.contributions[order]) <= share * self.contributions.sum()
        alive = self.contributions > 0
        alive[order[lost]] = False
        return alive

    def lost(self, alive: np.ndarray) -> float:
        """Share of the contributions that the other units hold."""
        total = float(self.contributions.sum())
        return float(self.contributions[~alive].sum()) / total if total > 0 else 0.0

    def split(self, alive: np.ndarray) -> list[np.ndarray]:
        """The flags of each weight."""
        return np.split(alive, self.bounds[1:-1])


def check_keep(keep: float) -> float:
    """A share to keep, or ``ValueError``."""
    if isinstance(keep, bool) or not isinstance(keep, int | float) or not 0 < keep <= 1:
        raise ValueError(
            f"keep must be the share to keep, in (0, 1], got {keep!r}; 0.1 is 90 % sparsity."
        )
    return float(keep)
