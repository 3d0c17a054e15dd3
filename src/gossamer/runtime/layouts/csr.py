"""CSR: any pattern of zeros, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from gossamer.runtime.backward_products import input_gradients
from gossamer.runtime.checks import check_array, check_indices, check_starts
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product, narrow, offsets
from gossamer.runtime.slice_products import gather_products
from gossamer.runtime.strip_products import (
    block_arrays,
    dense_of_blocks,
    rows_of_blocks,
    strip_products,
)


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class CSR(Layout):
    """Compressed sparse rows: each row's non-zero values and their columns, as narrow indices.

    Examples
    --------
    >>> weight = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]], np.float32)
    >>> layout = CSR.build(weight)
    >>> layout.columns, layout.matmul(np.ones((1, 3), np.float32))
    (array([1, 0, 2], dtype=uint16), array([[2., 4.]], dtype=float32))
    """

    name: ClassVar[str] = "csr"
    rows_fast: ClassVar[bool] = True
    values: np.ndarray
    columns: np.ndarray
    starts: np.ndarray

    @classmethod
    @named_options
    def build(cls, weight: np.ndarray) -> Self:
        rows, inputs = checked_weight(weight).shape
        values, columns, starts = block_arrays(weight, 1, 1)
        return cls(rows, inputs, values, narrow(columns, inputs), offsets(starts))

    def check(self) -> None:
        super().check()
        count = self.values.size
        check_array(self, "values", (count,), (np.float32,))
        check_indices(self, "columns", count, self.inputs)
        check_starts(self, "starts", self.rows, count)

    def dense(self) -> np.ndarray:
        shape = self.rows, self.inputs
        return dense_of_blocks(self.values, self.columns, self.starts, shape)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return rows_of_blocks(self, rows)

    def products(self) -> Sequence[Product]:
        return strip_products() + gather_products()

    def _times(self, g: np.ndarray, threads: int) -> np.ndarray:
        return input_gradients(self, g, threads)
