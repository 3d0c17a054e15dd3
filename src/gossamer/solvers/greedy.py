"""What greedy solvers share: a budget of units, their scores, refits, and the loop over points."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.exchange import Exchanges, exchanges
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.penalties import AtMost
from gossamer.penalties.at_most import largest
from gossamer.solvers.exploration import budget_refusal
from gossamer.solvers.gram_refits import GramRefits
from gossamer.solvers.refit import refit

# a lower objective counts when rounding cannot have made it
_GAIN = 1e-12
# units whose columns of the Hessian are computed along with one that is needed
_AHEAD = 31


class Supports:
    """A problem whose penalty is :class:`AtMost`, and the units of its coefficients."""

    def __init__(self, problem: Problem) -> None:
        assert isinstance(problem.penalty, AtMost)
        self.problem, self.penalty = problem, problem.penalty
        self.units = problem.penalty.units(problem.shape)
        self.k = min(problem.penalty.k, self.units.count)
        exact = problem.loss.is_quadratic and not self.penalty.nonnegative
        self._gram = GramRefits(problem, self.penalty.ridge) if exact else None

    @cached_property
    def curvature(self) -> np.ndarray:
        """(n_units,) mean square of the columns of each unit, and the ridge."""
        squares = np.broadcast_to(self.problem.design.squares, self.problem.shape)
        sums = np.bincount(self.units.labels, squares.ravel(), self.units.count)
        return sums / self.units.lengths + self.penalty.ridge

    @cached_property
    def is_dead(self) -> np.ndarray:
        """(n_units,) constant columns, but for rounding: they explain nothing."""
        return self.curvature <= 1e-14 * self.curvature.max(initial=0.0) + 1e-300

    def scores(self, point: Point) -> np.ndarray:
        """(n_units,) what moving each unit alone gains, but for a factor common to all.

        Exact for the quadratic loss and orthogonal columns; zero for dead units.
        """
        pull = point.gradient + self.penalty.ridge * point.w
        pull = np.minimum(pull, 0.0) if self.penalty.nonnegative else pull
        sizes = self.units.norms(pull)
        return np.where(self.is_dead, 0.0, sizes**2 / np.where(self.is_dead, 1.0, self.curvature))

    def costs(self, point: Point) -> np.ndarray:
        """(n_units,) what dropping each unit in use loses, to second order; zero for others."""
        return self.units.norms(point.w) ** 2 * self.curvature

    def support(self, point: Point) -> np.ndarray:
        """Units in use."""
        return np.flatnonzero(self.units.norms(point.w))

    def refit(self, chosen: np.ndarray, start: Point) -> Point:
        """The best coefficients on some units."""
        at = np.sort(self.units.positions(chosen)[0])
        if self._gram is not None and self._known(self._gram, chosen, at, start):
            point = self._gram.refit(at)
            if point is not None:
                return point
        return refit(self.problem, at, start)

    def _known(self, gram: GramRefits, chosen: np.ndarray, at: np.ndarray, start: Point) -> bool:
        """Whether the columns of the support are at hand, or there is room to read them.

        Columns of the units that pull hardest are read along: one pass over X serves several.
        """
        if not gram.missing(at).size:
            return True
        ahead = min(_AHEAD, self.k - len(chosen))
        next_ones = self.best(self.scores(start), ahead) if ahead > 0 else chosen[:0]
        wanted = self.units.positions(np.union1d(chosen, next_ones))[0]
        return gram.read(gram.missing(wanted))

    def exchanges(self, point: Point) -> Exchanges | None:
        """Those of a point, where the columns of the Hessian are known."""
        chosen = self.support(point)
        at = self.units.positions(chosen)[0]
        if self._gram is None or self._gram.missing(at).size:
            return None
        smooth = (point.gradient + self.penalty.ridge * point.w).ravel()
        blocks = self._gram.hessian.blocks(self.units)
        columns = self._gram.columns_of(at)
        return exchanges(self.units, chosen, point.w.ravel(), smooth, columns, blocks)

    def objective(self, point: Point) -> float:
        """Loss and ridge, whether or not the budget is kept."""
        return point.loss + 0.5 * self.penalty.ridge * float(np.vdot(point.w, point.w))

    def best(self, scores: np.ndarray, count: int) -> np.ndarray:
        """The units with the largest scores above zero."""
        return largest(scores, count)

    def improves(self, after: Point, before: Point) -> bool:
        least = self.objective(before)
        return self.objective(after) < least - _GAIN * (abs(least) + self.problem.null_objective)


class GreedySolver(Solver):
    """A solver for budgets that goes from support to support. Subclasses write :meth:`search`."""

    preference = 20

    def refuses(self, problem: Problem) -> str | None:
        return budget_refusal(problem)

    def suits(self, problem: Problem) -> bool:
        return False

    @abstractmethod
    def search(self, supports: Supports, start: Point) -> Iterator[Point]:
        """Points refitted on their supports, each within the budget; ends when nothing improves."""

    def judged(self, problem: Problem, point: Point) -> Problem:
        """The problem that ``point`` is to be a solution of."""
        return problem

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, history = time.perf_counter(), []
        supports = Supports(problem)
        chosen = supports.support(start)[: supports.k]
        # from coefficients that keep the budget; also the intercept of the null model
        best = supports.refit(chosen, start) if len(chosen) else start
        status, n_iter = Status.CONVERGED, 0
        try:
            for n_iter, point in enumerate(self.search(supports, best), 1):
                if not supports.improves(best, point):
                    best = point
                history.append((time.perf_counter() - begun, supports.objective(best)))
                if n_iter == max_iter:
                    status = Status.MAX_ITER
                    break
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        judged, moves = self.judged(problem, best), supports.exchanges(best)
        certificate = certify(judged, best, tol, moves).certificate
        if certificate.holds:
            status = Status.CONVERGED
        elif status is Status.CONVERGED:
            status = Status.STALLED
        return Outcome(best, certificate, status, n_iter, history)
