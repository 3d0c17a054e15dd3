"""Orthogonal matching pursuit: unit after unit, all coefficients refitted after each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.registry import SOLVERS
from gossamer.solvers.greedy import GreedySolver, Supports


@SOLVERS.register
class OMP(GreedySolver):
    """Adds the unit that lowers the loss most when moved alone, refits, and repeats to the budget.

    For any smooth loss and any units. One pass over X a unit.

    References
    ----------
    Pati, Rezaiifar and Krishnaprasad (1993), Orthogonal matching pursuit.
    Shalev-Shwartz, Srebro and Zhang (2010), Trading accuracy for sparsity in optimization problems
    with sparsity constraints, for other losses.
    """

    def search(self, supports: Supports, start: Point) -> Iterator[Point]:
        point = start
        chosen = supports.support(start)
        while len(chosen) < supports.k:
            scores = supports.scores(point)
            scores[chosen] = 0.0
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                return
            chosen = np.append(chosen, best)
            following = supports.refit(chosen, point)
            if not supports.improves(following, point):
                return
            point = following
            yield point
