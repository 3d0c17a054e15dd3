"""Estimators for tables, the scikit-learn way."""

from gossamer.linear.batches import parquet_batches
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
from gossamer.linear.moments import Moments
from gossamer.linear.path import Path
from gossamer.linear.sketched_ridge import SketchedRidge, SketchedRidgeCV

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "GroupLasso",
    "GroupLassoCV",
    "Lasso",
    "LassoCV",
    "MCPRegressor",
    "MCPRegressorCV",
    "Moments",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "Path",
    "SCADRegressor",
    "SCADRegressorCV",
    "SketchedRidge",
    "SketchedRidgeCV",
    "SparseGroupLasso",
    "SparseGroupLassoCV",
    "SparseLogistic",
    "SparseLogisticCV",
    "SparseModel",
    "SparseModelCV",
    "SparsePoisson",
    "SparsePoissonCV",
    "TableEncoder",
    "load",
    "parquet_batches",
    "save",
]
