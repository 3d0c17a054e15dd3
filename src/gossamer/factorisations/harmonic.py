r"""Harmonic gates: sums of group norms, whether or not the groups overlap.

w_i = u_i / sqrt( sum_{g with i} lambda_g / gamma_g^2 ),
R   = 1/2 |u|^2 + 1/2 sum_g lambda_g gamma_g^2,       inducing  sum_g lambda_g |w_g|_2
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from gossamer.core.factorisation import Factorisation, Factors, root_mean_square
from gossamer.core.validation import finite_number
from gossamer.factorisations.cells import (
    Cells,
    array_like,
    gate_shape,
    sum_of_squares,
    unit_weights,
)

# keeps the gradient finite where a gate is zero: its fourth power must not vanish in float32
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Harmonic(Factorisation):
    """The exact smooth form of a sum of group norms: sparse-group, hierarchical, overlapping.

    Parameters
    ----------
    strength : float
    levels : partitions of the entries, e.g. single entries and groups
    weights : one array (n_cells,) a level, of lambda
        Zero leaves a cell out; entries that are in no other are free.

    References
    ----------
    Bach, Jenatton, Mairal and Obozinski (2012), Optimization with sparsity-inducing penalties,
    section 5 (variational form of group norms). Poon and Peyre (2022), Smooth over-parameterized
    solvers for non-smooth structured optimization.

    Examples
    --------
    >>> from gossamer.penalties import L1
    >>> from gossamer.structures import Groups
    >>> penalty = L1(0.5) + L1(2.0, on=Groups([0, 0, 1]))
    >>> w = np.array([3.0, -4.0, 1.0])
    >>> form = penalty.factorise((3,))
    >>> form.value(w), penalty.value(w)
    (16.0, 16.0)
    """

    strength: float
    levels: tuple[Cells, ...]
    weights: tuple[np.ndarray, ...]
    _known: dict = field(default_factory=dict, repr=False)
    _free: np.ndarray | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.levels or len(self.levels) != len(self.weights):
            raise ValueError(
                f"Harmonic: one array of weights is needed for each level, got {len(self.levels)} "
                f"levels and {len(self.weights)} arrays."
            )
        finite_number(self.strength, "Harmonic: strength", 0.0)
        checked = (
            unit_weights(weights, cells.count, "Harmonic")
            for cells, weights in zip(self.levels, self.weights, strict=True)
        )
        object.__setattr__(self, "weights", tuple(checked))
        # now, as a compiler of tensors cannot branch on what it is yet to compute
        object.__setattr__(self, "_free", self._free_entries())

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.levels[0].shape

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.shape, *(gate_shape(cells) for cells in self.levels))

    def expand(self, factors: Factors) -> Any:
        u, *gates = self.as_factors(factors)
        free = self._free_like(u)
        rate: Any = 0.0 if free is None else free
        for number, (cells, gate) in enumerate(zip(self.levels, gates, strict=True)):
            rate = rate + cells.spread(self._weights(number, gate) / (gate * gate + _TINY**2))
        return u / rate**0.5

    def penalty(self, factors: Factors) -> Any:
        u, *gates = self.as_factors(factors)
        free = self._free_like(u)
        total = sum_of_squares(u) if free is None else ((1 - free) * u * u).sum()
        for number, gate in enumerate(gates):
            total = total + (self._weights(number, gate) * gate * gate).sum()
        return self.strength / 2 * total

    def _free_entries(self) -> np.ndarray | None:
        """One where an entry is in no cell of positive weight, zero elsewhere; None without any."""
        pairs = zip(self.levels, self.weights, strict=True)
        covered = sum(cells.spread(weights) for cells, weights in pairs)
        free = np.asarray(covered) == 0
        return free.astype(float) if free.any() else None

    def _free_like(self, u: Any) -> Any:
        if self._free is None:
            return None
        return array_like(self._free, u, self._known.setdefault("free", {}))

    def _weights(self, number: int, gate: Any) -> Any:
        weights = self.weights[number].reshape(gate.shape)
        return array_like(weights, gate, self._known.setdefault(number, {}))

    def shares(self, factors: Factors) -> Any:
        return self.strength * factors[0] * factors[0]

    def value(self, w: np.ndarray) -> float:
        squares = np.square(self.as_weight(w))
        norms = [np.sqrt(np.ravel(cells.sums(squares))) for cells in self.levels]
        pairs = zip(self.weights, norms, strict=True)
        return self.strength * float(sum(np.ravel(a) @ norm for a, norm in pairs))

    def balanced(self, w: np.ndarray) -> Factors:
        return self.start(w, 0.0)

    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        w = self.as_weight(w)
        spread = root_mean_square(w) ** 0.5 if spread is None else spread
        squares = np.square(w)
        gates = []
        for cells in self.levels:
            norms = np.sqrt(cells.sums(squares))
            gates.append(np.sqrt(norms + spread**2).reshape(gate_shape(cells)))
        gain = self.expand((np.ones(self.shape), *gates))
        return (np.where(w == 0, 0.0, w / np.where(gain > 0, gain, 1.0)), *gates)

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))
