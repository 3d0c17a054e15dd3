"""Dense bfloat16: half the memory, and on new processors a multiple of the speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from gossamer.runtime.checks import check_array
from gossamer.runtime.dense_products import torch_products
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product
from gossamer.runtime.stored_values import as_float32, rounded


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class DenseBfloat16(Layout):
    """All values, rounded to bfloat16, multiplied by torch: the inputs are rounded as well.

    Eight bits of precision are left, so that results differ by about half a per cent of the sum of
    the absolute terms: to be asked for by name.

    Examples
    --------
    >>> layout = DenseBfloat16.build(np.array([[1.0, 1.001]], np.float32))
    >>> layout.values, layout.dense()
    (array([[16256, 16256]], dtype=uint16), array([[1., 1.]], dtype=float32))
    """

    name: ClassVar[str] = "bfloat16"
    rows_fast: ClassVar[bool] = True
    precision: ClassVar[str] = "bfloat16"
    values: np.ndarray

    @classmethod
    @named_options
    def build(cls, weight: np.ndarray) -> Self:
        rows, inputs = checked_weight(weight).shape
        return cls(rows, inputs, rounded(np.ascontiguousarray(weight), "bfloat16"))

    def check(self) -> None:
        super().check()
        check_array(self, "values", (self.rows, self.inputs), (np.uint16,))

    def dense(self) -> np.ndarray:
        return as_float32(self.values)

    def take(self, rows: np.ndarray) -> np.ndarray:
        return as_float32(self.values[rows])

    def products(self) -> Sequence[Product]:
        return torch_products()
