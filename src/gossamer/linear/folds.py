"""Folds of cross-validation: what each trains on, and the held-out samples that judge it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.problem import Problem
from gossamer.linear.base import Rows
from gossamer.linear.moments import Moments, merged

Split: TypeAlias = tuple[np.ndarray, ...]  # row numbers of training and of held-out samples
TrainingAndHeldOut: TypeAlias = tuple[Moments, Moments]

# joint parts of all folds up to which one pass over the rows serves all of them
_MAX_PARTS = 100
_TRAINING, _HELD_OUT = 1, 2


class Judge(Protocol):
    """Held-out samples, wherever they are."""

    def mean_loss(self, coef: np.ndarray, intercept: Any) -> float:
        """Weighted mean loss at coefficients (p, K)."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Samples that judge a model; their weights sum to one."""

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray
    offset: Any
    loss: Loss

    def mean_loss(self, coef: np.ndarray, intercept: Any) -> float:
        """Weighted mean loss at coefficients (p, K)."""
        return float(self.sample_weight @ self.loss.value(self._linear(coef, intercept), self.y))

    def _linear(self, coef: np.ndarray, intercept: Any) -> np.ndarray:
        alive = np.flatnonzero(coef.any(axis=1))
        return np.asarray(self.X[:, alive] @ coef[alive]) + intercept + self.offset


@dataclass(frozen=True, eq=False)
class HeldOutAmongOthers(HeldOut):
    """Samples that are judged by what they add to the loss of the training samples.

    X, y, sample_weight and offset are those of all samples.

    trained, training_weight : loss and weights, summing to one, of the training samples.
    share : of all weight that is held out.

    References
    ----------
    Verweij and van Houwelingen (1993), Cross-validation in survival analysis.
    """

    trained: Loss
    training_weight: np.ndarray
    share: float

    def mean_loss(self, coef: np.ndarray, intercept: Any) -> float:
        z = self._linear(coef, intercept)
        whole = self.sample_weight @ self.loss.value(z, self.y)
        training = self.training_weight @ self.trained.value(z, self.y)
        return float((whole - (1 - self.share) * training) / self.share)


class Fold(ABC):
    """One fold; its data are made when it is its turn."""

    weight: float  # sum of the weights held out

    @abstractmethod
    def split(self) -> tuple[Problem, Judge]:
        """The problem to be trained, and the judge."""


class FoldOfRows(Fold):
    """The same X with all but the training samples weighted zero: nothing is copied."""

    def __init__(self, problem: Problem, split: Split) -> None:
        self.problem, (self.training, self.held_out) = problem, split
        self.weight = float(problem.sample_weight[self.held_out].sum())

    def split(self) -> tuple[Problem, HeldOut]:
        problem, rows = self.problem, self.held_out
        weights = np.zeros(len(problem.sample_weight))
        weights[self.training] = problem.sample_weight[self.training]
        training = problem.with_weights(weights)
        if problem.loss.comparative:
            return training, HeldOutAmongOthers(
                problem.X, problem.y, problem.sample_weight, _or_zero(problem.offset),
                problem.loss, training.loss, training.sample_weight, self.weight,
            )  # fmt: skip
        X = problem.X[rows] if isinstance(problem.X, np.ndarray) else problem.X.tocsr()[rows]
        share, y = problem.sample_weight[rows] / self.weight, problem.y[rows]
        offset = _or_zero(None if problem.offset is None else problem.offset[rows])
        return training, HeldOut(X, y, share, offset, problem.loss.bind(y, share))


def _or_zero(offset: np.ndarray | None) -> Any:
    return 0.0 if offset is None else offset


class FoldOfMoments(Fold):
    """Moments of the training and of the held-out samples, stated like the whole problem."""

    def __init__(self, problem: Problem, training: Moments, held_out: Moments) -> None:
        self.problem, self.training, self.held_out = problem, training, held_out
        self.weight = held_out.weight

    def split(self) -> tuple[Problem, HeldOut]:
        whole = self.problem
        training = self.training.problem(
            whole.penalty, fit_intercept=whole.fit_intercept, standardise=whole.standardise
        )
        X, y = self.held_out.table()
        return training, HeldOut(X, y, np.full(len(y), 1 / len(y)), 0.0, whole.loss)


def moments_of_splits(rows: Rows, splits: list[Split]) -> tuple[Moments, list[TrainingAndHeldOut]]:
    """The moments of all samples, and of the training and the held-out ones of every split.

    Samples that share their fate in all splits are one part, read once.
    """
    part_of, fates = _parts(len(rows.y), splits)
    if len(fates) > _MAX_PARTS and len(splits) > 1:
        alone = [moments_of_splits(rows, [split]) for split in splits]
        return alone[0][0], [pairs[0] for _, pairs in alone]
    parts = rows.moments_by_part(part_of, len(fates))

    def met(fates_of_parts: np.ndarray, fate: int) -> Moments:
        return merged([parts[i] for i in np.flatnonzero(fates_of_parts & fate)])

    pairs = [(met(of_split, _TRAINING), met(of_split, _HELD_OUT)) for of_split in fates.T]
    return merged(parts), pairs


def _parts(n: int, splits: list[Split]) -> tuple[np.ndarray, np.ndarray]:
    """(n,) part of each sample, and (n_parts, n_splits) the fate of each part in each split."""
    part_of, fates = np.zeros(n, dtype=np.intp), np.zeros((1, 0), dtype=int)
    for training, held_out in splits:
        fate = np.zeros(n, dtype=np.intp)
        fate[training] += _TRAINING
        fate[held_out] += _HELD_OUT
        code = 4 * part_of + fate
        present = np.flatnonzero(np.bincount(code))
        number = np.zeros(present[-1] + 1, dtype=np.intp)
        number[present] = np.arange(len(present))
        part_of = number[code]
        fates = np.column_stack([fates[present // 4], present % 4])
    return part_of, fates
