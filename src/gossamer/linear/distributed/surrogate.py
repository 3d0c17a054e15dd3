"""Best subsets of rows in parts: one part searches, all parts correct it by their gradients."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np

from gossamer.core.budget import Budget
from gossamer.core.certificate import certify
from gossamer.core.errors import ConvergenceWarning
from gossamer.core.penalty import Penalty
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.linear.distributed import part as sums
from gossamer.linear.distributed.newton import QuadraticModel, quadratic_table, step_to
from gossamer.linear.distributed.part import At, Frame, Part
from gossamer.linear.distributed.problem import SummedPoint, SummedProblem
from gossamer.losses import Quadratic

_STEPS = 50  # of Newton's method on a support
_ROUNDING = 16 * np.finfo(float).eps
_RIDGE = 1e-6  # of the mean curvature of a part, which may have fewer rows than columns


class SurrogateSplicing(Solver):
    r"""Best subset by splicing on a surrogate likelihood, O(p) numbers a round.

    .. math:: \tilde L(w) = \tfrac12 (w - \bar w)^\top H_1 (w - \bar w)
        + \langle \nabla L(\bar w), w \rangle, \quad \|w\|_0 \le k

    The first part knows its own curvature :math:`H_1` at the current point; of all parts it is told
    the gradient. It splices the surrogate and answers with k coefficients. Those are then refined
    on their support by Newton steps over all parts, k x k numbers each, and the next round begins
    there, until the support repeats. Support and coefficients are those of the pooled fit once the
    curvature of the part is near that of all rows; the certificate says how stationary they are,
    not that no exchange of features would help.

    References
    ----------
    Jordan, Lee and Yang (2019), Communication-efficient distributed statistical inference.
    Minimax and communication-efficient distributed best subset selection with oracle property: the
    two stages, a search on the surrogate and a refinement on the support.
    """

    preference: ClassVar[int] = 1

    def refuses(self, problem: Problem) -> str | None:
        if not isinstance(problem, SummedProblem):
            return "its rows are in one array"
        if not isinstance(problem.penalty, Budget):
            return f"{problem.penalty!r} is not a budget of units such as AtMost(10)"
        return None

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        assert isinstance(problem, SummedProblem) and isinstance(start, SummedPoint)
        begun, history = time.perf_counter(), []
        point, seen = start, set()
        best, status, n_iter = start, Status.MAX_ITER, 0
        for n_iter in range(1, max_iter + 1):
            support = self._spliced(problem, point)
            point = self._refined(problem, support)
            if _objective(problem, point) < _objective(problem, best) or n_iter == 1:
                best = point
            history.append((time.perf_counter() - begun, _objective(problem, best)))
            if support.tobytes() in seen:
                status = Status.CONVERGED
                break
            seen.add(support.tobytes())
        # exchanges of units would need the columns: stationarity is what is judged
        certificate = replace(certify(problem, best, -1.0).certificate, tol=tol)
        if status is Status.CONVERGED and not certificate.holds:
            status = Status.STALLED
        return Outcome(best, certificate, status, n_iter, history)

    def _spliced(self, problem: SummedProblem, point: SummedPoint) -> np.ndarray:
        """Features that the first part selects, (k,)."""
        frame = problem.design.frame(np.arange(len(point.w)))
        found: np.ndarray = problem.X.ask_one(
            _splice, point.at, frame, point.w, point.gradient, point.pull, problem.penalty,
            problem.fit_intercept,
        )  # fmt: skip
        return found

    def _refined(self, problem: SummedProblem, support: np.ndarray) -> SummedPoint:
        """The optimum of all rows on a support, from the null model."""
        point, ridge = problem.null, problem.penalty.ridge  # type: ignore[attr-defined]
        for _ in range(_STEPS if support.size else 0):
            model = QuadraticModel.at(problem, point, support)
            curvature = model.curvature + ridge * np.eye(len(support))
            slope = model.slope + ridge * point.w[support, 0]
            change = np.zeros_like(point.w)
            change[support, 0] = -np.linalg.lstsq(curvature, slope, rcond=None)[0]
            new = step_to(problem, point, point.w + change, point.b + model.shift(change))
            if new is point:
                break
            gain, point = float(-slope @ change[support, 0]), new
            if gain <= _ROUNDING * point.loss:
                break
        return point.centred()


def _splice(
    part: Part, at: At, frame: Frame, w: np.ndarray, gradient: np.ndarray, pull: np.ndarray,
    penalty: Penalty, intercept: bool,
) -> np.ndarray:  # fmt: skip
    """On the part: the features of the best subset of its own curvature and the given gradient."""
    gram = sums.gram_sums(part, at, frame, 0.0) / part.sample_weight.sum()
    diagonal = np.einsum("ii->i", gram)[:-1]
    diagonal += _RIDGE * diagonal.mean()
    model = QuadraticModel.of(gram, frame.features, gradient, pull, intercept)
    cross = model.curvature @ w[:, 0] - model.slope
    X, y = quadratic_table(model.curvature, cross, frame.features, len(w))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        coef = Problem(X, y, Quadratic(), penalty, fit_intercept=False).solve().coef
    return np.flatnonzero(coef)


def _objective(problem: SummedProblem, point: SummedPoint) -> float:
    return point.loss + problem.penalty.value(point.w)
