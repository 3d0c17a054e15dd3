"""Adaptive forward-backward greedy selection."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.registry import SOLVERS
from gossamer.core.validation import finite_number
from gossamer.solvers.greedy import GreedySolver, Supports


@SOLVERS.register
class FoBa(GreedySolver):
    """Adds units as :class:`OMP` does, and takes back those that later ones made useless.

    After each addition that gained ``g``, units go whose removal loses less than
    ``backward * g``. Once the budget is spent a unit comes in only as another leaves, as long as
    that lowers the objective.

    Parameters
    ----------
    backward : float in [0, 1), default 0.5

    References
    ----------
    Zhang (2011), Adaptive forward-backward greedy algorithm for learning sparse representations.
    """

    def __init__(self, backward: float = 0.5) -> None:
        self.backward = finite_number(backward, "backward", 0.0)
        if backward >= 1:
            raise ValueError(f"backward must be below 1, or nothing is kept, got {backward}.")

    def search(self, supports: Supports, start: Point) -> Iterator[Point]:
        point = start
        while supports.k > 0:
            before = point
            scores = supports.scores(point)
            scores[supports.support(point)] = 0.0
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                return
            wider = supports.refit(np.append(supports.support(point), best), point)
            if not supports.improves(wider, point):
                return
            point = self._shortened(supports, wider, supports.objective(before))
            yield point
            grown = len(supports.support(point)) > len(supports.support(before))
            if not grown and not supports.improves(point, before):
                return

    def _shortened(self, supports: Supports, point: Point, before: float) -> Point:
        """Without the units that are worth less than what was just gained."""
        gained = before - supports.objective(point)
        while True:
            chosen = supports.support(point)
            weakest = int(np.argmin(supports.costs(point)[chosen])) if len(chosen) else 0
            without = supports.refit(np.delete(chosen, weakest), point)
            lost = supports.objective(without) - supports.objective(point)
            if len(chosen) <= supports.k and (len(chosen) <= 1 or lost > self.backward * gained):
                return point
            point = without
