"""From an estimator and rows in parts to the problem that it states, and to its folds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import validate_data

from gossamer.core.problem import Problem
from gossamer.linear.batches import ParquetBatches, unpacked
from gossamer.linear.distributed import part as sums
from gossamer.linear.distributed.cluster import labels_of, partitions_of
from gossamer.linear.distributed.part import At, Part, make_part
from gossamer.linear.distributed.partitions import ChosenRows, InFold, Partitions, ReadParts
from gossamer.linear.distributed.problem import SummedProblem
from gossamer.linear.folds import Fold
from gossamer.linear.moments import Moments, merged

if TYPE_CHECKING:
    from gossamer.linear.base import SparseLinearModel


def parts_of_dask(
    model: SparseLinearModel, X: Any, y: Any, sample_weight: Any, offset: Any
) -> Partitions:
    """The blocks of dask collections, kept on the workers."""
    if y is None:
        raise ValueError("y is None: an estimator needs a target.")
    if len(X.shape) != 2:
        raise ValueError(f"X must be 2-D (n samples, p features), got {len(X.shape)} dimensions.")
    model.n_features_in_ = int(X.shape[1])
    model.__dict__.pop("feature_names_in_", None)
    if hasattr(X, "columns"):
        model.feature_names_in_ = np.array([str(name) for name in X.columns], dtype=object)
    model._is_column = np.ndim(y) == 2
    classes = _remember(model, labels_of(y)) if model._loss(2).classifies else None
    loss = model._loss(model._n_classes())
    return partitions_of(X, y, sample_weight, offset, loss, classes)


def parts_of_batches(model: SparseLinearModel, batches: Iterable[Any]) -> Partitions:
    """Batches that are read anew for every question; a first pass checks them."""
    if iter(batches) is batches:
        raise ValueError(
            "batches can be read once only, and this loss needs several passes: give "
            "linear.parquet_batches, a list, or an object whose __iter__ begins anew."
        )
    classifies, labels, n_columns = model._loss(2).classifies, [], 0
    for number, (X, y, _) in enumerate(unpacked(batches)):
        X, y = validate_data(
            model, X, y, dtype=(np.float64, np.float32), y_numeric=not classifies,
            ensure_min_samples=1, reset=number == 0,
        )  # fmt: skip
        n_columns = X.shape[1]
        if classifies:
            labels.append(np.unique(y))
    if not n_columns:
        raise ValueError("batches gave no rows.")
    if isinstance(batches, ParquetBatches):
        model.feature_names_in_ = np.array(batches.feature_names, dtype=object)
    model._is_column = False
    classes = _remember(model, np.unique(np.concatenate(labels))) if classifies else None
    loss = model._loss(model._n_classes())
    return ReadParts(batches, partial(_part_of_batch, loss=loss, classes=classes), n_columns, 1)


def _part_of_batch(batch: tuple[Any, ...], loss: Any, classes: Any) -> Part:
    X, y, sample_weight = (*batch, None)[:3]
    return make_part(X, y, sample_weight, None, loss, classes)


def _remember(model: SparseLinearModel, classes: np.ndarray) -> np.ndarray:
    model.classes_ = classes
    if len(classes) < 2:
        raise ValueError(
            f"y has one class only, {classes.tolist()}: a classifier needs samples of at least two."
        )
    return classes


def problem_of_parts(model: SparseLinearModel, parts: Partitions, strength: float) -> Problem:
    """Stated with the moments of all rows where those say all, with sums over parts otherwise."""
    if model._has_moments():
        (moments,) = moments_by_fold(parts, 1)
        return model._problem_of_moments(moments, strength)
    return SummedProblem(
        parts, None, model._loss(model._n_classes()), model._resolved_penalty(strength),
        model.fit_intercept, standardise=model.standardise,
    )  # fmt: skip


def moments_by_fold(parts: Partitions, n_folds: int) -> list[Moments]:
    """The moments of the rows dealt out to each fold, in one pass."""
    found: list[Moments] = parts.reduce(sums.fold_moments, n_folds, combine=_merged_folds)
    return found


def _merged_folds(answers: list[list[Moments]]) -> list[Moments]:
    return [merged(list(of_fold)) for of_fold in zip(*answers, strict=True)]


class FoldOfParts(Fold):
    """The same parts with rows that are not trained on weighted zero."""

    def __init__(self, problem: SummedProblem, fold: InFold) -> None:
        self.problem, self.fold = problem, fold
        self.held_out = ChosenRows(problem.X, replace(fold, held_out=True))
        self.weight = float(self.held_out.reduce(sums.weight_of))
        if not 0 < self.weight < problem.spread.weight:
            raise ValueError(f"cv={fold.n_folds} folds need a row of positive weight each.")

    def split(self) -> tuple[Problem, HeldOutParts]:
        whole = self.problem
        training = SummedProblem(
            ChosenRows(whole.X, self.fold), None, whole.loss, whole.penalty, whole.fit_intercept,
            standardise=whole.standardise,
        )  # fmt: skip
        return training, HeldOutParts(whole, self.held_out, self.weight)


@dataclass(frozen=True, eq=False)
class HeldOutParts:
    """Rows that judge a model where they are."""

    problem: SummedProblem
    parts: Partitions
    weight: float

    def mean_loss(self, coef: np.ndarray, intercept: Any) -> float:
        """Weighted mean loss at coefficients (p, K)."""
        c = np.broadcast_to(np.ravel(intercept).astype(float), coef.shape[1:])
        value: float = self.parts.reduce(sums.loss_value, At(self.problem.loss, coef, c))
        return value / self.weight
