"""Non-linear conjugate gradient on the residual of a proximal step, for any smooth loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.solvers.iterating import IterativeSolver, predicting, settled
from gossamer.solvers.proximal_gradient import backtrack

# objectives closer than this, relatively, are equal but for rounding
_ROUNDING = 1e-13


@SOLVERS.register
class ProximalConjugateGradient(IterativeSolver):
    r"""Conjugate directions of the proximal residual, searched exactly, no worse than its step.

    With :math:`\bar w = \operatorname{prox}_{t \Omega}(w - t \nabla f(w))` the residual
    :math:`r = \bar w - w` takes the place of the negative gradient. On the coefficients that
    :math:`\bar w` keeps, where the penalty has no kink,

    .. math:: d \leftarrow r + \beta d, \qquad
              \beta = \max\Bigl(0, \frac{r^\top (r_- - r)}{d^\top (r - r_-)}\Bigr)

    (Hestenes and Stiefel), the others are zero, and :math:`w + a d` is searched by a parabola of
    the objective. Where :math:`\bar w` itself is better, it is the next point, and the directions
    start afresh: the objective falls as that of proximal gradient does.

    References
    ----------
    Yang (2024), Contributions to robust and efficient methods for analysis of high dimensional
    data.
    Hamana and Narushima (2026), Proximal nonlinear conjugate gradient methods for composite
    optimization.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 300))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.1 * rng.standard_normal(80)
    >>> problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.MCP(0.3))
    >>> problem.solve("proximalconjugategradient").certificate.support
    array([3, 7])
    """

    preference = 23

    def refuses(self, problem: Problem) -> str | None:
        if not problem.loss.is_smooth:
            return f"{problem.loss!r} has kinks"
        if problem.penalty.unit_form(problem.shape) is None:
            return f"{problem.penalty!r} does not split by unit: its kinks are not at zeros only"
        return None

    def steps(self, problem: Problem, start: Point) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        point, step = start, 1.0
        residual = direction = np.zeros_like(start.w)
        while True:
            before = residual
            near, step = backtrack(problem, point, step)
            kept = near != 0
            residual = np.where(kept, near - point.w, 0.0) / step
            direction = np.where(kept, direction, 0.0)
            direction = residual + _conjugacy(residual, before, direction) * direction
            yield near, point.b
            line = _Line.of(problem, point, kept, direction)
            found = line.least((residual * direction).sum())
            plain = _valued(settled(problem, near, point.b))
            if found is None or not np.isfinite(found[1]) or _below(plain[1], found[1]):
                point, step, direction = plain[0], 1.5 * step, np.zeros_like(direction)
            else:
                point = found[0]


def _conjugacy(residual: np.ndarray, before: np.ndarray, direction: np.ndarray) -> float:
    """The share of the last direction that stays, none where that would not lead downhill."""
    change = before - residual
    along = (direction * change).sum()
    share = -(residual * change).sum() / along if along > 0 else 0.0
    downhill = (residual * (residual + share * direction)).sum() > 0
    return float(share) if share > 0 and downhill else 0.0


@dataclass(frozen=True, eq=False)
class _Line:
    """Points ``w + length * direction`` of a problem, and their predictions without a pass."""

    problem: Problem
    w: np.ndarray
    direction: np.ndarray
    z: np.ndarray
    change: np.ndarray
    b: np.ndarray
    curvature: float

    @classmethod
    def of(cls, problem: Problem, point: Point, kept: np.ndarray, direction: np.ndarray) -> _Line:
        w = np.where(kept, point.w, 0.0)
        z, change = problem.design.matvec(w), problem.design.matvec(direction)
        bend = problem.loss.curvature(point.z, problem.y) * problem.sample_weight[:, None]
        curvature = float((bend * change**2).sum())
        return cls(problem, w, direction, z, change, point.b, curvature)

    def at(self, length: float) -> tuple[Point, float]:
        w, z = self.w + length * self.direction, self.z + length * self.change
        return _valued(predicting(self.problem, w, z, self.b))

    def least(self, slope: float) -> tuple[Point, float] | None:
        """The point where a Newton step or a parabola through it is lowest, and its objective."""
        if not (slope > 0 and self.curvature > 0):
            return None
        with np.errstate(over="ignore", invalid="ignore"):  # of exponentials: too long a step
            length = slope / self.curvature
            base, newton = self.at(0.0), self.at(length)
            bend = 2 * (newton[1] - base[1] + slope * length)
            if not (np.isfinite(bend) and bend > 0):
                return newton
            parabola = self.at(slope * length**2 / bend)
        return parabola if _below(parabola[1], newton[1]) else newton


def _valued(point: Point) -> tuple[Point, float]:
    return point, point.loss + point.problem.penalty.value(point.w)


def _below(one: float, other: float) -> bool:
    """Whether an objective is less than another by more than rounding."""
    return one < other - _ROUNDING * abs(other)
