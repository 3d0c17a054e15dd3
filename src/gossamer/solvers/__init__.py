"""Solvers: how the optimum is reached. One file an algorithm."""

from gossamer.solvers import catalogue
from gossamer.solvers.bounded import ActiveBounds
from gossamer.solvers.branch_and_bound import BranchAndBound
from gossamer.solvers.chain import ChainSteps
from gossamer.solvers.choose import choose
from gossamer.solvers.clusters import ClusterNewton
from gossamer.solvers.coder import ACODER
from gossamer.solvers.conjugate_gradient import ProximalConjugateGradient
from gossamer.solvers.cosamp import CoSaMP
from gossamer.solvers.damped_gradient import DampedGradient
from gossamer.solvers.duplicated import Duplicated
from gossamer.solvers.factorised import Factorised
from gossamer.solvers.foba import FoBa
from gossamer.solvers.fractional import sparse_ratio
from gossamer.solvers.greedy_blocks import GreedyBlocks
from gossamer.solvers.iht import IHT
from gossamer.solvers.local_search import LocalSearch
from gossamer.solvers.multipliers import MethodOfMultipliers
from gossamer.solvers.omp import OMP
from gossamer.solvers.proximal_gradient import ProximalGradient
from gossamer.solvers.sampled_coder import VRACODER
from gossamer.solvers.splicing import Splicing
from gossamer.solvers.working_set import ActiveSetNewton, CoordinateDescent

__all__ = [
    "ACODER",
    "IHT",
    "OMP",
    "VRACODER",
    "ActiveBounds",
    "ActiveSetNewton",
    "BranchAndBound",
    "ChainSteps",
    "ClusterNewton",
    "CoSaMP",
    "CoordinateDescent",
    "DampedGradient",
    "Duplicated",
    "Factorised",
    "FoBa",
    "GreedyBlocks",
    "LocalSearch",
    "MethodOfMultipliers",
    "ProximalConjugateGradient",
    "ProximalGradient",
    "Splicing",
    "catalogue",
    "choose",
    "sparse_ratio",
]
