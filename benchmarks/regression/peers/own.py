"""gossamer itself, on one thread and on two."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.regression.peers.base import Peer
from benchmarks.regression.problems import Problem

LOSSES = {"quadratic": "Quadratic", "logistic": "Logistic", "poisson": "Poisson"}


def as_problem(problem: Problem, strength: float) -> Any:
    """The same problem in gossamer's words."""
    import gossamer as gs

    on: Any = gs.Elements()
    if problem.penalty == "group":
        on = gs.Groups(np.arange(problem.X.shape[1]) // problem.group_size)
    elif problem.penalty == "rows":
        on = gs.Rows()
    if problem.penalty == "mcp":
        penalty = gs.MCP(strength, gamma=problem.gamma)
    elif problem.penalty == "scad":
        penalty = gs.SCAD(strength, gamma=problem.gamma)
    else:
        penalty = gs.L1(strength, on=on)
    loss = getattr(gs.losses, LOSSES[problem.loss])()
    return gs.Problem(problem.X, problem.y, loss, penalty, fit_intercept=False)


class Gossamer(Peer):
    name = "gossamer"
    module = distribution = "gossamer"

    def load(self) -> None:
        from gossamer import Lasso  # noqa: F401 - the package is lazy: this imports what fits

    def solve(self, problem: Problem, data: Any, tol: float) -> Any:
        n, p = problem.X.shape
        if n > 1000 * p and not problem.is_path:  # where estimators solve on second moments
            import gossamer as gs

            return (
                gs.Lasso(problem.strengths[-1], fit_intercept=False, tol=tol)
                .fit(problem.X, problem.y)
                .coef_
            )
        stated = as_problem(problem, problem.strengths[-1])
        if not problem.is_path:
            return stated.solve(tol=tol).coef
        from gossamer.linear.path import solve_path

        return solve_path(stated, problem.strengths, tol=tol).coefs


class GossamerTwoThreads(Gossamer):
    name = "gossamer, 2 threads"
    threads = 2
