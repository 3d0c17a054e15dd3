"""Factorisation: the smooth form of a penalty.

A weight is written as a function of *factors*, and the penalty as a smooth function of them:

    Omega(w) = min { R(factors) : expand(factors) = w }

so that ``min_w loss(w) + Omega(w)`` and ``min_factors loss(expand(factors)) + R(factors)`` have the
same minima, and the second can be left to any gradient method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

Factors = tuple[Any, ...]


class Factorisation(ABC):
    """The smooth form of a penalty for one weight of a known shape.

    :meth:`expand` and :meth:`penalty` are formulas: they run on numpy arrays and on torch tensors
    alike. The other methods are for numpy.

    Attributes
    ----------
    shape : of the weight
    strength : float, a factor of the penalty
    """

    shape: tuple[int, ...]
    strength: float

    @property
    @abstractmethod
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the factors."""

    @abstractmethod
    def expand(self, factors: Factors) -> Any:
        """The weight that the factors make."""

    @abstractmethod
    def penalty(self, factors: Factors) -> Any:
        """R(factors): smooth, and at least the induced penalty of the weight they make."""

    @property
    def decay(self) -> tuple[float, ...] | None:
        """Rates c with R = 1/2 sum_d c_d |f_d|^2: what weight decay each factor would need.

        ``None`` when R is not a plain ridge.
        """
        return None

    def shares(self, factors: Factors) -> Any:
        """What each entry of the weight adds to the penalty, judged by its own factor.

        At balance all levels of factors hold the same part of the penalty, and these add up to it.
        """
        raise NotImplementedError(f"{type(self).__name__} has no shares of entries.")

    @abstractmethod
    def value(self, w: np.ndarray) -> float:
        """Omega(w): the induced penalty, the least R of all factors of ``w``."""

    @abstractmethod
    def balanced(self, w: np.ndarray) -> Factors:
        """Factors of ``w`` of least penalty."""

    @abstractmethod
    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        """Factors of ``w`` to start training from.

        Balanced factors cannot move a weight through zero, nor away from it: there all gradients
        vanish. These are out of balance by ``spread``, in the unit of a factor, so that every
        weight feels its gradient and can change sign; training balances them.
        By default the spread is what balances a weight of root-mean-square size.
        """

    @abstractmethod
    def with_strength(self, strength: float) -> Self:
        """The same form of a penalty of another strength."""

    def as_weight(self, w: np.ndarray) -> np.ndarray:
        """``w`` as floats; refused unless it has the shape that this form is for."""
        w = np.asarray(w, dtype=float)
        if w.shape != tuple(self.shape):
            raise ValueError(
                f"w has shape {w.shape}, but this smooth form is for weights of shape "
                f"{tuple(self.shape)}: make one for the other shape."
            )
        return w

    def as_factors(self, factors: Factors) -> Factors:
        """``factors``, refused unless their number and shapes are those of this form."""
        given = tuple(tuple(factor.shape) for factor in factors)
        if given != self.shapes:
            raise ValueError(
                f"factors have shapes {given}, but this smooth form has factors of shapes "
                f"{self.shapes}: start(w) and balanced(w) make them."
            )
        return factors

    def excess(self, factors: Factors) -> float:
        """R(factors) minus the induced penalty: how far the factors are from balance, >= 0."""
        return float(self.penalty(factors)) - self.value(np.asarray(self.expand(factors)))

    def collapse(self, factors: Factors, atol: float = 0.0) -> np.ndarray:
        """The plain weight, entries of modulus at most ``atol`` set to zero."""
        w = np.asarray(self.expand(factors))
        return np.where(np.abs(w) <= atol, 0.0, w)


def root_mean_square(w: np.ndarray) -> float:
    """Of the entries of ``w``; one where all are zero."""
    size = float(np.sqrt(np.mean(np.square(w)))) if w.size else 0.0
    return size or 1.0
