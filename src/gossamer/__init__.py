"""gossamer: one library for sparse learning.

Say *what* should be sparse, *how*, and *in which model*; gossamer returns the optimum with a
certificate of how far from optimal it can be.

>>> import gossamer as gs
>>> gs.L1(0.1)
L1(strength=0.1)
"""

from gossamer._lazy import lazy

__version__ = "0.1.0"

_ROOMS = (
    "losses",
    "penalties",
    "structures",
    "solvers",
    "linear",
    "nn",
    "runtime",
    "report",
    "testing",
)

_HOMES = {
    "core": ("Problem", "Result", "Certificate", "ConvergenceWarning", "UnsupportedProblem"),
    "structures": (
        "Blocks",
        "Channels",
        "Elements",
        "FanIn",
        "Groups",
        "Heads",
        "Layers",
        "NofM",
        "Rows",
        "Spectrum",
    ),
    "penalties": (
        "L1",
        "ElasticNet",
        "Lq",
        "Gates",
        "Overlaps",
        "MCP",
        "SCAD",
        "LogSum",
        "GroupEnvelope",
        "L0",
        "AtMost",
        "SLOPE",
        "Fused",
        "Bounds",
        "Exclusive",
        "Tree",
        "L1Ball",
    ),
    "linear": (
        "AdaptiveLasso",
        "AdaptiveLassoCV",
        "Lasso",
        "LassoCV",
        "ElasticNetCV",
        "GroupLasso",
        "GroupLassoCV",
        "SparseGroupLasso",
        "SparseGroupLassoCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "MCPRegressor",
        "MCPRegressorCV",
        "RelaxedLasso",
        "RelaxedLassoCV",
        "SCADRegressor",
        "SCADRegressorCV",
        "SparseLogistic",
        "SparseLogisticCV",
        "SparsePoisson",
        "SparsePoissonCV",
        "SparseOrdinal",
        "SparseOrdinalCV",
        "SparseQuantile",
        "SparseQuantileCV",
        "SparseCox",
        "SparseCoxCV",
        "SquareRootLasso",
        "SparseModel",
        "SparseModelCV",
        "BestSubset",
        "BestSubsetCV",
        "SparseAdditive",
        "SparseAdditiveCV",
        "SplineBasis",
        "StabilitySelection",
        "Knockoffs",
        "DebiasedLasso",
        "PostSelection",
        "MultiSplit",
        "FTRL",
        "PrivateSparseRegression",
        "SpikeSlab",
        "ZeroImputedSGD",
        "TableEncoder",
        "OrderedLevels",
        "TrendFilter",
        "TrendFilterCV",
        "save",
        "load",
    ),
    "runtime": ("compile",),
}

__getattr__, __dir__, __all__ = lazy(__name__, _HOMES, _ROOMS)
__all__ += ["__version__"]
