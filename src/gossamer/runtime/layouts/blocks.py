"""Blocks: rectangles of the weight that are zero or not as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight
from gossamer.runtime.product import Product, narrow, offsets
from gossamer.runtime.stored_values import as_float32, rounded
from gossamer.runtime.strip_products import (
    block_arrays,
    dense_of_blocks,
    slab_products,
    strip_products,
)


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class BlockRows(Layout):
    """Blocks of ``height`` x ``width``: 16 x 1 reaches the speed of a dense product per value.

    With ``precision="bfloat16"`` values are rounded: half the memory, and faster where a large
    weight meets few samples.

    Examples
    --------
    >>> weight = np.kron([[0, 1, 0], [2, 0, 3]], np.ones((16, 1))).astype(np.float32)
    >>> layout = BlockRows.build(weight, height=16, width=1)
    >>> layout.columns
    array([1, 0, 2], dtype=uint16)
    """

    name: ClassVar[str] = "blocks"
    height: int
    width: int
    values: np.ndarray
    columns: np.ndarray
    starts: np.ndarray
    precision: str = "float32"

    @classmethod
    def build(
        cls,
        weight: np.ndarray,
        *,
        height: int = 16,
        width: int = 1,
        precision: str = "float32",
        **options: Any,
    ) -> Self:
        rows, inputs = checked_weight(weight).shape
        if rows % height or inputs % width:
            raise ValueError(
                f"a weight of shape {weight.shape} does not consist of {height} x {width} blocks."
            )
        values, columns, starts = block_arrays(weight, height, width)
        blocks = narrow(columns, inputs), offsets(starts)
        return cls(rows, inputs, height, width, rounded(values, precision), *blocks, precision)

    def dense(self) -> np.ndarray:
        arrays = as_float32(self.values), self.columns, self.starts
        return dense_of_blocks(*arrays, (self.rows, self.inputs), self.height, self.width)

    @property
    def block(self) -> tuple[int, int]:
        return self.height, self.width

    def products(self) -> Sequence[Product]:
        strips = strip_products(self.height, self.width)
        return strips + (slab_products(self.height, self.width) if self.height > 1 else ())
