"""Sliced rows: any pattern of zeros, for few samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from gossamer.kernels.slices import LANES
from gossamer.runtime.checks import check_indices, check_orders, check_starts, check_values, refuse
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product, narrow, offsets
from gossamer.runtime.slice_products import slice_products
from gossamer.runtime.stored_values import as_float32, in_ones, in_units, rounded


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class SlicedRows(Layout):
    """Slices of 16 rows, which a vector takes in steps: one value of each row a step.

    All values of a step lie within a window of neighbouring columns, whose inputs one or two
    registers hold: each row picks its own. A row without a value in the window has a zero there
    (and multiplies an input with it, so that NaN and infinity may reach it). Rows with about as
    many values share a slice.

    ``window`` is 16 or 32; a weight has as many inputs or more. At 90 % zeros at random 57 or 67 %
    of what is stored are values. The wide window makes the layout smaller, which counts for large
    weights and one sample; with more samples the narrow one is faster. With
    ``precision="bfloat16"`` or ``"int8"`` values are rounded, which makes it smaller still: those
    of int8 are whole multiples of ``scales``, one for each input.

    References
    ----------
    Kreutzer, Hager, Wellein, Fehske and Bishop (2014), A unified sparse matrix data format for
    efficient general sparse matrix-vector multiplication on modern processors with wide SIMD units.
    Theirs is SELL-C-sigma: slices of C sorted rows, without windows.

    Examples
    --------
    >>> weight = np.zeros((16, 100), np.float32)
    >>> weight[:, 56] = weight[3, 70] = weight[5, 95] = 1.0
    >>> layout = SlicedRows.build(weight, window=32)
    >>> layout.bases, layout.picks.reshape(2, 16)[:, :3], layout.order[:3]
    (array([56, 64], dtype=uint16), array([[ 0,  0,  0],
           [ 6, 31,  0]], dtype=uint8), array([3, 5, 0], dtype=uint16))
    """

    name: ClassVar[str] = "sliced"
    window: int
    values: np.ndarray
    bases: np.ndarray
    picks: np.ndarray
    starts: np.ndarray
    order: np.ndarray
    precision: str = "float32"
    scales: np.ndarray | None = None

    @classmethod
    @named_options
    def build(
        cls,
        weight: np.ndarray,
        *,
        window: int = 16,
        precision: str = "float32",
    ) -> Self:
        rows, inputs = checked_weight(weight).shape
        if window not in ALIGNED or inputs < window:
            raise ValueError(
                f"window must be 16 or 32, and not wider than the weight, got {window} for "
                f"{inputs} inputs: for narrower weights use CSR."
            )
        weight, scales = in_units(weight, precision)
        counts = np.count_nonzero(weight, axis=1)
        order = np.argsort(-counts, kind="stable")
        columns = _columns(weight[order], int(counts.max(initial=0)))
        bases, taken, starts = _windows(columns, inputs, window)
        there = taken >= 0
        column = np.where(there, taken, bases[:, None])
        values = np.zeros(taken.shape, np.float32)
        values[there] = weight[order[_lanes_of_steps(starts)[there]], taken[there]]
        picks = (column - bases[:, None]).astype(np.uint8)
        return cls(
            rows,
            inputs,
            window,
            rounded(values.ravel(), precision),
            narrow(bases, inputs),
            picks.ravel(),
            offsets(starts),
            narrow(order, rows),
            precision,
            scales,
        )

    def check(self) -> None:
        super().check()
        if self.window not in ALIGNED or self.inputs < self.window:
            refuse(self, "window", f"must be 16 or 32, and not wider than it, got {self.window}")
        steps = self.bases.size
        check_values(self, steps * LANES)
        check_indices(self, "bases", steps, self.inputs - self.window + 1)
        check_indices(self, "picks", steps * LANES, self.window, (np.uint8,))
        check_starts(self, "starts", -(-self.rows // LANES), steps)
        check_orders(self, "order", 1)

    def dense(self) -> np.ndarray:
        weight = np.zeros((self.rows, self.inputs), np.float32)
        columns = np.repeat(self.bases.astype(np.int64), LANES) + self.picks
        values = as_float32(self.values)
        there = values != 0
        lanes = _lanes_of_steps(self.starts).ravel()[there]
        weight[self.order[lanes], columns[there]] = values[there]
        return in_ones(weight, self.scales)

    def products(self) -> Sequence[Product]:
        return slice_products(WINDOW=self.window)

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """What the kernel reads places from."""
        return self.bases, self.picks


def _lanes_of_steps(starts: np.ndarray) -> np.ndarray:
    """(steps, LANES): which place in the order of all rows each lane of each step has."""
    slices = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    lanes: np.ndarray = slices[:, None] * LANES + np.arange(LANES)
    return lanes


_DONE = np.iinfo(np.int32).max


def _columns(weight: np.ndarray, most: int) -> np.ndarray:
    """(slices, LANES, most + 1): the columns of each row's values in order, _DONE after them."""
    rows = len(weight) + -len(weight) % LANES
    columns = np.full((rows, most + 1), _DONE, np.int32)
    row, column = np.nonzero(weight)
    first = np.searchsorted(row, np.arange(rows))
    columns[row, np.arange(row.size) - first[row]] = column
    return columns.reshape(-1, LANES, most + 1)


# Columns at which windows begin. Wide ones that begin anywhere would lie in too many lines of the
# cache; of narrow ones there would be more.
ALIGNED = {16: 1, 32: 8}


def _windows(
    columns: np.ndarray, inputs: int, window: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps that take all columns: their windows' first columns, what each row takes, starts.

    Each step's window begins at the first column that is left; every row that has one in it takes
    its first. Rows without take -1.
    """
    slices = len(columns)
    taken_so_far = np.zeros((slices, LANES), np.int64)
    bases, takes, busy = [], [], []
    while True:
        following = np.take_along_axis(columns, taken_so_far[:, :, None], 2)[:, :, 0]
        base = following.min(1)
        if (base == _DONE).all():
            break
        busy.append(base < _DONE)
        base = np.minimum(base - base % ALIGNED[window], inputs - window)
        take = following < base[:, None] + window
        bases.append(base)
        takes.append(np.where(take, following, -1))
        taken_so_far += take
    if not bases:
        none = np.zeros(0, np.int64)
        return none, none.reshape(0, LANES), np.zeros(slices + 1, np.int64)
    used = np.stack(busy, axis=1)
    starts = np.concatenate([[0], np.cumsum(used.sum(1))])
    return np.stack(bases, axis=1)[used], np.stack(takes, axis=1)[used], starts
