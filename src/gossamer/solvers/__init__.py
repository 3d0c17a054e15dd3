"""Solvers: how the optimum is reached. One file an algorithm."""

from gossamer.solvers.choose import choose
from gossamer.solvers.clusters import ClusterNewton
from gossamer.solvers.duplicated import Duplicated
from gossamer.solvers.factorised import Factorised
from gossamer.solvers.proximal_gradient import ProximalGradient
from gossamer.solvers.working_set import ActiveSetNewton, CoordinateDescent

__all__ = [
    "ActiveSetNewton",
    "ClusterNewton",
    "CoordinateDescent",
    "Duplicated",
    "Factorised",
    "ProximalGradient",
    "choose",
]
