"""Products by the kernels ``strips``, ``tiles`` and ``slabs``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from gossamer.kernels import slabs, strips, tiles
from gossamer.kernels.machine import accumulators
from gossamer.runtime.compiled import compiled
from gossamer.runtime.product import Product, reads, scaling
from gossamer.runtime.stored_values import as_float32

# Lanes of a vector and vectors across a panel: for few samples, and for many.
PANELS = ((4, 1), (8, 1), (16, 1), (16, 2), (16, 4))
MOST_ACCUMULATORS = 16  # more would not make a product faster
BUSY = 8  # accumulators that keep the vector units busy


@cache
def strip_products(
    height: int = 1,
    width: int = 1,
    start: Callable = strips.start,
    column: Callable = strips.column,
) -> tuple[Product, ...]:
    """Products with the samples in the lanes, for blocks of ``height`` x ``width``.

    The layout has arrays ``values``, ``columns`` and ``starts``, which ``start`` and ``column``
    read: see :func:`gossamer.kernels.strips.strips`.
    """
    fitting = [
        (lanes, across)
        for lanes, across in PANELS
        if height * across <= min(MOST_ACCUMULATORS, accumulators(lanes))
    ]
    return tuple(
        _strip_product(height, width, lanes, across, start, column)
        for lanes, across in fitting or [PANELS[1]]
    )


def _strip_product(
    height: int, width: int, lanes: int, across: int, start: Callable, column: Callable
) -> Product:
    sizes: dict[str, Callable | int] = {
        "LANES": lanes,
        "ACROSS": across,
        "HEIGHT": height,
        "WIDTH": width,
        "FULL": min(BUSY, 1 + accumulators(lanes) // 2),  # two chains of sums must fit
    }
    names = ("add_block", "aligned", "pack", "unpack")
    formulas = {name: getattr(strips, name) for name in names}
    formulas |= {"start": start, "column": column}
    run, together = compiled(strips.strips, stored, 0, **sizes, **formulas)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        blocks = layout.values.size // (height * width)
        return panel_work(layout, steps, lanes * across) | {
            "fused": layout.values.size * across * steps,
            **reads("block", blocks * steps, 4 * layout.inputs * lanes * across),
            "row": layout.rows / height * steps,
        }

    name = f"strips {height}x{width} {column.__name__} {lanes}x{across}"
    return Product(name, lanes * across, run, work, together=together)


def stored(layout: Any) -> tuple[np.ndarray, ...]:
    """The arrays that these kernels read."""
    return layout.values, layout.columns, layout.starts


def panel_work(layout: Any, steps: int, samples: int) -> dict[str, float]:
    """What each kernel does that packs panels of ``samples`` and passes all values over each."""
    return {
        "call": 1,
        "packed": layout.inputs * samples * steps,
        "written": layout.rows * samples * steps,
        **reads("line", layout.nbytes / 64 * steps, layout.nbytes),
    }


@cache
def tile_products() -> tuple[Product, ...]:
    """Products with many samples in the lanes, one tile of columns after the other."""
    return tuple(_tile_product(lanes, across) for lanes, across in ((16, 2), (16, 4), (16, 8)))


def _tile_product(lanes: int, across: int) -> Product:
    formulas = {name: getattr(strips, name) for name in ("aligned", "pack", "unpack")}
    run, together = compiled(tiles.tiles, _tiled, 0, LANES=lanes, ACROSS=across, **formulas)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        count = max(1, layout.starts.size // max(layout.rows, 1))
        line = 4 * lanes * across
        return panel_work(layout, steps, lanes * across) | {
            "fused": layout.values.size * across * steps,
            **reads("block", layout.values.size * steps, line * layout.inputs / count),
            **reads("row", layout.starts.size * steps, line * layout.rows),
        }

    return Product(
        f"tiles {lanes}x{across}", lanes * across, run, work, group=tiles.BAND, together=together
    )


def _tiled(layout: Any) -> tuple[np.ndarray, ...]:
    return *stored(layout), layout.order


@cache
def slab_products(height: int, width: int = 1) -> tuple[Product, ...]:
    """Products with the rows of a block in the lanes, for blocks of ``height`` x ``width``."""
    counts = 1, 2, 3, 4, min(8, accumulators(height))
    return tuple(_slab_product(height, width, count) for count in counts)


def _slab_product(height: int, width: int, count: int) -> Product:
    full = min(BUSY, 1 + accumulators(height) // 4)  # four chains of sums must fit
    sizes: dict[str, Callable | int] = {"LANES": height, "WIDTH": width, "COUNT": count}
    sizes |= {"FULL": full}
    run, together = compiled(slabs.slabs, stored, **sizes, add_block=slabs.add_block)

    def work(layout: Any, steps: int) -> Mapping[str, float]:
        blocks = layout.values.size // (height * width)
        rows = layout.rows / height
        return {
            "call": 1,
            "fused": blocks * width * count * steps,
            **reads("block", blocks * steps, 4 * layout.inputs * count),
            "row": rows * steps,
            **scaling(layout, count * steps),
            **reads("line", layout.nbytes / 64 * steps, layout.nbytes),
        }

    return Product(
        f"slabs {height}x{width} {count}", count, run, work, whole=True, together=together
    )


def block_arrays(
    weight: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """values (flat), block columns and starts of the blocks of a weight that are not zero.

    A block lies column by column. Both sides of the weight must be whole blocks.
    """
    rows, inputs = weight.shape
    tiles = weight.reshape(rows // height, height, inputs // width, width).transpose(0, 2, 3, 1)
    there = (tiles != 0).any((2, 3))
    starts = np.concatenate([[0], np.cumsum(there.sum(1))])
    return np.ascontiguousarray(tiles[there]).ravel(), np.nonzero(there)[1], starts


def dense_of_blocks(
    values: np.ndarray,
    columns: np.ndarray,
    starts: np.ndarray,
    shape: tuple[int, int],
    height: int = 1,
    width: int = 1,
) -> np.ndarray:
    """The opposite of :func:`block_arrays`."""
    rows, inputs = shape
    tiles = np.zeros((rows // height, inputs // width, width, height), np.float32)
    block_rows = np.repeat(np.arange(rows // height), np.diff(starts))
    tiles[block_rows, columns] = values.reshape(-1, width, height)
    return tiles.transpose(0, 3, 1, 2).reshape(rows, inputs)


def rows_of_blocks(layout: Any, rows: np.ndarray, height: int = 1, width: int = 1) -> np.ndarray:
    """Rows of the weight whose blocks a layout stores as :func:`block_arrays` gives them."""
    first = layout.starts[rows // height].astype(np.int64)
    counts = layout.starts[rows // height + 1] - first
    place = np.repeat(np.arange(rows.size), counts)
    block = np.arange(place.size) + np.repeat(first - np.cumsum(counts) + counts, counts)
    lane = (rows % height)[place]
    taken = np.zeros((rows.size, layout.inputs // width, width), np.float32)
    values = layout.values.reshape(-1, width, height)[block, :, lane]
    taken[place, layout.columns[block]] = as_float32(values)
    return taken.reshape(rows.size, layout.inputs)
