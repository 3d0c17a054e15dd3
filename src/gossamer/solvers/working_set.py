"""Working sets: solve on a few units, look at all, add those that violate optimality.

Each outer iteration costs one pass over X to certify the point and a solve on the working set:
quadratic models of the loss (one, when the loss is quadratic), each minimised by coordinate
descent with jumps, with a search along the line between two models.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gossamer.core.certificate import Evaluation, certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.core.unit_form import UnitForm
from gossamer.solvers.block import Block, minimise
from gossamer.solvers.threads import one_blas_thread
from gossamer.solvers.working_columns import WorkingColumns
from gossamer.solvers.working_units import WorkingUnits

# the first set's Gram matrix then costs a few passes over X: so many times the root of the number
# of coefficients, and a few in any case
_FIRST, _FEW = 2.0, 50
# attempts to improve a critical point, unit by unit
_MAX_TRIES = 10
# iterations without a gain after which a search is given up
_MAX_IDLE = 8
# a strength so many times smaller than the largest is reached in strides, which begin nearer
_FAR, _NEAR, _STRIDE = 300.0, 30.0, 5.0
# and one of a penalty that is not convex in so many steps
_BRANCH_STEPS = 10


class WorkingSetSolver(Solver):
    """The outer iterations; what one of them does is the business of :class:`Search`."""

    newton: ClassVar[bool]

    def refuses(self, problem: Problem) -> str | None:
        if not problem.loss.is_smooth:
            return f"{problem.loss!r} has kinks"
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns to cycle over"
        if problem.penalty.unit_form(problem.shape) is None:
            return f"the prox of {problem.penalty!r} does not split by unit"
        return None

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        with one_blas_thread:
            return self._approach(problem, start, tol, max_iter)

    def _approach(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun, spent = time.perf_counter(), 0
        for strength, loose in self.milestones(problem, start, tol):
            step = problem.with_penalty(problem.penalty.with_strength(strength))
            outcome = self._iterate(step, start, loose, max_iter - spent, begun)
            start, spent = outcome.point, min(spent + outcome.n_iter, max_iter)
            if outcome.status is Status.INTERRUPTED:
                final = self._iterate(problem, start, tol, 0, begun)
                return replace(final, status=Status.INTERRUPTED, n_iter=spent)
        outcome = self._iterate(problem, start, tol, max_iter - spent, begun)
        return replace(outcome, n_iter=spent + outcome.n_iter)

    def _iterate(
        self, problem: Problem, start: Point, tol: float, max_iter: int, begun: float
    ) -> Outcome:
        form = problem.penalty.unit_form(problem.shape)
        assert form is not None
        history: list[tuple[float, float]] = []
        search = self.search(problem, form, start, tol)
        status, n_iter = Status.MAX_ITER, 0
        best = evaluation = certify(problem, start, tol)
        try:
            for n_iter in range(max_iter + 1):
                value = evaluation.certificate.value
                history.append((time.perf_counter() - begun, value))
                if search.is_better(evaluation, best):
                    best = evaluation
                if evaluation.certificate.holds and search.is_settled(evaluation):
                    # also where rounding makes an earlier objective look lower
                    best = evaluation
                    break
                if search.is_exhausted(value):
                    status = Status.STALLED
                    break
                if n_iter == max_iter:
                    break
                evaluation = certify(problem, search.improve(evaluation), tol)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if best.certificate.holds:
            status = Status.CONVERGED
        best.point.workspace = search.columns
        return Outcome(best.point, best.certificate, status, n_iter, history)

    def milestones(self, problem: Problem, start: Point, tol: float) -> list[tuple[float, float]]:
        """Larger strengths to pass on the way, each with a tolerance."""
        return _milestones(problem, start, tol)

    def search(self, problem: Problem, form: UnitForm, start: Point, tol: float) -> Search:
        """What improves a point, with the columns that were left at the start."""
        return Search(problem, form, self.newton, tol, columns_of(problem, start))


def columns_of(problem: Problem, start: Point) -> WorkingColumns:
    """Those that were left at the start by a solve on the same data: a path reads them once."""
    columns = start.workspace
    if isinstance(columns, WorkingColumns) and columns.design is problem.design:
        return columns
    return WorkingColumns(problem.design, problem.fit_intercept and not problem.loss.is_quadratic)


def _milestones(problem: Problem, start: Point, tol: float) -> list[tuple[float, float]]:
    """Larger strengths, each with a tolerance, on the way from the null model to the problem's own.

    Far from the null model the first working sets would be guesses. Where the problem is not
    convex the local optimum so reached continues the null model's branch, the one that
    statistical theory speaks of (Loh and Wainwright 2015).
    """
    strength, penalty = problem.penalty.strength, problem.penalty
    if start.w.any() or strength <= 0:
        return []
    largest = problem.strength_max()
    ratio = largest / strength
    if not np.isfinite(ratio) or ratio <= (_FAR if penalty.convex else 1.0):
        return []
    if penalty.convex:
        steps = int(np.ceil(np.log(ratio / _NEAR) / np.log(_STRIDE)))
        grid = np.geomspace(largest / _NEAR, strength, steps + 1)[:-1]
        # the objective falls with the strength, and gaps are relative to that of the null model
        tolerances = 1e-2 * grid / largest
    else:
        grid = np.geomspace(largest, strength, _BRANCH_STEPS + 1)[:-1]
        tolerances = np.full(len(grid), 1e-4)
    return list(zip(grid.tolist(), np.maximum(tolerances, tol).tolist(), strict=True))


@SOLVERS.register
class ActiveSetNewton(WorkingSetSolver):
    """Working sets; coordinate descent finds the support, its linear system ends the work.

    Reaches rounding-level certificates. Where a working set is too large for its Gram matrix it
    extrapolates as :class:`CoordinateDescent` does.

    References
    ----------
    Massias, Gramfort and Salmon (2018), Celer: a fast solver for the lasso with dual extrapolation.
    Li, Sun and Toh (2018), A highly efficient semismooth Newton augmented Lagrangian method.
    """

    preference = 1
    newton = True


@SOLVERS.register
class CoordinateDescent(WorkingSetSolver):
    """Working sets; (block) coordinate descent with Anderson extrapolation.

    References
    ----------
    Bertrand and Massias (2021), Anderson acceleration of coordinate descent.
    Bertrand et al. (2022), Beyond L1: faster and better sparse models with skglm.
    """

    preference = 2
    newton = False


@dataclass(eq=False)
class Search:
    """What one run remembers between outer iterations."""

    problem: Problem
    form: UnitForm
    newton: bool
    tol: float
    columns: WorkingColumns
    precision: float = 1e-3  # inner tolerance, relative to the outer certificate
    best: float = np.inf
    idle: int = 0
    tries: int = 0

    def is_exhausted(self, value: float) -> bool:
        """Whether several iterations at the highest precision brought nothing."""
        if value < 0.9 * self.best:
            self.best, self.idle = value, 0
        else:
            self.idle += 1
            self.precision = max(self.precision / 100, 1e-12)
        return self.idle >= _MAX_IDLE

    def is_better(self, new: Evaluation, old: Evaluation) -> bool:
        """Gaps are compared where there are any; descent of the objective counts elsewhere."""
        if self.problem.penalty.convex:
            return new.certificate.value <= old.certificate.value
        return new.certificate.objective <= old.certificate.objective

    def is_settled(self, evaluation: Evaluation) -> bool:
        """Whether the kind of a stationary point is final: some tries to improve a critical one."""
        if evaluation.certificate.kind != "critical":
            return True
        self.tries += 1
        return self.tries > _MAX_TRIES

    def improve(self, evaluation: Evaluation) -> Point:
        """A better point, from a solve on the working set the evaluation suggests."""
        problem, point, columns = self.problem, evaluation.point, self.columns
        chosen, is_all = self.choose(evaluation)
        columns.keep(self.form.units.positions(chosen)[0] // problem.shape[1])
        working = WorkingUnits.choose(self.form, chosen, problem.shape[1], columns)
        target = self.inner_tolerance(evaluation.certificate.value, is_all)
        block = Block(problem, columns, working)
        local = minimise(block, point, target, self.newton, is_all)
        coefficients, _ = working.split(local)
        w = point.w.copy()
        w.ravel()[working.flat] = coefficients
        return Point(problem, w, problem.best_intercept(problem.design.matvec(w), point.b))

    def choose(self, evaluation: Evaluation) -> tuple[np.ndarray, bool]:
        """The support and the units pulled hardest, and whether all violators are among them.

        As many again as the support, violators or nearly so. Reading X once more is cheap beside
        solving on units that are not needed: the set grows with the support, not with the number
        of violators, most of which are violators no longer once others have come in.
        """
        form, alive = self.form, evaluation.certificate.support
        assert evaluation.pulls is not None
        n_alive = len(alive)
        violating = evaluation.distances > 0
        violating[alive] = False
        n_violators = int(violating.sum())
        share = form.units.count / len(form.units.order)
        first = int(np.ceil(share * max(_FIRST * np.sqrt(len(form.units.order)), _FEW)))
        most = min(max(first, n_alive), form.units.count - n_alive)
        count = min(max(n_violators, n_alive), most)
        pulls = evaluation.pulls.copy()
        pulls[violating] += pulls.max(initial=0.0)
        pulls[alive] = -1.0
        hardest = np.argpartition(-pulls, count - 1)[:count] if count else np.array([], int)
        return np.union1d(alive, hardest), count >= n_violators

    def inner_tolerance(self, value: float, is_all: bool) -> float:
        """Gain of a cycle at which the inner solve ends, loose while violators are left out.

        A cycle's gain is quadratic in the violations it leaves, the gap is linear in them.
        """
        null = self.problem.null_objective if self.problem.null_objective > 0 else 1.0
        value = min(value, 1.0)
        aim = self.precision * max(self.tol, (0.1 if is_all else 100.0) * value, 1e-16)
        return null * aim**2
