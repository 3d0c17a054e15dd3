"""Ordered levels as steps: neighbours that are alike share an effect, effects may only rise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data


@dataclass(eq=False, repr=False)
class OrderedLevels(TransformerMixin, BaseEstimator):
    r"""Columns of ordered levels as columns of steps: is it at least this level?

    A coefficient of a step is what the effect rises by there, and an effect is a running sum of
    steps. So an L1 on the steps merges neighbouring levels (a fused lasso), and
    ``nonnegative=True`` makes effects rise with the level, both with any model and at full
    speed. :class:`gossamer.Bounds` asks it of some columns only.

    Parameters
    ----------
    levels : sequence of sequences, default None
        The levels of each column, lowest first. By default the sorted distinct numbers of it.

    Attributes
    ----------
    levels_ : list of arrays

    Raises
    ------
    ValueError
        When a column has a value that is not among its given levels.

    References
    ----------
    Gertheiss and Tutz (2010), Sparse modeling of categorial explanatory variables.

    Examples
    --------
    >>> coder = OrderedLevels(levels=[["low", "mid", "high"]])
    >>> coder.fit_transform([["mid"], ["low"], ["high"]])
    array([[1., 0.],
           [0., 0.],
           [1., 1.]])
    >>> coder.effects([0.5, 2.0])
    [array([0. , 0.5, 2.5])]
    """

    levels: Any = None

    def fit(self, X: Any, y: Any = None) -> OrderedLevels:
        X = self._checked(X, reset=True)
        if self.levels is None:
            self.levels_ = [np.unique(column) for column in X.T]
            return self
        if len(self.levels) != X.shape[1]:
            raise ValueError(
                f"levels has {len(self.levels)} entries, but X has {X.shape[1]} columns."
            )
        self.levels_ = [np.asarray(given) for given in self.levels]
        for j, given in enumerate(self.levels_):
            if len(np.unique(given)) < len(given) or not len(given):
                raise ValueError(f"levels of column {j} are empty or have a level twice.")
        self._ranks(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """(n, n_steps) ones and zeros, one column for each level but the lowest."""
        check_is_fitted(self, "levels_")
        ranks = self._ranks(self._checked(X, reset=False))
        parts = [
            rank[:, None] > np.arange(len(known) - 1)
            for rank, known in zip(ranks, self.levels_, strict=True)
        ]
        return np.concatenate(parts, axis=1).astype(float)

    def effects(self, coef: Sequence[float] | np.ndarray) -> list[np.ndarray]:
        """The effect of every level of each column, the lowest being zero."""
        check_is_fitted(self, "levels_")
        counts = [len(known) - 1 for known in self.levels_]
        steps = np.asarray(coef, dtype=float)
        if steps.shape != (sum(counts),):
            raise ValueError(f"coef must have {sum(counts)} entries, got shape {steps.shape}.")
        parts = np.split(steps, np.cumsum(counts)[:-1])
        return [np.concatenate([[0.0], np.cumsum(part)]) for part in parts]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        check_is_fitted(self, "levels_")
        names = _check_feature_names_in(self, input_features)
        return np.array(
            [
                f"{name}>={level}"
                for name, known in zip(names, self.levels_, strict=True)
                for level in known[1:]
            ],
            dtype=object,
        )

    def _checked(self, X: Any, *, reset: bool) -> np.ndarray:
        kind = np.float64 if self.levels is None else None
        X = validate_data(self, X, dtype=kind, reset=reset)
        return np.asarray(X)

    def _ranks(self, X: np.ndarray) -> list[np.ndarray]:
        """How many levels each value is above the lowest; a number between two is the lower one."""
        if self.levels is None:
            return [
                np.searchsorted(known, column, side="right") - 1
                for known, column in zip(self.levels_, X.T, strict=True)
            ]
        ranks = []
        for j, (known, column) in enumerate(zip(self.levels_, X.T, strict=True)):
            place = {level: rank for rank, level in enumerate(known.tolist())}
            unknown = [value for value in column.tolist() if value not in place]
            if unknown:
                raise ValueError(
                    f"column {j} has the value {unknown[0]!r}, which is not among its levels "
                    f"{known.tolist()}."
                )
            ranks.append(np.array([place[value] for value in column.tolist()]))
        return ranks
