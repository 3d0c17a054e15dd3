"""Proximal Newton over sums: the quadratic model of a working set is a small table."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from gossamer.core.certificate import Evaluation
from gossamer.core.errors import ConvergenceWarning
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.unit_form import UnitForm
from gossamer.linear.distributed import part as sums
from gossamer.linear.distributed.part import At
from gossamer.linear.distributed.problem import SummedPoint, SummedProblem
from gossamer.losses import Quadratic
from gossamer.solvers.working_columns import WorkingColumns
from gossamer.solvers.working_set import Search, WorkingSetSolver

_STEPS = 0.5 ** np.arange(1, 12)
# gains of the objective below which its rounding hides them
_ROUNDING = 16 * np.finfo(float).eps
_RIDGE = 1e-8  # added curvature, of the mean one: keeps the model strictly convex


class SummedNewton(WorkingSetSolver):
    """Working sets for rows in parts, in a handful of rounds an iteration.

    Of every part come the Gram matrix of the working columns under the curvature of the loss and
    the gradient of all columns, O(f^2 + p) numbers for f working columns. Their sums make the
    quadratic model, which the solvers of small problems take to its optimum; the step along the
    line is chosen by sums of the loss.

    Reference: Lee, Sun and Saunders (2014), Proximal Newton-type methods, section 3.
    """

    preference: ClassVar[int] = 0
    newton = True

    def refuses(self, problem: Problem) -> str | None:
        if not isinstance(problem, SummedProblem):
            return "its rows are in one array"
        if problem.penalty.unit_form(problem.shape) is None:
            return f"the prox of {problem.penalty!r} does not split by unit"
        return None

    def milestones(self, problem: Problem, start: Point, tol: float) -> list[tuple[float, float]]:
        # a round of questions costs more than a working set too large
        return [] if problem.penalty.convex else super().milestones(problem, start, tol)

    def search(self, problem: Problem, form: UnitForm, start: Point, tol: float) -> Search:
        assert isinstance(problem, SummedProblem)
        return _SummedSearch(problem, form, self.newton, tol, _NoColumns())


class _NoColumns(WorkingColumns):
    """Columns are read where they are, none is kept here."""

    def __init__(self) -> None:
        pass


class _SummedSearch(Search):
    problem: SummedProblem
    damping: float = 0.0

    def improve(self, evaluation: Evaluation) -> Point:
        point = evaluation.point
        assert isinstance(point, SummedPoint)
        chosen, _ = self.choose(evaluation)
        features = np.unique(self.form.units.positions(chosen)[0] // self.problem.shape[1])
        w, b = self._of_model(point, features, evaluation.certificate.value)
        gain = float((point.gradient * (w - point.w)).sum()) + float(point.pull @ (b - point.b))
        penalty = self.problem.penalty
        gain += penalty.value(w) - penalty.value(point.w)
        return self._step(point, w, b, gain).centred()

    def _of_model(
        self, point: SummedPoint, features: np.ndarray, value: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The optimum of the quadratic model on some features."""
        problem = self.problem
        bend = max(float(point.sums.bend.max()), 1e-10)
        extra = (_RIDGE + self.damping) * bend * (not problem.loss.is_quadratic)
        gram = point.gram(features, extra)
        ones = gram[:-1, -1] / gram[-1, -1] * problem.fit_intercept
        curvature = gram[:-1, :-1] - np.outer(ones, gram[:-1, -1])
        slope = point.gradient[features, 0] - ones * point.pull[0]
        before = point.w[features, 0]
        X, y = _table(curvature, curvature @ before - slope, features, len(point.w))
        small = Problem(X, y, Quadratic(), problem.penalty, fit_intercept=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            w = small.solve(w0=point.w, tol=max(1e-14, 1e-3 * min(self.tol, value))).coef[:, None]
        shift = -point.pull / gram[-1, -1] - ones @ (w - point.w)[features]
        return w, point.b + (shift if problem.fit_intercept else 0.0)

    def _step(self, point: SummedPoint, w: np.ndarray, b: np.ndarray, gain: float) -> SummedPoint:
        """The new point, or one on the way to it that lowers the objective enough."""
        # a path's point was made for another strength
        problem, penalty = self.problem, self.problem.penalty
        objective = point.loss + penalty.value(point.w)
        new = SummedPoint(problem, w, b)
        value = new.loss + penalty.value(w)
        # a gain too small for the objective to show is taken on the model's word
        if value <= objective + 1e-4 * gain or abs(gain) <= _ROUNDING * abs(objective):
            self.damping /= 10
            return new
        public = problem.design.to_public(w - point.w, b - point.b)
        direction = At(problem.loss, *public)
        losses = problem.X.reduce(sums.losses_along, point.at, direction, _STEPS)
        for step, loss in zip(_STEPS, losses / problem.spread.weight, strict=True):
            w_step = point.w + step * (w - point.w)
            if loss + penalty.value(w_step) <= objective + 1e-4 * step * gain:
                return SummedPoint(problem, w_step, point.b + step * (b - point.b))
        self.damping = max(10 * self.damping, 1.0)
        return point


def _table(
    curvature: np.ndarray, cross: np.ndarray, features: np.ndarray, p: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows X (r, p) and y (r,) whose mean squares are ``w' C w / 2 - cross' w``, but for a number.

    A Cholesky factor that stops at the rank of C, of columns scaled so that none is lost.
    """
    diagonal = np.diag(curvature)
    dead = diagonal <= 1e-14 * diagonal.max(initial=0.0)
    scale = np.sqrt(np.where(dead, 1.0, diagonal))
    scaled = curvature / scale / scale[:, None]
    scaled[dead], scaled[:, dead] = 0.0, 0.0
    factor, order, rank, _ = dpstrf(scaled)
    order, rank = order - 1, max(rank, 1)
    root = np.triu(factor)[:rank]
    right = (np.where(dead, 0.0, cross) / scale)[order[:rank]]
    y = solve_triangular(root[:, :rank], right, trans="T") if not dead.all() else np.zeros(rank)
    X = np.zeros((rank, p), order="F")
    X[:, features[order]] = root * scale[order]
    return X * np.sqrt(rank), y * np.sqrt(rank)
