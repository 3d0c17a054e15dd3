"""The method of multipliers, for losses with kinks."""

from __future__ import annotations

import time

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.losses.kinked import Kinked
from gossamer.losses.moreau import MoreauEnvelope
from gossamer.solvers.working_set import ActiveSetNewton

# the first envelope's step over the scale of predictions, how it shrinks, and to what: wide ones
# are soon solved, but lead elsewhere where there are several optima
_WIDE, _NARROW = (3.0, 0.5, 1e-5), (0.1, 0.2, 1e-5)
# certificates without a gain after which a search is given up; after each, the smooth problems are
# solved so much more precisely, and the narrowest envelope is so much narrower: the multiplier of a
# sample beside its kink moves by the distance over the step
_MAX_IDLE, _SHARPER, _SHORTER = 8, 1e-2, 0.2
_INNER_ITER = 100
# what rounding of predictions leaves of a certificate, times the step over their scale
_ROUNDING = 2e-17


@SOLVERS.register
class MethodOfMultipliers(Solver):
    r"""Augmented Lagrangian on the predictions: a row of smooth problems with moved targets.

    Predictions are split off, ``z = Xw + b``, with multipliers u. Minimised over z, the augmented
    Lagrangian is the loss's Moreau envelope at ``Xw + b + step u``, a smooth problem for
    :class:`ActiveSetNewton`; the envelope's gradient at its optimum is the next u, a point of the
    dual by which the original problem is certified. With straight losses and penalties it ends
    after finitely many steps.

    References
    ----------
    Rockafellar (1976), Augmented Lagrangians and applications of the proximal point algorithm in
    convex programming, section 4. Li, Sun and Toh (2018), A highly efficient semismooth Newton
    augmented Lagrangian method for solving lasso problems.
    """

    preference = 1

    def refuses(self, problem: Problem) -> str | None:
        if not isinstance(problem.loss, Kinked):
            return f"{problem.loss!r} is not a loss of straight lines"
        return ActiveSetNewton().refuses(_smoothed(problem, 1.0, np.zeros(problem.y.shape)))

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, history = time.perf_counter(), []
        first, shrink, least = _WIDE if problem.penalty.convex else _NARROW
        scale = _scale(problem)
        step, least = first * scale, least * scale
        best = evaluation = certify(problem, start, tol)
        status, n_iter, idle = Status.MAX_ITER, 0, 0
        try:
            for n_iter in range(max_iter + 1):
                value = evaluation.certificate.value
                history.append((time.perf_counter() - begun, value))
                idle = 0 if value < 0.9 * best.certificate.value or n_iter == 0 else idle + 1
                if value <= best.certificate.value:
                    best = evaluation
                if evaluation.certificate.holds or idle >= _MAX_IDLE or n_iter == max_iter:
                    break
                aim = max(0.1 * tol, 0.01 * min(value, 1.0)) * _SHARPER**idle
                aim = max(aim, _ROUNDING * scale / step)
                point = _improved(problem, evaluation.point, step, aim)
                evaluation = certify(problem, point, tol)
                step = max(step * shrink ** (1 + idle), least * _SHORTER**idle)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if best.certificate.holds:
            status = Status.CONVERGED
        elif idle >= _MAX_IDLE:
            status = Status.STALLED
        return Outcome(best.point, best.certificate, status, n_iter, history)


def _scale(problem: Problem) -> float:
    """Size of a prediction's error over that of its loss's slope, in the null model."""
    null = Point(problem, np.zeros(problem.shape), problem.null_intercept)
    slope = float(problem.sample_weight @ np.square(null.residual).sum(axis=1))
    return problem.null_objective / slope if problem.null_objective > 0 and slope > 0 else 1.0


def _smoothed(problem: Problem, step: float, multipliers: np.ndarray) -> Problem:
    offset = 0.0 if problem.offset is None else problem.offset
    assert isinstance(problem.loss, Kinked)
    return problem.with_loss(MoreauEnvelope(problem.loss, step), offset + step * multipliers)


def _improved(problem: Problem, point: Point, step: float, aim: float) -> Point:
    """The smooth problem's optimum, with its gradient as the dual point."""
    smooth = _smoothed(problem, step, point.residual)
    start = Point(smooth, point.w, smooth.best_intercept(smooth.design.matvec(point.w), point.b))
    start.workspace = point.workspace
    if problem.penalty.convex and smooth.null_objective > 0:
        aim *= problem.null_objective / smooth.null_objective
    outcome = ActiveSetNewton().run(smooth, start, aim, _INNER_ITER)
    end = outcome.point
    b = problem.best_intercept(problem.design.matvec(end.w), end.b)
    better = Point(problem, end.w, b, subgradient=end.residual)
    better.workspace = end.workspace
    if outcome.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return better
