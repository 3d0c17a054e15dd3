"""A problem whose rows never meet: objective, gradient and certificate are sums over parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import lsq_linear

from gossamer.core import validation
from gossamer.core.design import Design
from gossamer.core.dual import Dual
from gossamer.core.errors import UnsupportedProblem
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.solver import Solver
from gossamer.linear.distributed import part as sums
from gossamer.linear.distributed.part import At, Frame, LossSums, Spread

_ROUNDS = 50  # at most, of Newton's method for the intercept
_HALVINGS = 40


class SummedDesign(Design):
    """Centers and scales of columns that are elsewhere."""

    def __init__(self, spread: Spread, *, center: bool, standardise: bool) -> None:
        self.shape = (spread.count, len(spread.mean))
        self.is_sparse = self.is_operator = False
        self.center = spread.mean if center else None
        self.scale = None
        if standardise:
            squares = spread.squares / spread.weight + (0.0 if center else spread.mean**2)
            constant = squares <= (1e-7 * np.abs(spread.mean)) ** 2 + np.finfo(float).tiny
            self.scale = np.where(constant, 1.0, np.sqrt(squares))

    def frame(self, features: np.ndarray) -> Frame:
        """Some working columns, for those who have the rows."""
        zeros, ones = np.zeros(len(features)), np.ones(len(features))
        center = zeros if self.center is None else self.center[features]
        return Frame(features, center, ones if self.scale is None else self.scale[features])


@dataclass(frozen=True, eq=False)
class SummedProblem(Problem):
    """A :class:`Problem` whose ``X`` are `Partitions`, which hold targets and weights as well.

    What is of the length of the rows stays with them; this object sees (p, K) arrays.
    """

    def __post_init__(self) -> None:
        if self.loss.joint or self.loss.coupled or self.X.n_outputs > 1:
            raise UnsupportedProblem(
                f"rows in parts that never meet are fitted with losses that are sums over rows of "
                f"one output, not with {self.loss!r} of {self.X.n_outputs} outputs. Fit a sample "
                "that is in one array."
            )
        self.penalty.unit_form(self.shape)

    @property
    def shape(self) -> tuple[int, int]:
        return self.X.n_features, self.X.n_outputs

    @cached_property
    def spread(self) -> Spread:
        """Weight, number of rows, means and squares."""
        spread: Spread = self.X.reduce(sums.spread)
        if not spread.weight:
            raise ValueError("sample_weight is zero for all rows.")
        return spread

    @cached_property
    def design(self) -> SummedDesign:
        return SummedDesign(self.spread, center=self.fit_intercept, standardise=self.standardise)

    def at(self, w: np.ndarray, b: np.ndarray) -> At:
        """Working coordinates as the parts take them."""
        return At(self.loss, *self.design.to_public(w, b))

    def point(self, coef: np.ndarray, intercept: Any = 0.0) -> SummedPoint:
        w = validation.coefficients(coef, self.shape, "coef")
        b = np.broadcast_to(np.ravel(intercept).astype(float), self.shape[1:])
        return SummedPoint(self, *self.design.to_working(w, b))

    def start(self, w0: Any = None, intercept0: Any = None) -> SummedPoint:
        null = self.null
        if w0 is None:
            return null
        point = self.point(w0, 0.0 if intercept0 is None else intercept0)
        if intercept0 is None:
            point = point.centred()
        with np.errstate(over="ignore", invalid="ignore"):
            objective = point.loss + self.penalty.value(point.w)
        worse = self.penalty.convex and objective > self.null_objective
        return null if worse or not np.isfinite(objective) else point

    def solver(self, name: str | Solver = "auto") -> Solver:
        from gossamer.linear.distributed.newton import SummedNewton
        from gossamer.linear.distributed.surrogate import SurrogateSplicing

        own: tuple[Solver, ...] = (SummedNewton(), SurrogateSplicing())
        if isinstance(name, SummedNewton | SurrogateSplicing):
            return name
        for solver in own:
            asked = name == "auto" or str(name).lower() == type(solver).__name__.lower()
            if asked and (name != "auto" or solver.refuses(self) is None):
                return solver
        reasons = "; ".join(f"{type(solver).__name__}: {solver.refuses(self)}" for solver in own)
        raise UnsupportedProblem(
            f"no solver {name!r} for rows in parts ({reasons}). Leave solver='auto', or fit rows "
            "in one array."
        )

    # -- the model without features ----------------------------------------------------------------
    @cached_property
    def null(self) -> SummedPoint:
        """The model without features."""
        null = SummedPoint(self, np.zeros(self.shape), np.zeros(self.shape[1])).centred()
        if np.abs(null.pull).max() > 1e-3 * null.peak:
            raise ValueError(
                f"y has no finite intercept under {self.loss!r}: it is zero everywhere, or of one "
                "class only."
            )
        return null

    @cached_property
    def null_intercept(self) -> np.ndarray:
        return self.null.b

    @cached_property
    def null_gradient(self) -> np.ndarray:
        return self.null.gradient

    @cached_property
    def null_objective(self) -> float:
        return self.null.loss


class SummedPoint(Point):
    """A point, and what the parts say of it, asked when needed."""

    problem: SummedProblem

    @cached_property
    def at(self) -> At:
        return self.problem.at(self.w, self.b)

    @cached_property
    def sums(self) -> LossSums:
        """Means over the rows."""
        with np.errstate(over="ignore", invalid="ignore"):
            found: LossSums = self.problem.X.reduce(sums.loss_sums, self.at)
        weight = self.problem.spread.weight
        return LossSums(found.value / weight, found.pull / weight, found.bend / weight, found.peak)

    @cached_property
    def loss(self) -> float:
        return self.sums.value

    @cached_property
    def pull(self) -> np.ndarray:
        return self.sums.pull if self.problem.fit_intercept else np.zeros(self.w.shape[1])

    def gram(self, features: np.ndarray, extra: float) -> np.ndarray:
        """(f + 1, f + 1) of some columns and ones, weighted by curvature plus ``extra``."""
        problem, frame = self.problem, self.problem.design.frame(features)
        total: np.ndarray = problem.X.reduce(sums.gram_sums, self.at, frame, extra)
        return total / problem.spread.weight

    def curvature_among(self, at: np.ndarray) -> np.ndarray:
        gram = self.gram(at, 0.0)
        ones = gram[:-1, -1] / gram[-1, -1] * self.problem.fit_intercept
        return gram[:-1, :-1] - np.outer(ones, gram[:-1, -1])

    @cached_property
    def peak(self) -> float:
        return self.sums.peak

    @cached_property
    def gradient(self) -> np.ndarray:
        found = self.problem.X.reduce(sums.gradient_sums, self.at) / self.problem.spread.weight
        return self._working(found[:-1], found[-1])

    @property
    def dual_gradient(self) -> np.ndarray:
        # working columns are centred wherever there is an intercept
        return self.gradient

    def _working(self, of_features: np.ndarray, of_ones: np.ndarray) -> np.ndarray:
        design = self.problem.design
        if design.center is not None:
            of_features = of_features - np.outer(design.center, of_ones)
        return of_features if design.scale is None else of_features / design.scale[:, None]

    @cached_property
    def curvatures(self) -> np.ndarray:
        frame = self.problem.design.frame(np.arange(len(self.w)))
        found: np.ndarray = self.problem.X.reduce(sums.square_sums, self.at, frame)
        return found / self.problem.spread.weight

    def dual(self, free: np.ndarray) -> Dual:
        problem, weight = self.problem, self.problem.spread.weight
        features = np.flatnonzero(free.any(axis=1))
        frame = problem.design.frame(features)
        shift, gradient = np.vstack([np.zeros((len(features), 1)), self.pull]), self.gradient
        if features.size:
            shift = self._shift_of_free(frame)
            cross = self._cross(frame) @ shift
            gradient = np.where(free, 0.0, gradient - cross)

        def conjugate(scale: float) -> float:
            arguments = (self.at, scale, frame, shift)
            value: float = problem.X.reduce(sums.conjugate_sums, *arguments)
            return value / weight

        return Dual(gradient, conjugate)

    def _shift_of_free(self, frame: Frame) -> np.ndarray:
        """(f + 1, 1) fit of unpenalised columns and ones to the residuals."""
        problem = self.problem
        gram = problem.X.reduce(sums.gram_sums, None, frame, 0.0) / problem.spread.weight
        right = np.append(self.gradient[frame.features, 0], self.pull)
        form = problem.penalty.unit_form(self.w.shape)
        top = np.full(len(right), 0.0 if form is not None and form.nonnegative else np.inf)
        top[-1] = np.inf
        used = np.arange(len(right) - (not problem.fit_intercept))
        shift = np.zeros(len(right))
        if np.isfinite(top[used]).any():
            values, vectors = np.linalg.eigh(gram[np.ix_(used, used)])
            root = np.sqrt(np.maximum(values, 1e-14 * values[-1]))
            left = root[:, None] * vectors.T
            shift[used] = lsq_linear(
                left, vectors.T @ right[used] / root, (-np.inf, top[used]), method="bvls"
            ).x
        else:
            shift[used] = np.linalg.lstsq(gram[np.ix_(used, used)], right[used], rcond=None)[0]
        return shift[:, None]

    def _cross(self, frame: Frame) -> np.ndarray:
        """(p, f + 1) products of all working columns with those of a frame and with ones."""
        problem = self.problem
        every = problem.design.frame(np.arange(len(self.w)))
        gram = problem.X.reduce(sums.gram_sums, None, every, 0.0) / problem.spread.weight
        at = np.append(frame.features, len(self.w))
        cross: np.ndarray = gram[:-1][:, at]
        return cross

    def centred(self) -> SummedPoint:
        """The same coefficients with the optimal intercept, by damped Newton steps."""
        point = self
        for _ in range(_ROUNDS if self.problem.fit_intercept else 0):
            if point.is_centred:
                break
            reach = 1.0 + point.peak
            step = point.pull / np.maximum(point.sums.bend, 1e-12 + 1e-3 * abs(point.pull) / reach)
            better = point._moved(step)
            if better is None:
                break
            point = better
        return point

    def _moved(self, step: np.ndarray) -> SummedPoint | None:
        """The point after a step of the intercept that does not raise the loss."""
        for _ in range(_HALVINGS):
            moved = SummedPoint(self.problem, self.w, self.b - step)
            slack = 1e-15 * abs(self.loss)
            if moved.loss <= self.loss + slack and (moved.b != self.b).any():
                return moved if moved.loss < self.loss or _is_calmer(moved, self) else None
            step = step / 2
        return None


def _is_calmer(new: SummedPoint, old: SummedPoint) -> bool:
    return float(np.abs(new.pull).max()) < float(np.abs(old.pull).max())
