"""Compressive sampling matching pursuit: many units at a time, pruned to the budget."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.registry import SOLVERS
from gossamer.solvers.greedy import GreedySolver, Supports


@SOLVERS.register
class CoSaMP(GreedySolver):
    """Joins the ``2 k`` units that pull hardest to those in use, refits, and keeps the best ``k``.

    Units are compared by what dropping each loses, which for columns of one length is the size of
    its coefficient. Ends when the objective no longer falls.

    References
    ----------
    Needell and Tropp (2009), CoSaMP: iterative signal recovery from incomplete and inaccurate
    samples, with the refit of the pruned support of Dai and Milenkovic (2009), Subspace pursuit.
    """

    def search(self, supports: Supports, start: Point) -> Iterator[Point]:
        point = start
        # more units than samples would fit anything
        wide = max(min(2 * supports.k, len(supports.problem.y) - supports.k), 1)
        while supports.k > 0:
            union = np.union1d(supports.support(point), supports.best(supports.scores(point), wide))
            if not len(union):
                return
            merged = supports.refit(union, point)
            kept = supports.best(supports.costs(merged), supports.k)
            following = supports.refit(kept, merged)
            yield following
            if not supports.improves(following, point):
                return
            point = following
