"""Solver: how the optimum is reached."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gossamer.core.errors import ConvergenceWarning, UnsupportedProblem
from gossamer.core.point import Point
from gossamer.core.result import Certificate, Result, Status
from gossamer.core.validation import finite_number

if TYPE_CHECKING:
    from gossamer.core.problem import Problem


@dataclass(frozen=True, eq=False)
class Outcome:
    """Where a run ended. A path starts the next strength from ``point``."""

    point: Point
    certificate: Certificate
    status: Status
    n_iter: int
    history: list[tuple[float, float]]


class Solver(ABC):
    """An algorithm over a :class:`Problem`, or the reason why it does not apply."""

    #: "auto" tries solvers from the lowest preference up and takes the first that accepts and suits
    preference: ClassVar[int]

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({arguments})"

    @abstractmethod
    def refuses(self, problem: Problem) -> str | None:
        """Why this solver cannot solve ``problem``; ``None`` when it can."""

    def suits(self, problem: Problem) -> bool:
        """Whether "auto" should take this solver for a problem that it accepts."""
        return True

    @abstractmethod
    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        """Solve from ``start``, in working coordinates."""

    def solve(
        self,
        problem: Problem,
        w0: np.ndarray | None = None,
        intercept0: np.ndarray | float | None = None,
        *,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ) -> Result:
        """Solve ``problem`` from ``w0`` until its certificate's value is at most ``tol``."""
        tol, max_iter = self.check(problem, tol, max_iter)
        outcome = self.run(problem, problem.start(w0, intercept0), tol, max_iter)
        result = self.conclude(problem, outcome)
        if result.status is not Status.CONVERGED:
            warn_unconverged(result)
        return result

    def check(self, problem: Problem, tol: float, max_iter: int) -> tuple[float, int]:
        """The tolerance and the limit, if they make sense and this solver takes the problem."""
        reason = self.refuses(problem)
        if reason is not None:
            raise UnsupportedProblem(
                f"{type(self).__name__} cannot solve this problem: {reason}. "
                "Omit solver= to let gossamer choose."
            )
        if not isinstance(max_iter, Integral) or max_iter < 1:
            raise ValueError(f"max_iter must be a whole number >= 1, got {max_iter!r}.")
        return finite_number(tol, "tol", 0.0), int(max_iter)

    def conclude(self, problem: Problem, outcome: Outcome) -> Result:
        """The result, for X as given."""
        coef, intercept = problem.finish(outcome.point.w, outcome.point.b)
        return Result(
            coef, intercept, outcome.certificate, outcome.status, outcome.n_iter,
            type(self).__name__, outcome.history,
        )  # fmt: skip


def warn_unconverged(result: Result) -> None:
    """Say how far a solver got that did not reach its tolerance."""
    certificate = result.certificate
    remedy = {
        Status.MAX_ITER: "Raise max_iter, or tol if this is close enough.",
        Status.TIME_LIMIT: "Raise time_limit, or tol if this is close enough.",
        Status.STALLED: "Raise tol, or start from a nearby solution, as a path does.",
        Status.INTERRUPTED: "Pass coef and intercept as a warm start to go on.",
    }[result.status]
    warnings.warn(
        f"{result.solver}: {result.status.value} (certificate {certificate.value:.1e} > tol "
        f"{certificate.tol:.1e} after {result.n_iter} iterations). {remedy}",
        ConvergenceWarning,
        stacklevel=4,
    )
