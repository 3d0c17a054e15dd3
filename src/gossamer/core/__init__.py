"""Protocols, problems, results and certificates."""

from gossamer.core.errors import ConvergenceWarning, ModelFileError, UnsupportedProblem
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.problem import Problem
from gossamer.core.result import Certificate, Result, Status
from gossamer.core.solver import Solver
from gossamer.core.structure import Structure

__all__ = [
    "Certificate",
    "ConvergenceWarning",
    "Loss",
    "ModelFileError",
    "Penalty",
    "Problem",
    "Result",
    "Solver",
    "Status",
    "Structure",
    "UnitPenalty",
    "UnsupportedProblem",
]
