"""Difference of powers: w = |u|^k - |v|^k."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Self

import numpy as np

from gossamer.core.factorisation import Factorisation, Factors, root_mean_square
from gossamer.core.validation import finite_number
from gossamer.factorisations.cells import array_like, sum_of_squares, unit_weights


@dataclass(frozen=True, eq=False)
class Difference(Factorisation):
    """``w = |u|^k - |v|^k`` with ``R = strength * (|u|^2 + |v|^2)``, which induces ``|w|^{2/k}``.

    For k = 2 the lasso. Unlike a product it moves through zero without a saddle: only one of the
    two factors vanishes there.

    Parameters
    ----------
    strength : float
    shape : of the weight
    power : k > 1
    weights : (size,), default None

    References
    ----------
    Woodworth et al. (2020), Kernel and rich regimes in overparametrized models.
    """

    strength: float
    shape: tuple[int, ...]
    power: float = 2.0
    weights: np.ndarray | None = None
    _known: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.power > 1:
            raise ValueError(f"Difference: power must be > 1, got {self.power}; 2 is the lasso.")
        finite_number(self.strength, "Difference: strength", 0.0)
        if self.weights is not None:
            unit_weights(self.weights, prod(self.shape), "Difference")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.shape, self.shape)

    def expand(self, factors: Factors) -> Any:
        u, v = self.as_factors(factors)
        if self.power == 2:
            return u * u - v * v
        return abs(u) ** self.power - abs(v) ** self.power

    def penalty(self, factors: Factors) -> Any:
        u, v = self.as_factors(factors)
        if self.weights is None:
            return self.strength * (sum_of_squares(u) + sum_of_squares(v))
        weights = np.asarray(self.weights, dtype=float).reshape(self.shape)
        return self.strength * (array_like(weights, u, self._known) * (u * u + v * v)).sum()

    @property
    def decay(self) -> tuple[float, ...] | None:
        return None if self.weights is not None else (2 * self.strength, 2 * self.strength)

    def value(self, w: np.ndarray) -> float:
        return float(self.penalty(self.balanced(w)))

    def balanced(self, w: np.ndarray) -> Factors:
        w = self.as_weight(w)
        return np.maximum(w, 0.0) ** (1 / self.power), np.maximum(-w, 0.0) ** (1 / self.power)

    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        w = self.as_weight(w)
        spread = root_mean_square(w) ** (1 / self.power) if spread is None else spread
        common = spread**self.power
        parts = (np.maximum(w, 0.0) + common, np.maximum(-w, 0.0) + common)
        return parts[0] ** (1 / self.power), parts[1] ** (1 / self.power)

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))
