"""Accelerated proximal gradient with restart, for any linear operator and any prox."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.solvers.iterating import IterativeSolver, settled


@SOLVERS.register
class ProximalGradient(IterativeSolver):
    """FISTA with backtracking, restarted whenever its momentum points uphill.

    Needs products with X and its transpose only, and a prox of the whole coefficient array: the
    general solver, for linear operators and for penalties that do not split.

    References
    ----------
    Beck and Teboulle (2009), A fast iterative shrinkage-thresholding algorithm.
    O'Donoghue and Candes (2015), Adaptive restart for accelerated gradient schemes.
    """

    preference = 9

    def refuses(self, problem: Problem) -> str | None:
        if not problem.loss.is_smooth:
            return f"{problem.loss!r} has kinks"
        return None

    def steps(self, problem: Problem, start: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        w, b = start.w, start.b
        momentum, step = 1.0, 1.0
        previous, ahead = w, w
        while True:
            point = settled(problem, ahead, b)
            b = point.b
            w, step = backtrack(problem, point, step)
            yield w, b
            if ((ahead - w) * (w - previous)).sum() > 0:
                momentum, step = 1.0, 1.5 * step
            following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
            ahead = w + (momentum - 1) / following * (w - previous)
            previous, momentum = w, following


def backtrack(problem: Problem, ahead: Point, step: float) -> tuple[np.ndarray, float]:
    """A prox step short enough for the quadratic bound of the loss to hold.

    The bound compares curvatures, not objective values, whose difference drowns in rounding near
    the optimum. Curvature that is not bounded (Poisson) is largest at one end of the step.
    """
    loss, s = problem.loss, problem.sample_weight[:, None]
    gradient = ahead.gradient
    while True:
        w = problem.penalty.prox(ahead.w - step * gradient, step)
        change = w - ahead.w
        moved = problem.design.matvec(change)
        bend: np.ndarray | float
        with np.errstate(over="ignore", invalid="ignore"):  # of exponentials: too long a step
            if loss.smoothness is not None:
                bend = loss.smoothness
            else:
                after = loss.curvature(problem.linear(w, ahead.b), problem.y)
                bend = np.maximum(loss.curvature(ahead.z, problem.y), after)
            is_short = (s * bend * moved**2).sum() * step <= (change**2).sum()
        if is_short or step < 1e-30:
            return w, step
        step /= 2
