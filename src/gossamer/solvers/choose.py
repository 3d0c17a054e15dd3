"""Choice of a solver: the first that does not refuse."""

from __future__ import annotations

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.solver import Solver


def choose(problem: Problem, name: str = "auto") -> Solver:
    """The solver called ``name``, or for "auto" the first registered one that accepts.

    Raises
    ------
    UnsupportedProblem
        When every solver refuses; the message holds each one's reason.
    """
    if not isinstance(name, str):
        raise TypeError(f"solver must be a name or a Solver, got {name!r}.")
    if name != "auto":
        return SOLVERS[name]()
    reasons = []
    for kind in sorted(SOLVERS, key=lambda solver: solver.preference):
        solver = kind()
        reason = solver.refuses(problem)
        if reason is None:
            return solver
        reasons.append(f"{kind.__name__}: {reason}")
    raise UnsupportedProblem("no solver accepts this problem. " + "; ".join(reasons))
