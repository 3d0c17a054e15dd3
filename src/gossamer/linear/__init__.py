"""Estimators for tables, the scikit-learn way."""

from gossamer.linear.adaptive import AdaptiveLasso, AdaptiveLassoCV
from gossamer.linear.additive import ShapeFunction, SparseAdditive, SparseAdditiveCV
from gossamer.linear.batches import parquet_batches
from gossamer.linear.concordance import concordance_index
from gossamer.linear.criteria import degrees_of_freedom
from gossamer.linear.encode import TableEncoder
from gossamer.linear.estimators import (
    ElasticNet,
    ElasticNetCV,
    GroupLasso,
    GroupLassoCV,
    Lasso,
    LassoCV,
    MCPRegressor,
    MCPRegressorCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    SCADRegressor,
    SCADRegressorCV,
    SparseGroupLasso,
    SparseGroupLassoCV,
    SparseLogistic,
    SparseLogisticCV,
    SparseModel,
    SparseModelCV,
    SparsePoisson,
    SparsePoissonCV,
)
from gossamer.linear.files import load, save
from gossamer.linear.inference import (
    DebiasedLasso,
    Knockoffs,
    MultiSplit,
    PostSelection,
    StabilitySelection,
)
from gossamer.linear.moments import Moments
from gossamer.linear.online import (
    FTRL,
    OnlineRidge,
    PrivateSparseRegression,
    SpikeSlab,
    ZeroImputedSGD,
)
from gossamer.linear.ordered_levels import OrderedLevels
from gossamer.linear.ordinal import SparseOrdinal, SparseOrdinalCV
from gossamer.linear.path import Path
from gossamer.linear.quantiles import SparseQuantile, SparseQuantileCV
from gossamer.linear.relaxed import RelaxedLasso, RelaxedLassoCV
from gossamer.linear.screening import MutualInformationScreening
from gossamer.linear.sketched_ridge import SketchedRidge, SketchedRidgeCV
from gossamer.linear.splines import SplineBasis
from gossamer.linear.square_root import SquareRootLasso
from gossamer.linear.subsets import BestSubset, BestSubsetCV
from gossamer.linear.survival import SparseCox, SparseCoxCV
from gossamer.linear.trend import TrendFilter, TrendFilterCV

__all__ = [
    "FTRL",
    "AdaptiveLasso",
    "AdaptiveLassoCV",
    "BestSubset",
    "BestSubsetCV",
    "DebiasedLasso",
    "ElasticNet",
    "ElasticNetCV",
    "GroupLasso",
    "GroupLassoCV",
    "Knockoffs",
    "Lasso",
    "LassoCV",
    "MCPRegressor",
    "MCPRegressorCV",
    "Moments",
    "MultiSplit",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "MutualInformationScreening",
    "OnlineRidge",
    "OrderedLevels",
    "Path",
    "PostSelection",
    "PrivateSparseRegression",
    "RelaxedLasso",
    "RelaxedLassoCV",
    "SCADRegressor",
    "SCADRegressorCV",
    "ShapeFunction",
    "SketchedRidge",
    "SketchedRidgeCV",
    "SparseAdditive",
    "SparseAdditiveCV",
    "SparseCox",
    "SparseCoxCV",
    "SparseGroupLasso",
    "SparseGroupLassoCV",
    "SparseLogistic",
    "SparseLogisticCV",
    "SparseModel",
    "SparseModelCV",
    "SparseOrdinal",
    "SparseOrdinalCV",
    "SparsePoisson",
    "SparsePoissonCV",
    "SparseQuantile",
    "SparseQuantileCV",
    "SpikeSlab",
    "SplineBasis",
    "SquareRootLasso",
    "StabilitySelection",
    "TableEncoder",
    "TrendFilter",
    "TrendFilterCV",
    "ZeroImputedSGD",
    "concordance_index",
    "degrees_of_freedom",
    "load",
    "parquet_batches",
    "save",
]
