r"""Products of factors: Hadamard powers, gates on units, gates on nested or crossing units.

    w = f_1^{m_1} f_2^{m_2} ... f_L^{m_L},     R = strength / k * sum_l m_l |f_l|^2,   k = sum_l m_l

where a factor has one number a cell of its level, spread over the cell. By the inequality of
arithmetic and geometric means, minimising over all but the product gives for one level of single
entries ``|w|^{2/k}``, and for a level of units of total power ``k - M`` above it

    sum_u ( sum_{i in u} |w_i|^{2/M} )^{M/k}

and so on up a hierarchy. Crossing levels have no closed form; the minimum is a geometric program,
convex in the logarithms of the gates, and is found by cyclic minimisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np

from gossamer.core.factorisation import Factorisation, Factors, root_mean_square
from gossamer.core.validation import finite_number
from gossamer.factorisations.cells import (
    Cells,
    array_like,
    cell_sizes,
    gate_shape,
    nest,
    sum_of_squares,
    unit_weights,
)

_SWEEPS = 10_000
# the least share of the spread, in the unit of the weight, that a start leaves to any entry
_FLOOR = 1e-3


@dataclass(frozen=True)
class Level:
    """A factor with one number a cell, entering with a power."""

    cells: Cells
    power: float = 1.0


@dataclass(frozen=True, eq=False)
class Product(Factorisation):
    """A weight as a product of factors on several levels.

    Parameters
    ----------
    strength : float
    levels : of the factors; the first has single entries and carries the sign
        Levels of nested cells, from the finest to the coarsest, have a closed form.
    weights : (n_units,), default None
        Of the cells of the coarsest level; they multiply the penalty. For nested levels only.
    nonnegative : bool
        The leading factor is squared, the others enter by modulus.

    References
    ----------
    Hoff (2017), Lasso, fractional norm and structured sparse estimation using a Hadamard product
    parametrization. Kolb, Mueller, Bischl and Ruegamer (2023), Smoothing the edges. Kolb, Weber,
    Bischl and Ruegamer (2025), Deep weight factorization. Kolb, Frost, Bischl and Ruegamer (2025),
    Differentiable sparsity via D-gating.

    Examples
    --------
    The lasso as a product of two factors; balanced factors attain the penalty:

    >>> from gossamer.penalties import L1
    >>> form = L1(0.5).factorise((2,))
    >>> w = np.array([4.0, -1.0])
    >>> u, v = form.balanced(w)
    >>> u, v
    (array([ 2., -1.]), array([2., 1.]))
    >>> float(form.penalty((u, v))), form.value(w)
    (2.5, 2.5)
    """

    strength: float
    levels: tuple[Level, ...]
    weights: np.ndarray | None = None
    nonnegative: bool = False
    _known: dict = field(default_factory=dict, repr=False)
    _level_weights: list[np.ndarray] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.levels or not self.levels[0].cells.is_full:
            raise ValueError("Product: the first level must have single entries as cells.")
        powers = [level.power for level in self.levels]
        if any(power <= 0 for power in powers) or sum(powers) <= 1:
            raise ValueError(f"Product: powers must be > 0 and add up to > 1, got {powers}.")
        finite_number(self.strength, "Product: strength", 0.0)
        if self.weights is not None:
            unit_weights(self.weights, self.levels[-1].cells.count, "Product")
            if not self.is_nested:
                raise ValueError("Product: crossing levels take no weights: leave weights=None.")
            # now, as a compiler of tensors cannot
            object.__setattr__(self, "_level_weights", self._weights_of_levels())

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.levels[0].cells.shape

    @property
    def depth(self) -> float:
        """k, the total power; the induced penalty grows as the power 2/k of the weight."""
        return sum(level.power for level in self.levels)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(gate_shape(level.cells) for level in self.levels)

    @cached_property
    def is_nested(self) -> bool:
        """Whether every level's cells are unions of those before it."""
        cells = [level.cells for level in self.levels]
        return all(nest(a, b) for a, b in pairwise(cells))

    # -- the formulas ------------------------------------------------------------------------------
    def expand(self, factors: Factors) -> Any:
        factors = self.as_factors(factors)
        first = self.levels[0].power
        if self.nonnegative:
            w = abs(factors[0]) ** (2 * first if self._is_squared else first)
        else:
            w = factors[0] if first == 1 else factors[0] * abs(factors[0]) ** (first - 1)
        for level, f in zip(self.levels[1:], factors[1:], strict=True):
            # an odd power of a gate keeps its sign, which the leading factor makes up for
            f = f if level.power == 1 else _power(f, level.power)
            w = level.cells.scale(w, abs(f) if self.nonnegative else f)
        return w

    def penalty(self, factors: Factors) -> Any:
        total = 0.0
        factors = self.as_factors(factors)
        for number, (level, f) in enumerate(zip(self.levels, factors, strict=True)):
            f = f * f if number == 0 and self._is_squared else f
            if self.weights is None:
                squares = sum_of_squares(f)
            else:
                weights = array_like(self._level_weights[number], f, self._tensors(number))
                squares = (weights * f * f).sum()
            total = total + level.power * squares
        return self.strength / self.depth * total

    def shares(self, factors: Factors) -> Any:
        squares = factors[0] * factors[0]
        squares = squares * squares if self._is_squared else squares
        if self.weights is not None:
            weights = self._level_weights[0]
            squares = squares * array_like(weights, squares, self._tensors(0))
        return self.strength * squares

    @property
    def decay(self) -> tuple[float, ...] | None:
        if self.weights is not None or self._is_squared:
            return None
        return tuple(2 * self.strength * level.power / self.depth for level in self.levels)

    @property
    def _is_squared(self) -> bool:
        # a leading factor with a power of its own is smooth by itself
        return self.nonnegative and self.levels[0].power == 1

    def _weights_of_levels(self) -> list[np.ndarray]:
        """The units' weights, for the factors of every level."""
        spread = self.levels[-1].cells.spread(np.asarray(self.weights, dtype=float))
        found = []
        for level, shape in zip(self.levels, self.shapes, strict=True):
            found.append((level.cells.sums(spread) / cell_sizes(level.cells)).reshape(shape))
        return found

    def _tensors(self, number: int) -> dict:
        return self._known.setdefault(number, {})

    # -- what follows from them --------------------------------------------------------------------
    def value(self, w: np.ndarray) -> float:
        w = self.as_weight(w)
        if self.nonnegative and (w < 0).any():
            return np.inf
        return float(self.penalty(self._with_sign(w, self._moduli(w))))

    def balanced(self, w: np.ndarray) -> Factors:
        w = self.as_weight(w)
        return self._with_sign(self._allowed(w), self._moduli(w))

    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        w = self._allowed(self.as_weight(w))
        if spread is None:
            spread = root_mean_square(w) ** (1 / self.depth)
        moduli = self._moduli(w)
        gates = [np.sqrt(f * f + spread * spread) for f in moduli[1:]]
        scale = np.ones(self.shape)
        for level, gate in zip(self.levels[1:], gates, strict=True):
            scale = level.cells.scale(scale, gate**level.power)
        power = self.levels[0].power
        # balanced factors of zero are all zero
        leading = np.divide(np.abs(w), scale, out=np.zeros(self.shape), where=scale > 0)
        leading **= 1 / power
        if power != 1 or self.nonnegative:
            # a power of itself is flat at zero
            leading = np.maximum(leading, _FLOOR ** (1 / power) * spread)
        return self._with_sign(w, [leading, *gates])

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))

    def _allowed(self, w: np.ndarray) -> np.ndarray:
        return np.maximum(w, 0.0) if self.nonnegative else w

    def _with_sign(self, w: np.ndarray, moduli: list[np.ndarray]) -> Factors:
        leading = np.sqrt(moduli[0]) if self._is_squared else moduli[0]
        sign = np.where(w < 0, -1.0, 1.0)
        return (leading * sign, *moduli[1:])

    def _moduli(self, w: np.ndarray) -> list[np.ndarray]:
        """Moduli of the factors of least penalty."""
        moduli = self._nested_moduli(w) if self.is_nested else self._crossing_moduli(w)
        return [f.reshape(shape) for f, shape in zip(moduli, self.shapes, strict=True)]

    def _nested_moduli(self, w: np.ndarray) -> list[np.ndarray]:
        if all(level.cells.is_full for level in self.levels):
            # factors of one entry cost least where they are equal
            return [np.abs(w) ** (1 / self.depth) for _ in self.levels]
        power = self.levels[0].power
        squares = [np.abs(w) ** (2 / power)]  # of each level's factors, were it the coarsest
        powers = [power]
        for level in self.levels[1:]:
            below = _mean_over_cells(self.levels[len(squares) - 1].cells, squares[-1])
            power += level.power
            squares.append(level.cells.sums(below) ** (powers[-1] / power))
            powers.append(power)
        return self._descend(squares, powers)

    def _descend(self, squares: list[np.ndarray], powers: list[float]) -> list[np.ndarray]:
        """From the coarsest level down: a factor's square given the product of those above."""
        above = np.ones(self.shape)
        moduli = []
        for level, square, power in zip(
            reversed(self.levels), reversed(squares), reversed(powers), strict=True
        ):
            shared = level.cells.sums(above) / cell_sizes(level.cells)
            alive = shared > 0
            inverse = np.where(alive, np.where(alive, shared, 1.0) ** (-2 / power), 0.0)
            modulus = np.sqrt(np.ravel(square) * np.ravel(inverse))
            moduli.append(modulus)
            above = level.cells.scale(above, modulus**level.power)
        return moduli[::-1]

    def _crossing_moduli(self, w: np.ndarray) -> list[np.ndarray]:
        power = self.levels[0].power
        gates = [np.where(level.cells.sums(np.abs(w)) > 0, 1.0, 0.0) for level in self.levels[1:]]
        for _ in range(_SWEEPS):
            change = 0.0
            for number, level in enumerate(self.levels[1:]):
                rest = self._leading(w, gates, without=number)
                square = level.cells.sums(rest ** (2 / power)) ** (power / (power + level.power))
                new = np.sqrt(square)
                change = max(change, float(np.abs(new - gates[number]).max(initial=0.0)))
                gates[number] = new
            if change <= 1e-13 * max(float(gate.max(initial=0.0)) for gate in gates):
                break
        return [self._leading(w, gates) ** (1 / power), *gates]

    def _leading(
        self, w: np.ndarray, gates: list[np.ndarray], without: int | None = None
    ) -> np.ndarray:
        """What the gates, or all but one of them, leave to the other factors."""
        scale = np.ones(self.shape)
        for number, (level, gate) in enumerate(zip(self.levels[1:], gates, strict=True)):
            if number != without:
                scale = level.cells.scale(scale, gate**level.power)
        return np.divide(np.abs(w), scale, out=np.zeros(self.shape), where=scale > 0)


def _power(f: Any, power: float) -> Any:
    """``f ** power`` for whole powers, which are much faster, else that of the modulus."""
    return f ** int(power) if power == int(power) else abs(f) ** power


def _mean_over_cells(cells: Cells, totals: np.ndarray) -> np.ndarray:
    """Numbers of single entries that add up to ``totals`` in every cell."""
    return np.asarray(cells.spread(np.ravel(totals) / cell_sizes(cells)))
