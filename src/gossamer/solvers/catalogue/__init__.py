"""First-order methods of the textbooks on budgets of size, each with the rate it is proven to have.

They run a fixed number of iterations and return a :class:`Trace`: for learning and for comparison.
``Problem.solve`` takes other methods.
"""

from gossamer.solvers.catalogue.cutting_planes import kelley, level
from gossamer.solvers.catalogue.ellipsoid import ellipsoid
from gossamer.solvers.catalogue.fista import fista
from gossamer.solvers.catalogue.frank_wolfe import away_steps, frank_wolfe
from gossamer.solvers.catalogue.mirror_descent import mirror_descent
from gossamer.solvers.catalogue.mirror_prox import mirror_prox
from gossamer.solvers.catalogue.trace import Trace

__all__ = [
    "Trace",
    "away_steps",
    "ellipsoid",
    "fista",
    "frank_wolfe",
    "kelley",
    "level",
    "mirror_descent",
    "mirror_prox",
]
