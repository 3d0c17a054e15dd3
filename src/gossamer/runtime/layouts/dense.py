"""Dense: all values, zeros included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from gossamer.runtime.checks import check_array
from gossamer.runtime.dense_products import blas_products
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class Dense(Layout):
    """The weight as it is, multiplied by NumPy's BLAS.

    Where the rows are a multiple of 16, :class:`BlockRows` with all its blocks is often faster.

    Examples
    --------
    >>> layout = Dense.build(np.array([[1.0, 0.0], [3.0, 4.0]], np.float32))
    >>> layout.matmul(np.ones((1, 2), np.float32))
    array([[1., 7.]], dtype=float32)
    """

    name: ClassVar[str] = "blas"
    rows_fast: ClassVar[bool] = True
    values: np.ndarray

    @classmethod
    @named_options
    def build(cls, weight: np.ndarray) -> Self:
        rows, inputs = checked_weight(weight).shape
        return cls(rows, inputs, np.ascontiguousarray(weight))

    def check(self) -> None:
        super().check()
        check_array(self, "values", (self.rows, self.inputs), (np.float32,))

    def dense(self) -> np.ndarray:
        return self.values.copy()

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.values[rows]

    def products(self) -> Sequence[Product]:
        return blas_products()
