"""Condensed: every row has as many values, as in layers of constant fan-in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from gossamer.kernels.slices import equal_start
from gossamer.runtime.backward_products import input_gradients
from gossamer.runtime.checks import check_array, check_indices
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product, narrow
from gossamer.runtime.slice_products import gather_products
from gossamer.runtime.strip_products import strip_products


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class Condensed(Layout):
    """Two dense arrays (rows, fan_in), of values and of their columns, and no pointers.

    Rows of zeros only may be among the others: their values are stored as zeros.

    References
    ----------
    Lasby, Golubeva, Evci, Nica and Ioannou (2024), Dynamic sparse training with structured
    sparsity.

    Examples
    --------
    >>> weight = np.array([[0.0, 2.0, 5.0], [1.0, 0.0, 3.0]], np.float32)
    >>> layout = Condensed.build(weight)
    >>> layout.fan_in, layout.columns
    (2, array([1, 2, 0, 2], dtype=uint16))
    """

    name: ClassVar[str] = "condensed"
    fan_in: int
    values: np.ndarray
    columns: np.ndarray

    @classmethod
    @named_options
    def build(cls, weight: np.ndarray) -> Self:
        rows, inputs = checked_weight(weight).shape
        counts = np.count_nonzero(weight, axis=1)
        fan_in = int(counts.max(initial=0))
        if ((counts != fan_in) & (counts > 0)).any():
            raise ValueError(
                f"weight has rows of {counts[counts > 0].min()} to {fan_in} values, not of as many "
                f"each: use CSR or SlicedRows, or train it with structures.FanIn."
            )
        columns = np.zeros((rows, fan_in), np.int64)
        columns[counts > 0] = np.nonzero(weight)[1].reshape(-1, max(fan_in, 1))
        values = np.take_along_axis(weight, columns, 1).ravel()
        return cls(rows, inputs, fan_in, values, narrow(columns.ravel(), inputs))

    def check(self) -> None:
        super().check()
        count = self.rows * self.fan_in
        check_array(self, "values", (count,), (np.float32,))
        check_indices(self, "columns", count, self.inputs)

    def dense(self) -> np.ndarray:
        weight = np.zeros((self.rows, self.inputs), np.float32)
        columns = self.columns.reshape(self.rows, self.fan_in).astype(np.int64)
        np.put_along_axis(weight, columns, self.values.reshape(self.rows, self.fan_in), 1)
        return weight

    def products(self) -> Sequence[Product]:
        return strip_products(start=equal_start) + gather_products(equal_start)

    def _times(self, g: np.ndarray, threads: int) -> np.ndarray:
        return input_gradients(self, g, threads)

    @cached_property
    def starts(self) -> np.ndarray:
        """What ``equal_start`` reads."""
        return np.array([self.fan_in])
