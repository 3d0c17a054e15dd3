"""A smooth form with a ridge on the weight it makes: the elastic net."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from gossamer.core.factorisation import Factorisation, Factors
from gossamer.factorisations.cells import array_like


@dataclass(frozen=True, eq=False)
class Ridged(Factorisation):
    """``R = R_base(factors) + strength * ridge / 2 * sum_i a_i w_i^2``.

    Parameters
    ----------
    base : Factorisation
    ridge : float, relative to the strength of the base
    weights : (size,) array, default None
        a, one an entry.
    """

    base: Factorisation
    ridge: float
    weights: np.ndarray | None = None
    _known: dict = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.base.shape

    @property
    def strength(self) -> float:  # type: ignore[override]
        return self.base.strength

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return self.base.shapes

    def expand(self, factors: Factors) -> Any:
        return self.base.expand(factors)

    def penalty(self, factors: Factors) -> Any:
        return self.base.penalty(factors) + self._ridge(self.base.expand(factors))

    def _ridge(self, w: Any) -> Any:
        squares = w * w
        if self.weights is not None:
            weights = np.asarray(self.weights, dtype=float).reshape(self.shape)
            squares = squares * array_like(weights, w, self._known)
        return self.strength * self.ridge / 2 * squares.sum()

    def value(self, w: np.ndarray) -> float:
        return self.base.value(w) + float(self._ridge(self.as_weight(w)))

    def balanced(self, w: np.ndarray) -> Factors:
        return self.base.balanced(w)

    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        return self.base.start(w, spread)

    def with_strength(self, strength: float) -> Self:
        return replace(self, base=self.base.with_strength(strength))
