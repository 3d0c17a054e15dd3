"""Shrunk: rows and columns of zeros are taken out, the rest is dense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from gossamer.runtime.dense_products import dense_products
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight
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
    def build(cls, weight: np.ndarray, **options: Any) -> Self:
        rows, inputs = checked_weight(weight).shape
        kept_rows, kept_inputs = (np.flatnonzero(weight.any(axis)) for axis in (1, 0))
        values = np.ascontiguousarray(weight[np.ix_(kept_rows, kept_inputs)])
        return cls(rows, inputs, values, narrow(kept_rows, rows), narrow(kept_inputs, inputs))

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
