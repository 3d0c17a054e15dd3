"""Bounds by their active set: a lasso on the coefficients inside, those at a bound held there."""

from __future__ import annotations

import time

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.penalties import L1, Bounds
from gossamer.solvers.proximal_gradient import ProximalGradient
from gossamer.solvers.working_set import ActiveSetNewton

_MAX_ROUNDS = 40
# a weight that no gradient reaches holds a coefficient at zero, measured from its bound
_HOLD = 1e12


@SOLVERS.register
class ActiveBounds(Solver):
    """A primal-dual active set: guess which bounds are reached, solve the lasso that is left.

    What comes out beyond a bound is held there in the next round, as a part of the offset; what
    is pulled inwards is let go. When a set comes back, :class:`ProximalGradient` goes on from the
    best point. Every lasso is solved by :class:`ActiveSetNewton`.

    References
    ----------
    Hintermuller, Ito and Kunisch (2002), The primal-dual active set strategy as a semismooth
    Newton method.
    """

    preference = 3

    def refuses(self, problem: Problem) -> str | None:
        if not isinstance(problem.penalty, Bounds):
            return f"{problem.penalty!r} is no Bounds"
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns"
        if problem.loss.coupled:
            return "outputs of the loss interact"
        return ActiveSetNewton().refuses(problem.with_penalty(L1(problem.penalty.strength)))

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, history, n_iter = time.perf_counter(), [], 0
        penalty = problem.penalty
        assert isinstance(penalty, Bounds)
        low, high, _ = penalty.limits(problem.shape)
        inside = Point(problem, np.clip(start.w, low, high), start.b)
        best = evaluation = certify(problem, inside, tol)
        seen: set[bytes] = set()
        at = np.zeros(problem.shape)
        for _ in range(_MAX_ROUNDS):
            history.append((time.perf_counter() - begun, evaluation.certificate.value))
            if evaluation.certificate.value <= best.certificate.value:
                best = evaluation
            if best.certificate.holds or n_iter >= max_iter or at.tobytes() in seen:
                break
            seen.add(at.tobytes())
            outcome = _solve_inside(problem, evaluation.point, at, tol, max_iter - n_iter)
            n_iter += outcome.n_iter
            free = Point(problem, np.where(_is_held(at, low, high), at, outcome.point.w),
                         outcome.point.b)  # fmt: skip
            at = _next_held(free, at, penalty)
            clipped = np.clip(free.w, low, high)
            if not np.array_equal(clipped, free.w):
                b = problem.best_intercept(problem.design.matvec(clipped), free.b)
                free = Point(problem, clipped, b)
            evaluation = certify(problem, free, tol)
        status = Status.CONVERGED if best.certificate.holds else Status.MAX_ITER
        if best.certificate.holds or n_iter >= max_iter:
            return Outcome(best.point, best.certificate, status, n_iter, history)
        return ProximalGradient().run(problem, best.point, tol, max_iter - n_iter)


def _is_held(at: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return (at != 0) | ((low == 0) & (high == 0))


def _solve_inside(
    problem: Problem, point: Point, at: np.ndarray, tol: float, max_iter: int
) -> Outcome:
    """The problem without bounds, the coefficients in ``at`` held there."""
    penalty = problem.penalty
    assert isinstance(penalty, Bounds)
    held = _is_held(at, *penalty.limits(problem.shape)[:2])
    weights = penalty.with_strength(1.0).limits(problem.shape)[2]
    weights = np.where(held, _HOLD, weights if penalty.strength > 0 else 0.0)
    shift = problem.design.matvec(at)
    lasso = Problem(
        problem.X, problem.y, problem.loss, L1(penalty.strength or 1.0, weights=weights.ravel()),
        problem.fit_intercept, problem.sample_weight,
        shift if problem.offset is None else problem.offset + shift, problem.standardise,
    )  # fmt: skip
    begin = Point(lasso, np.where(held, 0.0, point.w), point.b)
    return ActiveSetNewton().run(lasso, begin, 0.1 * tol, max_iter)


def _next_held(point: Point, at: np.ndarray, penalty: Bounds) -> np.ndarray:
    """Where coefficients are held next: those beyond a bound, and those still pulled outwards."""
    low, high, threshold = penalty.limits(point.w.shape)
    pull = -point.gradient
    down = np.where(at < 0, -pull > threshold, point.w < low)
    up = np.where(at > 0, pull > threshold, point.w > high)
    return np.where(down, low, np.where(up, high, 0.0))
