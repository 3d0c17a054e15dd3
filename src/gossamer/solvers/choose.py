"""Choice of a solver: the first that accepts and suits."""

from __future__ import annotations

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.solver import Solver


def choose(problem: Problem, name: str = "auto") -> Solver:
    """The solver called ``name``, or for "auto" the first registered one that accepts and suits.

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
        if reason is None and solver.suits(problem):
            return solver
        reasons.append(f"{kind.__name__}: {reason or 'not the best choice, ask for it by name'}")
    raise UnsupportedProblem("no solver accepts this problem. " + "; ".join(reasons))
