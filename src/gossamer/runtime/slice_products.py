"""Products by the kernel ``slices``: few samples, any pattern of zeros."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from gossamer.kernels import bind, slices
from gossamer.runtime.product import Product


@cache
def slice_products(
    start: Callable = slices.start,
    row: Callable = slices.row,
    add_step: Callable = slices.add_step,
) -> tuple[Product, ...]:
    """Products with 16 rows in the lanes.

    The layout has ``values``, ``places``, ``starts`` and ``order``, which ``start``, ``row`` and
    ``add_step`` read: see :func:`gossamer.kernels.slices.slices`.
    """
    return tuple(_slice_product(count, start, row, add_step) for count in (1, 2, 3, 4, 8))


def _slice_product(count: int, start: Callable, row: Callable, add_step: Callable) -> Product:
    @cache
    def kernel() -> Callable:
        return bind(slices.slices, COUNT=count, start=start, row=row, add_step=add_step)

    def run(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        stored = layout.values, layout.places, layout.starts, layout.order
        sides = layout.inputs, layout.rows
        kernel()(*stored, x, bias, low, high, y, *sides, first, last, top, bottom)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        blocks = layout.values.size // slices.LANES
        return {
            "call": 1,
            "block": blocks * steps,
            "row": layout.rows * steps,
            "bytes": layout.nbytes * steps,
        }

    return Product(f"slices {add_step.__name__} {count}", count, run, work, whole=True)
