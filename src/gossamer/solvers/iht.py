"""Iterative hard thresholding: gradient steps cut to the budget."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.registry import SOLVERS
from gossamer.solvers.greedy import GreedySolver, Supports

_SHRINK, _SLACK, _PATIENCE = 2.0, 0.01, 5


@SOLVERS.register
class IHT(GreedySolver):
    """Gradient steps of normalised length, of which the ``k`` best units are kept.

    The step is exact along the units in use, and shortened when it would leave them for others
    further than the curvature of the loss allows.

    Parameters
    ----------
    pursuit : bool, default True
        Refit on each new support (hard thresholding pursuit), which takes a handful of steps;
        ``False`` refits at the end only.

    References
    ----------
    Blumensath and Davies (2010), Normalized iterative hard thresholding: guaranteed stability and
    performance.
    Foucart (2011), Hard thresholding pursuit: an algorithm for compressive sensing.
    """

    def __init__(self, pursuit: bool = True) -> None:
        self.pursuit = pursuit

    def search(self, supports: Supports, start: Point) -> Iterator[Point]:
        point, idle = start, 0
        while supports.k > 0 and idle < _PATIENCE:
            moved = _thresholded(supports, point)
            after = supports.support(moved)
            same = np.array_equal(after, supports.support(point))
            if self.pursuit:
                if not len(after):
                    return
                following = supports.refit(after, moved)
                yield following
                if same or not supports.improves(following, point):
                    return
                point = following
                continue
            idle = idle + 1 if same else 0
            point = moved
            yield point
        if not self.pursuit and len(supports.support(point)):
            yield supports.refit(supports.support(point), point)


def _thresholded(supports: Supports, point: Point) -> Point:
    """One step, its length by the curvature along the units it moves."""
    problem = supports.problem
    gradient = point.gradient
    chosen = supports.support(point)
    if not len(chosen):
        chosen = supports.best(supports.scores(point), supports.k)
    at = supports.units.positions(chosen)[0]
    along = np.zeros(problem.shape)
    along.flat[at] = gradient.flat[at]
    if not along.any():  # stationary on its support: the pull of the others sets the length
        at = supports.units.positions(supports.best(supports.scores(point), supports.k))[0]
        along.flat[at] = gradient.flat[at]
    step = 1 / max(_bend(supports, point, along), 1e-300)
    while True:
        w = supports.penalty.prox(point.w - step * gradient, step)
        change = w - point.w
        same = np.array_equal(np.flatnonzero(w), np.flatnonzero(point.w))
        if same or step * _bend(supports, point, change) <= 1 + _SLACK or step < 1e-30:
            break
        step /= _SHRINK
    return Point(problem, w, problem.best_intercept(problem.design.matvec(w), point.b))


def _bend(supports: Supports, point: Point, change: np.ndarray) -> float:
    """Curvature of the loss along ``change``."""
    problem = supports.problem
    length = float(np.vdot(change, change))
    if length == 0:
        return 0.0
    bend = problem.loss.smoothness or problem.loss.curvature(point.z, problem.y)
    moved = problem.sample_weight[:, None] * problem.design.matvec(change) ** 2
    return float((bend * moved).sum()) / length
