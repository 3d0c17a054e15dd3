"""Blocks: rectangles of the weight that are zero or not as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from gossamer.runtime.backward_products import input_gradients
from gossamer.runtime.checks import check_blocks, check_indices, check_starts, check_values
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product, narrow, offsets
from gossamer.runtime.stored_values import as_float32, in_ones, in_units, rounded
from gossamer.runtime.strip_products import (
    block_arrays,
    dense_of_blocks,
    rows_of_blocks,
    slab_products,
    strip_products,
)


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class BlockRows(Layout):
    """Blocks of ``height`` x ``width``: 16 x 1 reaches the speed of a dense product per value.

    With ``precision="bfloat16"`` or ``"int8"`` values are rounded, to a half or a quarter of the
    memory: faster where a large weight meets few samples. Those of int8 are whole multiples of
    ``scales``, one for each input.

    Examples
    --------
    >>> weight = np.kron([[0, 1, 0], [2, 0, 3]], np.ones((16, 1))).astype(np.float32)
    >>> layout = BlockRows.build(weight, height=16, width=1)
    >>> layout.columns
    array([1, 0, 2], dtype=uint16)
    """

    name: ClassVar[str] = "blocks"
    rows_fast: ClassVar[bool] = True
    height: int
    width: int
    values: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    precision: str = "float32"
    scales: np.ndarray | None = None

    @classmethod
    @named_options
    def build(
        cls,
        weight: np.ndarray,
        *,
        height: int = 16,
        width: int = 1,
        precision: str = "float32",
    ) -> Self:
        rows, inputs = checked_weight(weight).shape
        check_blocks(rows, inputs, height, width)
        weight, scales = in_units(weight, precision)
        values, columns, starts = block_arrays(weight, height, width)
        arrays = rounded(values, precision), narrow(columns, inputs), offsets(starts)
        return cls(rows, inputs, height, width, *arrays, precision, scales)

    def check(self) -> None:
        super().check()
        check_blocks(self.rows, self.inputs, self.height, self.width)
        count = self.columns.size
        check_values(self, count * self.height * self.width)
        check_indices(self, "columns", count, self.inputs // self.width)
        check_starts(self, "starts", self.rows // self.height, count)

    def dense(self) -> np.ndarray:
        arrays = as_float32(self.values), self.columns, self.starts
        weight = dense_of_blocks(*arrays, (self.rows, self.inputs), self.height, self.width)
        return in_ones(weight, self.scales)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return in_ones(rows_of_blocks(self, rows, self.height, self.width), self.scales)

    @property
    def block(self) -> tuple[int, int]:
        return self.height, self.width

    def products(self) -> Sequence[Product]:
        strips = strip_products(self.height, self.width)
        return strips + (slab_products(self.height, self.width) if self.height > 1 else ())

    def _times(self, g: np.ndarray, threads: int) -> np.ndarray:
        product = input_gradients(self, g, threads)
        return product if self.scales is None else product * self.scales
