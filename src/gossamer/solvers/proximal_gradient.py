"""Accelerated proximal gradient with restart, for any linear operator and any prox."""

from __future__ import annotations

import time

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver

_CHECK_EVERY = 10


@SOLVERS.register
class ProximalGradient(Solver):
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

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        w, b = start.w, start.b
        begun, history = time.perf_counter(), []
        loss, s = problem.loss, problem.sample_weight[:, None]
        status, n_iter = Status.MAX_ITER, 0
        momentum, step = 1.0, 1.0
        previous, ahead = w, w
        evaluation = certify(problem, start, tol)
        try:
            for n_iter in range(max_iter * _CHECK_EVERY + 1):
                if n_iter % _CHECK_EVERY == 0:
                    b = problem.best_intercept(problem.design.matvec(w), b)
                    evaluation = certify(problem, Point(problem, w, b), tol)
                    value = evaluation.certificate.value
                    history.append((time.perf_counter() - begun, value))
                    if evaluation.certificate.holds:
                        status = Status.CONVERGED
                        break
                part = problem.design.matvec(ahead)
                b = problem.best_intercept(part, b)
                z = problem.linear(ahead, b)
                gradient = problem.design.rmatvec(s * loss.gradient(z, problem.y))
                w, step = _backtrack(problem, ahead, b, z, gradient, step)
                if ((ahead - w) * (w - previous)).sum() > 0:
                    momentum, step = 1.0, 1.5 * step
                following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
                ahead = w + (momentum - 1) / following * (w - previous)
                previous, momentum = w, following
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            evaluation = certify(problem, Point(problem, w, b), tol)
        return Outcome(evaluation.point, evaluation.certificate, status, n_iter, history)


def _backtrack(
    problem: Problem, ahead: np.ndarray, b: np.ndarray, z: np.ndarray, gradient: np.ndarray,
    step: float,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """A prox step short enough for the quadratic bound of the loss to hold.

    The bound compares curvatures, not objective values, whose difference drowns in rounding near
    the optimum. Curvature that is not bounded (Poisson) is largest at one end of the step.
    """
    loss, s = problem.loss, problem.sample_weight[:, None]
    while True:
        w = problem.penalty.prox(ahead - step * gradient, step)
        change = w - ahead
        moved = problem.design.matvec(change)
        bend: np.ndarray | float
        if loss.smoothness is not None:
            bend = loss.smoothness
        else:
            after = loss.curvature(problem.linear(w, b), problem.y)
            bend = np.maximum(loss.curvature(z, problem.y), after)
        if (s * bend * moved**2).sum() * step <= (change**2).sum() or step < 1e-30:
            return w, step
        step /= 2
