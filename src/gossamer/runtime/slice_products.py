"""Products by the kernels ``slices`` and ``gathers``: any pattern of zeros, few samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from gossamer.kernels import gathers, slices, strips
from gossamer.runtime.compiled import compiled
from gossamer.runtime.product import Product, reads, scaling
from gossamer.runtime.strip_products import stored


@cache
def slice_products(
    start: Callable = slices.start,
    row: Callable = slices.row,
    add_step: Callable = slices.add_step,
    **sizes: int,
) -> tuple[Product, ...]:
    """Products with 16 rows in the lanes.

    The layout has ``values``, ``places``, ``starts`` and ``order``, which ``start``, ``row`` and
    ``add_step`` read: see :func:`gossamer.kernels.slices.slices`. ``sizes`` are the constants that
    they name.
    """
    return tuple(
        _slice_product(count, {"start": start, "row": row, "add_step": add_step}, sizes)
        for count in (1, 2, 3, 4, 8)
    )


def _slice_product(count: int, formulas: dict[str, Callable], sizes: dict[str, int]) -> Product:
    run, together = compiled(slices.slices, _sliced, COUNT=count, **formulas, **sizes)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        blocks = layout.values.size // slices.LANES * steps
        return {
            "call": 1,
            "fused": blocks * count,
            **reads("block", blocks, 4 * layout.inputs * count),
            "row": layout.rows * count * steps,
            **scaling(layout, count * steps),
            **reads("line", layout.nbytes / 64 * steps, layout.nbytes),
        }

    kind = " ".join([formulas["add_step"].__name__, *(f"{k}={v}" for k, v in sizes.items())])
    return Product(f"slices {kind} {count}", count, run, work, whole=True, together=together)


def _sliced(layout: Any) -> tuple[Any, ...]:
    return layout.values, layout.places, layout.starts, layout.order


@cache
def gather_products(
    start: Callable = strips.start, column: Callable = strips.column
) -> tuple[Product, ...]:
    """Products of one sample, value by value: arrays as in ``strip_products``."""
    run, together = compiled(gathers.gathers, stored, start=start, column=column)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        return {
            "call": 1,
            **reads("block", layout.values.size * steps, 4 * layout.inputs),
            "row": layout.rows * steps,
            **reads("line", layout.nbytes / 64 * steps, layout.nbytes),
        }

    return (Product(f"gathers {start.__name__}", 1, run, work, together=together),)
