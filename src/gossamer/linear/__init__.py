"""Estimators for tables, the scikit-learn way."""

from gossamer._lazy import lazy

# Each name is imported at its first use: a lasso needs neither bandits nor knockoffs.
_HOMES = {
    "adaptive": (
        "AdaptiveLasso",
        "AdaptiveLassoCV",
    ),
    "additive": (
        "ShapeFunction",
        "SparseAdditive",
        "SparseAdditiveCV",
    ),
    "batches": ("parquet_batches",),
    "concordance": ("concordance_index",),
    "criteria": ("degrees_of_freedom",),
    "encode": ("TableEncoder",),
    "estimators": (
        "ElasticNet",
        "ElasticNetCV",
        "GroupLasso",
        "GroupLassoCV",
        "Lasso",
        "LassoCV",
        "MCPRegressor",
        "MCPRegressorCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "SCADRegressor",
        "SCADRegressorCV",
        "SparseGroupLasso",
        "SparseGroupLassoCV",
        "SparseLogistic",
        "SparseLogisticCV",
        "SparseModel",
        "SparseModelCV",
        "SparsePoisson",
        "SparsePoissonCV",
    ),
    "files": (
        "load",
        "save",
    ),
    "inference": (
        "DebiasedLasso",
        "Knockoffs",
        "MultiSplit",
        "PostSelection",
        "StabilitySelection",
    ),
    "moments": ("Moments",),
    "online": (
        "FTRL",
        "OnlineRidge",
        "PrivateSparseRegression",
        "SpikeSlab",
        "ZeroImputedSGD",
    ),
    "ordered_levels": ("OrderedLevels",),
    "ordinal": (
        "SparseOrdinal",
        "SparseOrdinalCV",
    ),
    "path": ("Path",),
    "quantiles": (
        "SparseQuantile",
        "SparseQuantileCV",
    ),
    "relaxed": (
        "RelaxedLasso",
        "RelaxedLassoCV",
    ),
    "screening": ("MutualInformationScreening",),
    "sketched_ridge": (
        "SketchedRidge",
        "SketchedRidgeCV",
    ),
    "splines": ("SplineBasis",),
    "square_root": ("SquareRootLasso",),
    "subsets": (
        "BestSubset",
        "BestSubsetCV",
    ),
    "survival": (
        "SparseCox",
        "SparseCoxCV",
    ),
    "trend": (
        "TrendFilter",
        "TrendFilterCV",
    ),
}

__getattr__, __dir__, __all__ = lazy(__name__, _HOMES, ("distributed", "inference", "online"))
