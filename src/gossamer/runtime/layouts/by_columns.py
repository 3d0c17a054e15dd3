"""By columns: a dense weight whose columns are left unread where an input is zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np

from gossamer.kernels import bind, skipping
from gossamer.runtime.checks import check_array, check_values, refuse
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product
from gossamer.runtime.stored_values import as_float32, in_ones, in_units, rounded


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class ByColumns(Layout):
    """A dense weight, column by column: what is sparse are the inputs, after a ReLU for example.

    ``y = sum of x_c W[:, c] over c with |x_c| > cuts[c]``: memory that belongs to other inputs is
    not read, so that a product with one sample takes time in proportion to its non-zeros. With
    ``precision="bfloat16"`` or ``"int8"`` values are rounded, to a half or a quarter of the memory
    that is read: those of int8 are whole multiples of ``scales``, one for each input.

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
    scales: np.ndarray | None = None

    @classmethod
    @named_options
    def build(
        cls,
        weight: np.ndarray,
        *,
        cuts: np.ndarray | None = None,
        precision: str = "float32",
    ) -> Self:
        rows, inputs = checked_weight(weight).shape
        cuts = np.zeros(inputs, np.float32) if cuts is None else cuts
        if cuts.shape != (inputs,) or cuts.dtype != np.float32 or not (cuts >= 0).all():
            raise ValueError(
                f"cuts must be {inputs} numbers of float32, none of them negative, got {cuts!r}."
            )
        weight, scales = in_units(weight, precision)
        values = rounded(np.ascontiguousarray(weight.T).reshape(-1), precision)
        return cls(rows, inputs, values, cuts, precision, scales)

    def check(self) -> None:
        super().check()
        check_values(self, self.rows * self.inputs)
        if not (check_array(self, "cuts", (self.inputs,), (np.float32,)) >= 0).all():
            refuse(self, "cuts", f"must be numbers, none of them negative, got {self.cuts.min()}")

    def dense(self) -> np.ndarray:
        columns = as_float32(self.values).reshape(self.inputs, self.rows)
        return in_ones(np.ascontiguousarray(columns.T), self.scales)

    def products(self) -> Sequence[Product]:
        return (_product(),)


@cache
def _product() -> Product:
    @cache
    def kernel(scaled: bool) -> Callable:
        collect = skipping.collect_scaled if scaled else skipping.collect
        rest = {name: getattr(skipping, name) for name in ("add_columns", "add_column", "bound")}
        return bind(skipping.skipping, collect=collect, **rest)

    def run(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        sides = layout.inputs, layout.rows
        pieces = first, last, top, bottom
        scaled = layout.scales is not None
        limits = (layout.cuts, layout.scales) if scaled else layout.cuts
        kernel(scaled)(layout.values, limits, x, bias, low, high, y, *sides, *pieces)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        # as many as there may be: what is zero is known at the time of the call only
        return {"call": 1, "bytes": layout.nbytes * steps, "row": layout.inputs * steps}

    return Product("columns", 1, run, work)
