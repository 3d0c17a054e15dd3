"""Solver: how the optimum is reached."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from gossamer.core.errors import ConvergenceWarning, UnsupportedProblem
from gossamer.core.result import Result, Status
from gossamer.core.validation import finite_number

if TYPE_CHECKING:
    from gossamer.core.problem import Problem


class Solver(ABC):
    """An algorithm over a :class:`Problem`, or the reason why it does not apply."""

    #: "auto" tries solvers from the lowest preference up and takes the first that accepts
    preference: ClassVar[int]

    @abstractmethod
    def refuses(self, problem: Problem) -> str | None:
        """Why this solver cannot solve ``problem``; ``None`` when it can."""

    @abstractmethod
    def run(
        self, problem: Problem, w: np.ndarray, b: np.ndarray, tol: float, max_iter: int
    ) -> Result:
        """Solve from the working coordinates ``w`` (p, K) and ``b`` (K,)."""

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
        reason = self.refuses(problem)
        if reason is not None:
            raise UnsupportedProblem(
                f"{type(self).__name__} cannot solve this problem: {reason}. "
                "Omit solver= to let gossamer choose."
            )
        tol = finite_number(tol, "tol", 0.0)
        if max_iter < 1:
            raise ValueError(f"max_iter must be >= 1, got {max_iter}.")
        w, b = problem.start(w0, intercept0)
        result = self.run(problem, w, b, tol, int(max_iter))
        if result.status is not Status.CONVERGED:
            warn_unconverged(result)
        return result


def warn_unconverged(result: Result) -> None:
    """Say how far a solver got that did not reach its tolerance."""
    certificate = result.certificate
    remedy = {
        Status.MAX_ITER: "Raise max_iter, or tol if this is close enough.",
        Status.STALLED: "Raise tol: this is as far as the data's rounding allows.",
        Status.INTERRUPTED: "Pass coef and intercept as a warm start to go on.",
    }[result.status]
    warnings.warn(
        f"{result.solver}: {result.status.value} (certificate {certificate.value:.1e} > tol "
        f"{certificate.tol:.1e} after {result.n_iter} iterations). {remedy}",
        ConvergenceWarning,
        stacklevel=4,
    )
