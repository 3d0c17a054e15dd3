"""Working sets: solve on a few units, look at all, add those that violate optimality.

Each outer iteration costs one pass over X to certify the point and a solve on the working set:
quadratic models of the loss (one, when the loss is quadratic), each minimised by coordinate
descent with jumps, with a search along the line between two models.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gossamer.core.certificate import Evaluation, certify
from gossamer.core.penalty import UnitForm, pulls_of_form
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Result, Status
from gossamer.core.solver import Solver
from gossamer.solvers.descend import descend
from gossamer.solvers.model import Block
from gossamer.solvers.working_units import WorkingUnits

_FIRST_SIZE = 100
_MAX_MODELS = 25
_MAX_CYCLES = 2000
_MAX_TRIES = 10
_ROUNDING = 16 * np.finfo(float).eps


class _WorkingSetSolver(Solver):
    newton: ClassVar[bool]

    def refuses(self, problem: Problem) -> str | None:
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns to cycle over"
        if problem.penalty.unit_form(problem.shape) is None:
            return f"the prox of {problem.penalty!r} does not split by unit"
        return None

    def run(
        self, problem: Problem, w: np.ndarray, b: np.ndarray, tol: float, max_iter: int
    ) -> Result:
        form = problem.penalty.unit_form(problem.shape)
        assert form is not None
        problem.null_gradient  # noqa: B018 - checks X for NaN before anything is spent on it
        begun, history = time.perf_counter(), []
        search = _Search(problem, form, self.newton, tol)
        status, n_iter = Status.MAX_ITER, 0
        evaluation = certify(problem, w, b, tol)
        best = (evaluation, w, b)
        try:
            for n_iter in range(max_iter + 1):
                value = evaluation.certificate.value
                history.append((time.perf_counter() - begun, value))
                if search.is_better(evaluation, best[0]):
                    best = (evaluation, w, b)
                if evaluation.certificate.holds and search.is_settled(evaluation):
                    # also where rounding makes an earlier objective look lower
                    best = (evaluation, w, b)
                    break
                if search.is_exhausted(value):
                    status = Status.STALLED
                    break
                if n_iter == max_iter:
                    break
                w, b = search.improve(evaluation, w, b)
                evaluation = certify(problem, w, b, tol)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        evaluation, w, b = best
        if evaluation.certificate.holds:
            status = Status.CONVERGED
        coef, intercept = problem.finish(w, b)
        return Result(
            coef, intercept, evaluation.certificate, status, n_iter, type(self).__name__, history
        )


@SOLVERS.register
class ActiveSetNewton(_WorkingSetSolver):
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
class CoordinateDescent(_WorkingSetSolver):
    """Working sets; (block) coordinate descent with Anderson extrapolation.

    References
    ----------
    Bertrand and Massias (2021), Anderson acceleration of coordinate descent.
    Bertrand et al. (2022), Beyond L1: faster and better sparse models with skglm.
    """

    preference = 2
    newton = False


@dataclass(eq=False)
class _Search:
    """What one run remembers between outer iterations."""

    problem: Problem
    form: UnitForm
    newton: bool
    tol: float
    size: int = _FIRST_SIZE
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
        return self.idle >= 12

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

    def improve(
        self, evaluation: Evaluation, w: np.ndarray, b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """A better point, from a solve on the working set the evaluation suggests."""
        problem = self.problem
        chosen, is_all = self._choose(evaluation, w)
        explicit = problem.fit_intercept and not problem.loss.is_quadratic
        working = WorkingUnits.choose(self.form, chosen, problem.shape[1], explicit)
        block = Block(problem, working)
        target = self._inner_tolerance(evaluation.certificate.value, is_all)
        if problem.loss.is_quadratic:
            local = self._minimise_quadratic(block, w, b, target)
        else:
            local = self._minimise_models(block, w, b, target)
        coefficients, _ = working.split(local)
        w = w.copy()
        w.ravel()[working.flat] = coefficients
        return w, problem.best_intercept(problem.design.matvec(w), b)

    def _choose(self, evaluation: Evaluation, w: np.ndarray) -> tuple[np.ndarray, bool]:
        """The support and the units pulled hardest, and whether all violators are among them.

        As many again as the support, violators or nearly so, and more while some are left out.
        """
        form = self.form
        alive = form.units.norms(w) > 0
        n_alive = int(alive.sum())
        violating = (evaluation.distances > 0) & ~alive
        n_violators = int(violating.sum())
        self.size = max(self.size, n_alive)
        count = min(max(n_violators, n_alive), self.size, form.units.count - n_alive)
        if n_violators > self.size:
            self.size *= 2
        pulls = pulls_of_form(form, evaluation.gradient)
        pulls[violating] += pulls.max(initial=0.0)
        pulls[alive] = -1.0
        hardest = np.argpartition(-pulls, count - 1)[:count] if count else np.array([], int)
        return np.union1d(np.flatnonzero(alive), hardest), count >= n_violators

    def _inner_tolerance(self, value: float, is_all: bool) -> float:
        """Gain of a cycle at which the inner solve ends, loose while violators are left out.

        A cycle's gain is quadratic in the violations it leaves, the gap is linear in them.
        """
        null = self.problem.null_objective if self.problem.null_objective > 0 else 1.0
        value = min(value, 1.0)
        aim = self.precision * max(self.tol, 0.01 * value, 1e-16)
        return null * max(aim, 0.0 if is_all else 0.1 * value) ** 2

    def _minimise_quadratic(
        self, block: Block, w: np.ndarray, b: np.ndarray, target: float
    ) -> np.ndarray:
        problem, s = self.problem, self.problem.sample_weight[:, None]
        z = problem.linear(w, b)
        local = block.working.gather(w, b)
        model = block.model(s * problem.loss.gradient(z, problem.y), s * np.ones_like(z), None)
        self._clear_dead(model.curvature, block.working, local)
        descend(model, block.working, local, target, _MAX_CYCLES, self.newton)
        return local

    def _minimise_models(
        self, block: Block, w: np.ndarray, b: np.ndarray, target: float
    ) -> np.ndarray:
        """Proximal Newton: minimise a model of the loss, search along the line, repeat."""
        problem, working = self.problem, block.working
        loss, y, s = problem.loss, problem.y, problem.sample_weight[:, None]
        z = problem.linear(w, b)
        local = working.gather(w, b)
        objective = problem.mean_loss(z) + working.penalty(local)
        # the first models are far from the loss: solving them exactly would be lost work
        damping, inner = 0.0, max(target, 1e-4 * abs(objective))
        for _ in range(_MAX_MODELS):
            h = loss.curvature(z, y)
            # keeps the model strictly convex where the loss is flat, and damps it when asked
            extra = (damping + 1e-6) * max(float(h.mean()), 1e-10)
            h = s * (extra + (0.0 if loss.coupled else h))
            h = np.broadcast_to(h, z.shape)
            chance = loss.mean(z) if loss.coupled else None
            model = block.model(s * loss.gradient(z, y), h, chance)
            self._clear_dead(model.curvature, working, local)
            target_point = local.copy()
            gradient = model.gradient()
            descend(model, working, target_point, inner, _MAX_CYCLES, self.newton)
            change = target_point - local
            gain = float(gradient @ change) + working.penalty(target_point) - working.penalty(local)
            is_tiny = abs(gain) <= _ROUNDING * abs(objective)
            if (is_tiny or -gain <= target) and inner > target:
                inner = target
                continue
            if is_tiny:
                # too small for a line search to see: the model's word is taken
                local = target_point
                break
            if -gain <= target:
                break
            inner = max(target, min(inner, -1e-4 * gain))
            step, value = self._line_search(block, z, local, change, objective, gain)
            if step == 0.0:
                damping = max(10 * damping, 1.0)
                if damping > 1e8:
                    break
                continue
            local, objective = local + step * change, value
            z = z + block.times(step * change)
            damping /= 10 if step == 1.0 else 1
        return local

    def _line_search(
        self, block: Block, z: np.ndarray, local: np.ndarray, change: np.ndarray,
        objective: float, gain: float,
    ) -> tuple[float, float]:  # fmt: skip
        """The longest of a few steps with a sufficient decrease, zero when there is none."""
        moved = block.times(change)
        step = 1.0
        for _ in range(6):
            value = self.problem.mean_loss(z + step * moved)
            value += block.working.penalty(local + step * change)
            if value <= objective + 1e-4 * step * gain:
                return step, value
            step /= 2
        return 0.0, objective

    @staticmethod
    def _clear_dead(curvature: np.ndarray, working: WorkingUnits, local: np.ndarray) -> None:
        """A column of zeros moves no prediction: its penalised coefficient is zero."""
        dead = working.units.spread((curvature == 0) & (working.weights > 0))
        local[dead] = 0.0
