"""Proximal Newton over sums: the quadratic model of a working set is a small table."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
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
        model = QuadraticModel.at(self.problem, point, features, self.damping)
        X, y = model.table(point)
        small = Problem(X, y, Quadratic(), self.problem.penalty, fit_intercept=False)
        value = evaluation.certificate.value
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            w = small.solve(w0=point.w, tol=max(1e-14, 1e-3 * min(self.tol, value))).coef[:, None]
        new = step_to(self.problem, point, w, point.b + model.shift(w - point.w))
        self.damping = max(10 * self.damping, 1.0) if new is point else self.damping / 10
        return new.centred()


@dataclass(frozen=True, eq=False)
class QuadraticModel:
    """``d' C d / 2 + slope' d`` of a change d of some features, the intercept profiled out."""

    features: np.ndarray
    curvature: np.ndarray  # (f, f)
    slope: np.ndarray  # (f,)
    ones: np.ndarray  # (f,) means of the features under the curvature of the loss
    start: float  # change of the intercept alone

    @classmethod
    def of(
        cls, gram: np.ndarray, features: np.ndarray, gradient: np.ndarray, pull: np.ndarray,
        intercept: bool,
    ) -> QuadraticModel:  # fmt: skip
        """From the Gram matrix of the features and ones, and from gradients (p, 1) and (1,)."""
        ones = gram[:-1, -1] / gram[-1, -1] * intercept
        return cls(
            features, gram[:-1, :-1] - np.outer(ones, gram[:-1, -1]),
            gradient[features, 0] - ones * pull[0], ones, -pull[0] / gram[-1, -1] * intercept,
        )  # fmt: skip

    @classmethod
    def at(
        cls, problem: SummedProblem, point: SummedPoint, features: np.ndarray, damping: float = 0.0
    ) -> QuadraticModel:
        """Of all rows: f x f numbers of every part."""
        bend = max(float(point.sums.bend.max()), 1e-10)
        extra = (_RIDGE + damping) * bend * (not problem.loss.is_quadratic)
        gram = point.gram(features, extra)
        return cls.of(gram, features, point.gradient, point.pull, problem.fit_intercept)

    def table(self, point: SummedPoint) -> tuple[np.ndarray, np.ndarray]:
        """A small table whose least squares are the model."""
        before = point.w[self.features, 0]
        cross = self.curvature @ before - self.slope
        return quadratic_table(self.curvature, cross, self.features, len(point.w))

    def shift(self, change: np.ndarray) -> np.ndarray:
        """(1,) change of the intercept that goes with a change (p, 1) of the coefficients."""
        return self.start - self.ones @ change[self.features]


def step_to(
    problem: SummedProblem, point: SummedPoint, w: np.ndarray, b: np.ndarray
) -> SummedPoint:
    """The new point, or one on the way to it that lowers the objective enough, or the old one."""
    penalty = problem.penalty  # not the point's: a path's point was made for another strength
    objective = point.loss + penalty.value(point.w)
    gain = float((point.gradient * (w - point.w)).sum()) + float(point.pull @ (b - point.b))
    gain += penalty.value(w) - penalty.value(point.w)
    new = SummedPoint(problem, w, b)
    # a gain too small for the objective to show is taken on the model's word
    is_tiny = abs(gain) <= _ROUNDING * abs(objective)
    if is_tiny or new.loss + penalty.value(w) <= objective + 1e-4 * gain:
        return new
    direction = At(problem.loss, *problem.design.to_public(w - point.w, b - point.b))
    losses = problem.X.reduce(sums.losses_along, point.at, direction, _STEPS)
    for step, loss in zip(_STEPS, losses / problem.spread.weight, strict=True):
        w_step = point.w + step * (w - point.w)
        if loss + penalty.value(w_step) <= objective + 1e-4 * step * gain:
            return SummedPoint(problem, w_step, point.b + step * (b - point.b))
    return point


def quadratic_table(
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
