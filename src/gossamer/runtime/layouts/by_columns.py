"""By columns: a dense weight whose columns are left unread where an input is zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from gossamer.kernels import bind, skipping
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight
from gossamer.runtime.product import Product
from gossamer.runtime.stored_values import as_float32, rounded


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class ByColumns(Layout):
    """A dense weight, column by column: what is sparse are the inputs, after a ReLU for example.

    ``y = sum of x_c W[:, c] over c with |x_c| > cuts[c]``: memory that belongs to other inputs is
    not read, so that a product with one sample takes time in proportion to its non-zeros. With
    ``precision="bfloat16"`` values are rounded, to half the memory that is read.

    Examples
    --------
    >>> weight = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)
    >>> layout = ByColumns.build(weight, cuts=np.array([0.5, 0.0, 0.0], np.float32))
    >>> layout.matmul(np.array([[0.1, 0.0, 1.0]], np.float32))
    array([[3., 6.]], dtype=float32)
    """

    name: ClassVar[str] = "columns"
    values: np.ndarray
    cuts: np.ndarray
    precision: str = "float32"

    @classmethod
    def build(
        cls,
        weight: np.ndarray,
        *,
        cuts: np.ndarray | None = None,
        precision: str = "float32",
        **options: Any,
    ) -> Self:
        rows, inputs = checked_weight(weight).shape
        cuts = np.zeros(inputs, np.float32) if cuts is None else cuts
        if cuts.shape != (inputs,) or cuts.dtype != np.float32 or not (cuts >= 0).all():
            raise ValueError(
                f"cuts must be {inputs} numbers of float32, none of them negative, got {cuts!r}."
            )
        values = rounded(np.ascontiguousarray(weight.T).reshape(-1), precision)
        return cls(rows, inputs, values, cuts, precision)

    def dense(self) -> np.ndarray:
        return np.ascontiguousarray(as_float32(self.values).reshape(self.inputs, self.rows).T)

    def products(self) -> Sequence[Product]:
        return (_product(),)


@cache
def _product() -> Product:
    @cache
    def kernel() -> Callable:
        names = ("collect", "add_columns", "add_column", "bound")
        return bind(skipping.skipping, **{name: getattr(skipping, name) for name in names})

    def run(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        sides = layout.inputs, layout.rows
        pieces = first, last, top, bottom
        kernel()(layout.values, layout.cuts, x, bias, low, high, y, *sides, *pieces)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        # as many as there may be: what is zero is known at the time of the call only
        return {"call": 1, "bytes": layout.nbytes * steps, "row": layout.inputs * steps}

    return Product("columns", 1, run, work)
