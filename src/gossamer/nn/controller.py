"""A controller of the strength: it reaches an asked sparsity at the end of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer.nn.budget import Units, check_keep
from gossamer.nn.factorised import FactorisedWeight


@dataclass
class Target:
    """Steer the strength so that only the share ``keep`` of the cost matters at the end.

    What is controlled is the share of the penalty that the units beyond the budget still hold:
    by the time ``until`` it shall have gone down to ``tolerance``, along a geometric ramp. Above
    the ramp the strength grows, below it shrinks. Neither a threshold nor a strength is guessed.

    Parameters
    ----------
    keep : float in (0, 1]
        Of the cost of all sparse weights: of their entries, or of FLOPs where ``sparsify`` was
        given costs.
    tolerance : float, default 1e-2
        Share of the penalty that may be cut off at the end.
    until : float in (0, 1], default 0.8
        Progress of training by which the ramp has ended; the rest settles.
    every : int, default 10
        Steps between two corrections.
    rate : float, default 4.0
        Logarithm of the largest change of the strength over a tenth of the training.

    References
    ----------
    Kolb, Weber, Bischl and Ruegamer (2025), Deep weight factorization, on how sparsity follows
    from the strength; the control law is our own.
    """

    keep: float
    tolerance: float = 1e-2
    until: float = 0.8
    every: int = 10
    rate: float = 4.0

    def __post_init__(self) -> None:
        self.keep = check_keep(self.keep)
        for name, low, high in (("tolerance", 0.0, 1.0), ("until", 0.0, 1.0)):
            value = getattr(self, name)
            if not low < value <= high:
                raise ValueError(f"Target: {name} must be in ({low:g}, {high:g}], got {value}.")
        if self.every < 1:
            raise ValueError(f"Target: every must be >= 1, got {self.every}.")
        self._first: float | None = None

    def correct(
        self, weights: Sequence[FactorisedWeight], progress: float, share: float
    ) -> tuple[float, float]:
        """The factor on the strength, and the share of the penalty beyond the budget.

        ``share`` of the training has passed since the last correction.
        """
        units = Units.of(weights)
        lost = units.lost(units.within(self.keep))
        if self._first is None:
            self._first = max(lost, self.tolerance)
        done = min(1.0, progress / self.until)
        asked = math.exp((1 - done) * math.log(self._first) + done * math.log(self.tolerance))
        error = math.log(max(lost, 1e-12) / asked)
        return math.exp(10 * share * self.rate * max(-1.0, min(1.0, error))), lost

    def state_dict(self) -> dict[str, float | None]:
        """What the controller remembers."""
        return {"first": self._first}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Go on from a saved state."""
        self._first = state["first"]
