"""A controller that reaches an asked sparsity at the end of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.nn.budget import Units, check_keep
from gossamer.nn.factorised import FactorisedWeight


@dataclass
class Target:
    r"""Bring the weights within a budget, gradually, and settle on the support that is left.

    At each correction the smallest units beyond the budget of the moment,

    .. math:: 1 - (1 - \text{keep}) \, (1 - (1 - t / \text{until})^3)

    at progress t, are cut to zero, where a product of factors stays by itself. The penalty does
    the work and the cuts steer it: where they take more than ``tolerance`` of the penalty the
    strength grows, where less it shrinks. From ``until`` on the strength is ``settle`` and the
    support, by then that of the budget, trains without shrinkage.

    Parameters
    ----------
    keep : float in (0, 1]
        Of the cost of all sparse weights: of their entries, or of FLOPs where ``sparsify`` was
        given costs.
    until : float in (0, 1], default 0.7
        Progress of training by which the budget is met.
    settle : float, default 0.0
        Share of the strength afterwards; zero removes the penalty's bias, one keeps its optimum.
    tolerance : float, default 1e-3
        Share of the penalty that a cut may take.
    rate : float >= 0, default 0.2
        Logarithm of the largest change of the strength at a correction; zero leaves it alone.
    every : int, default 20
        Steps between two corrections.

    References
    ----------
    Zhu and Gupta (2018), To prune, or not to prune, for the cubic schedule. Kolb, Weber, Bischl
    and Ruegamer (2025), Deep weight factorization.
    """

    keep: float
    until: float = 0.7
    settle: float = 0.0
    tolerance: float = 1e-3
    rate: float = 0.2
    every: int = 20

    def __post_init__(self) -> None:
        self.keep = check_keep(self.keep)
        for name in ("until", "tolerance"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"Target: {name} must be in (0, 1], got {getattr(self, name)}.")
        for name in ("settle", "rate"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"Target: {name} must be >= 0, got {getattr(self, name)}.")
        if self.every < 1:
            raise ValueError(f"Target: every must be >= 1, got {self.every}.")

    def budget(self, progress: float) -> float:
        """The share to keep at a progress of training."""
        left = 1 - min(1.0, progress / self.until)
        return 1 - (1 - self.keep) * (1 - left**3)

    def correct(self, weights: Sequence[FactorisedWeight], progress: float) -> tuple[float, float]:
        """Cut what is beyond the budget: the factor on the strength, and the share cut off."""
        units = Units.of(weights)
        alive = units.within(self.budget(progress))
        lost = units.lost(alive)
        for weight, flags in zip(weights, units.split(alive), strict=True):
            weight.cut(flags)
        error = math.log(max(lost, 1e-12) / self.tolerance)
        return math.exp(max(-self.rate, min(self.rate, error))), lost
