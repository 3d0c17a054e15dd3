"""The fused lasso on a chain as a lasso on its steps."""

from __future__ import annotations

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.solver import Outcome, Solver
from gossamer.penalties import L1, Fused
from gossamer.solvers.working_set import ActiveSetNewton


@SOLVERS.register
class ChainSteps(Solver):
    r"""Change of variables: coefficients are running sums of their steps.

    With :math:`w = L\theta` the variation is an L1 on all steps but the first, which is free, and
    the columns of :math:`XL` are sums of columns of X from one on to the last: an ordinary
    lasso, solved by :class:`ActiveSetNewton` and certified as the problem it stands for.

    References
    ----------
    Harchaoui and Levy-Leduc (2010), Multiple change-point estimation with a total variation
    penalty.
    """

    preference = 3

    def refuses(self, problem: Problem) -> str | None:
        penalty = problem.penalty
        if not isinstance(penalty, Fused) or penalty.edges is not None or penalty.sparsity:
            return f"{penalty!r} is no variation along a chain alone"
        if problem.design.is_operator:
            return "X is a LinearOperator and has no columns"
        return ActiveSetNewton().refuses(problem.with_penalty(L1(penalty.strength)))

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        lasso = _lasso(problem)
        theta = np.diff(start.w, axis=0, prepend=0.0)
        # the certificates are of one gap, but for the rounding of the sums
        outcome = ActiveSetNewton().run(
            lasso, Point(lasso, theta, self._shifted(lasso, theta, start)), 0.9 * tol, max_iter
        )
        w = np.cumsum(outcome.point.w, axis=0)
        b = problem.best_intercept(problem.design.matvec(w), outcome.point.b)
        evaluation = certify(problem, Point(problem, w, b), tol)
        return Outcome(
            evaluation.point, evaluation.certificate, outcome.status, outcome.n_iter,
            outcome.history,
        )  # fmt: skip

    @staticmethod
    def _shifted(lasso: Problem, theta: np.ndarray, start: Point) -> np.ndarray:
        return lasso.best_intercept(lasso.design.matvec(theta), start.b)


def _lasso(problem: Problem) -> Problem:
    """The problem in the steps."""
    X = problem.X.toarray() if problem.design.is_sparse else problem.X
    if problem.design.scale is not None:
        X = X / problem.design.scale
    sums = np.cumsum(X[:, ::-1], axis=1, dtype=float)[:, ::-1]
    weights = np.ones(sums.shape[1] * problem.shape[1])
    weights[: problem.shape[1]] = 0.0
    return Problem(
        np.asfortranarray(sums), problem.y, problem.loss,
        L1(problem.penalty.strength, weights=weights), problem.fit_intercept,
        problem.sample_weight, problem.offset,
    )  # fmt: skip
