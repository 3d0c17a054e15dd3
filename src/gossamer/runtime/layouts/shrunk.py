"""Shrunk: rows and columns of zeros are taken out, the rest is dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from gossamer.runtime.checks import check_array, check_indices, refuse
from gossamer.runtime.dense_products import dense_products
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product, narrow
from gossamer.solvers.threads import one_blas_thread


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class Shrunk(Layout):
    """A dense weight without the rows and columns that are zero: neurons or channels that are gone.

    Where the neighbouring layers can shrink as well, :func:`gossamer.nn.shrink` saves the picking
    of inputs and placing of results.

    Examples
    --------
    >>> weight = np.zeros((4, 3), np.float32)
    >>> weight[[0, 2], 1] = 5.0
    >>> layout = Shrunk.build(weight)
    >>> layout.kept_rows, layout.kept_inputs
    (array([0, 2], dtype=uint16), array([1], dtype=uint16))
    """

    name: ClassVar[str] = "shrunk"
    values: np.ndarray
    kept_rows: np.ndarray
    kept_inputs: np.ndarray

    @classmethod
    @named_options
    def build(cls, weight: np.ndarray) -> Self:
        rows, inputs = checked_weight(weight).shape
        kept_rows, kept_inputs = (np.flatnonzero(weight.any(axis)) for axis in (1, 0))
        values = np.ascontiguousarray(weight[np.ix_(kept_rows, kept_inputs)])
        return cls(rows, inputs, values, narrow(kept_rows, rows), narrow(kept_inputs, inputs))

    def check(self) -> None:
        super().check()
        sides = {"kept_rows": self.rows, "kept_inputs": self.inputs}
        for name, side in sides.items():
            kept = check_indices(self, name, getattr(self, name).size, side)
            if (kept[1:] <= kept[:-1]).any():
                refuse(self, name, "must rise from one to the next")
        shape = self.kept_rows.size, self.kept_inputs.size
        check_array(self, "values", shape, (np.float32,))

    def dense(self) -> np.ndarray:
        weight = np.zeros((self.rows, self.inputs), np.float32)
        weight[np.ix_(self.kept_rows, self.kept_inputs)] = self.values
        return weight

    def products(self) -> Sequence[Product]:
        return _products()

    def similar(self, rows: int, inputs: int, keep: float, random: np.random.Generator) -> Self:
        there = [random.random(side) < np.sqrt(keep) for side in (rows, inputs)]
        return self.build(np.where(there[0][:, None] & there[1], 1.0, 0.0).astype(np.float32))


@cache
def _products() -> tuple[Product, ...]:
    return dense_products("shrunk", _multiply)


def _multiply(layout: Any, x: np.ndarray, top: int, bottom: int) -> np.ndarray:
    first, last = layout.kept_rows.searchsorted((top, bottom))
    y = np.zeros((len(x), bottom - top), np.float32)
    with one_blas_thread:  # threads share parts of the product instead
        part = x.take(layout.kept_inputs, axis=1) @ layout.values[first:last].T
    y[:, layout.kept_rows[first:last] - np.uint32(top)] = part
    return y
