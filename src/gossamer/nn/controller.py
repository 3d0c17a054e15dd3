"""A controller that reaches an asked sparsity at the end of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.nn.budget import Units, check_keep
from gossamer.nn.course import cubic
from gossamer.nn.factorised import FactorisedWeight


@dataclass
class Target:
    r"""Bring the weights within a budget, gradually, and settle on the support that is left.

    At each correction the smallest units beyond the budget of the moment,

    .. math:: 1 - (1 - \text{keep}) \, (1 - (1 - t)^3)

    where t goes from 0 to 1 between the progress ``begin`` and ``until``, are cut to zero, where
    a product of factors stays by itself. The penalty does the work, so that a cut takes little,
    and the budget steers it: the strength need not be guessed. From ``until`` on the strength is
    ``settle`` and the support, by then that of the budget, trains without shrinkage.

    Parameters
    ----------
    keep : float in (0, 1]
        Of the cost of all sparse weights: of their entries, or of FLOPs where ``sparsify`` was
        given costs.
    begin : float in [0, 1), default 0.0
        Progress of training at which the cuts begin: later for models that first have to learn
        what matters, such as transformers from scratch.
    until : float in (0, 1], default 0.7
        Progress of training by which the budget is met.
    settle : float, default 0.0
        Share of the strength afterwards; zero removes the penalty's bias, one keeps its optimum.
    every : int, default 20
        Steps between two cuts.

    References
    ----------
    Zhu and Gupta (2018), To prune, or not to prune, for the cubic schedule. Kolb, Weber, Bischl
    and Ruegamer (2025), Deep weight factorization.
    """

    keep: float
    begin: float = 0.0
    until: float = 0.7
    settle: float = 0.0
    every: int = 20

    def __post_init__(self) -> None:
        self.keep = check_keep(self.keep)
        if not 0 < self.until <= 1:
            raise ValueError(f"Target: until must be in (0, 1], got {self.until}.")
        if not 0 <= self.begin < self.until:
            raise ValueError(f"Target: begin must be in [0, until), got {self.begin}.")
        if not self.settle >= 0:
            raise ValueError(f"Target: settle must be >= 0, got {self.settle}.")
        if self.every < 1:
            raise ValueError(f"Target: every must be >= 1, got {self.every}.")

    def budget(self, progress: float) -> float:
        """The share to keep at a progress of training."""
        done = (progress - self.begin) / (self.until - self.begin)
        return 1 - (1 - self.keep) * cubic(min(1.0, max(0.0, done)))

    def cut(self, weights: Sequence[FactorisedWeight], progress: float) -> float:
        """Cut what is beyond the budget of the moment; the share of the penalty it held."""
        units = Units.of(weights)
        alive = units.within(self.budget(progress))
        for weight, flags in zip(weights, units.split(alive), strict=True):
            weight.cut(flags)
        return units.lost(alive)
