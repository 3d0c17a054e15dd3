"""Cells: gates shared by sets of coefficients, regular or not, for arrays and tensors."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gossamer.core.structure import Structure
from gossamer.core.tiling import Tiling
from gossamer.core.validation import float_array


@dataclass(frozen=True, eq=False)
class Labelled:
    """An irregular partition of an array of ``shape``: cell ``labels[i]`` holds entry ``i``."""

    shape: tuple[int, ...]
    labels: np.ndarray
    count: int
    _known: dict = field(default_factory=dict, repr=False)

    is_full = False

    def spread(self, values: Any) -> Any:
        """One value a cell, repeated over its coefficients."""
        return values.reshape(-1)[index_like(self.labels, values, self._known)].reshape(self.shape)

    def scale(self, w: Any, values: Any) -> Any:
        """``w`` with each cell multiplied by its value."""
        return w * self.spread(values)

    def sums(self, w: Any) -> Any:
        """(count,) sum over each cell of ``w``."""
        if isinstance(w, np.ndarray):
            return np.bincount(self.labels, np.ravel(w), self.count)
        zeros = w.new_zeros(self.count)
        return zeros.index_add(0, index_like(self.labels, w, self._known), w.reshape(-1))


Cells = Tiling | Labelled


def unit_weights(weights: Any, count: int, owner: str) -> np.ndarray:
    """(count,) weights as floats; refused unless there is one >= 0 for each unit."""
    found = float_array(weights, f"{owner}: weights")
    if found.shape != (count,) or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError(
            f"{owner}: weights must be {count} finite numbers >= 0, one a unit, got "
            f"{found.tolist() if found.size < 10 else found.shape}."
        )
    return found


def cells_of(structure: Structure, shape: tuple[int, ...]) -> Cells:
    """The units of a structure on an array of ``shape``, regular where they can be."""
    tiling = structure.tiling(shape)
    if tiling is not None:
        return tiling
    units = structure.units(shape)
    return Labelled(shape, units.labels, units.count)


def cell_sizes(cells: Cells) -> np.ndarray:
    """(count,) coefficients in each cell, at least one: an empty cell divides nothing."""
    return np.maximum(cells.sums(np.ones(cells.shape)), 1.0)


def labelled(cells: Cells) -> np.ndarray:
    """(size,) the cell of every coefficient."""
    return np.ravel(cells.spread(np.arange(cells.count)))


def gate_shape(cells: Cells) -> tuple[int, ...]:
    """Shape of the gates of some cells: that of the weight where each entry has its own."""
    return cells.shape if cells.is_full else (cells.count,)


def nest(fine: Cells, coarse: Cells) -> bool:
    """Whether every cell of ``fine`` lies in one cell of ``coarse``."""
    if fine.is_full or fine == coarse:
        return True
    inner, outer = labelled(fine), labelled(coarse)
    # the coarse cell of some entry of each fine one must be that of all its entries
    cell = np.zeros(fine.count, dtype=outer.dtype)
    cell[inner] = outer
    return bool((cell[inner] == outer).all())


def index_like(index: np.ndarray, values: Any, known: dict) -> Any:
    """``index`` for the engine of ``values``; a tensor's is kept, one a device, in ``known``."""
    if isinstance(values, np.ndarray):
        return index
    if values.device not in known:
        known[values.device] = _tensor(index, device=values.device)
    return known[values.device]


def array_like(array: np.ndarray, values: Any, known: dict) -> Any:
    """``array`` for the engine and precision of ``values``; a tensor's is kept in ``known``."""
    if isinstance(values, np.ndarray):
        return array
    key = (values.device, values.dtype)
    if key not in known:
        known[key] = _tensor(array, device=values.device, dtype=values.dtype)
    return known[key]


def _tensor(array: np.ndarray, **options: Any) -> Any:
    """A copy of ``array`` as a tensor; also within a compiled graph, where ``new_tensor`` fails."""
    # who has a tensor has loaded torch, which this room does without
    return sys.modules["torch"].as_tensor(np.array(array), **options)


def sum_of_squares(values: Any) -> Any:
    """``sum(values**2)``; without a copy of the squares, and the gradient in one pass."""
    if isinstance(values, np.ndarray):
        return float(np.vdot(values, values))
    return values.norm() ** 2
