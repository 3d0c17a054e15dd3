"""Choice of a solver: the first that accepts and suits."""

from __future__ import annotations

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.solver import Solver
from gossamer.solvers.multipliers import MethodOfMultipliers
from gossamer.solvers.proximal_gradient import ProximalGradient
from gossamer.solvers.working_set import ActiveSetNewton

# they ask for the least: what they refuse stands in the way, and not that a penalty is no budget
_GENERAL = (ProximalGradient, MethodOfMultipliers, ActiveSetNewton)


def choose(problem: Problem, name: str = "auto") -> Solver:
    """The solver called ``name``, or for "auto" the first registered one that accepts and suits.

    Raises
    ------
    UnsupportedProblem
        When none does; the message holds the reasons of the most general ones, and the remedy.
    """
    if not isinstance(name, str):
        raise TypeError(f"solver must be a name or a Solver, got {name!r}.")
    if name != "auto":
        return SOLVERS[name]()
    for kind in sorted(SOLVERS, key=lambda solver: solver.preference):
        solver = kind()
        if solver.refuses(problem) is None and solver.suits(problem):
            return solver
    refusals = (kind().refuses(problem) for kind in _GENERAL)
    reasons = "; ".join(dict.fromkeys(reason for reason in refusals if reason is not None))
    raise UnsupportedProblem(
        f"no solver accepts this problem: {reasons}. Smooth losses, such as Huber(), go with every "
        "penalty."
    )
