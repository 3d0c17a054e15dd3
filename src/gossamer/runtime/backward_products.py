"""Products of the backward pass: with the transposed weight, and at the places of its values.

For layouts whose values lie row by row: CSR, Condensed and BlockRows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gossamer.kernels import backward, bind, slices, strips
from gossamer.runtime.threads import cut, together

# Lanes of a vector and vectors across a panel, for up to so many samples. The values read a panel
# at random, the input also writes it: it should be narrower, so that it fits the nearer cache.
VALUE_PANELS = ((4, 1), (8, 1), (16, 1), (16, 2), (16, 4))
INPUT_PANELS = ((4, 1), (8, 1), (16, 1))
GROUP = backward.GROUP
WORTH_SHARING = 2_000_000  # products: a tenth of a millisecond


def value_gradients(layout: Any, x: np.ndarray, g: np.ndarray, threads: int) -> np.ndarray:
    """``g' x`` at the places of the layout's values: x (samples, inputs), g (samples, rows)."""
    gradient = np.zeros_like(layout.values)
    kernel = _kernel("value_gradients", *_kind(layout), *_panel(VALUE_PANELS, len(x)))
    flat = layout.columns, layout.starts, x.reshape(-1), g.reshape(-1), gradient

    def piece(top: int, bottom: int) -> None:
        kernel(*flat, layout.inputs, layout.rows, len(x), top, bottom)

    # all samples add to a value: threads share the rows
    _shared(piece, layout.rows, GROUP, layout.values.size * len(x), threads)
    return gradient


def input_gradients(layout: Any, g: np.ndarray, threads: int) -> np.ndarray:
    """``g W``: g (samples, rows), C-contiguous, to (samples, inputs)."""
    gradient = np.empty((len(g), layout.inputs), np.float32)
    lanes, across = _panel(INPUT_PANELS, len(g))
    kernel = _kernel("input_gradients", *_kind(layout), lanes, across)
    flat = layout.values, layout.columns, layout.starts, g.reshape(-1), gradient.reshape(-1)

    def piece(first: int, last: int) -> None:
        kernel(*flat, layout.inputs, layout.rows, first, last)

    # all rows add to an input: threads share the samples
    _shared(piece, len(g), lanes * across, layout.values.size * len(g), threads)
    return gradient


def _kind(layout: Any) -> tuple[Callable, int, int]:
    """How the starts of a layout are read, and rows and columns of its blocks."""
    equal = layout.starts.size == 1 and layout.rows > 0
    return slices.equal_start if equal else strips.start, *layout.block


def _shared(
    piece: Callable[[int, int], None], size: int, unit: int, work: int, threads: int
) -> None:
    """Call ``piece`` for ranges of ``size`` that threads share, where there is work for them."""
    parts = cut(0, size, unit, threads if work >= WORTH_SHARING else 1)
    if parts:
        together(piece, parts)


def _panel(panels: tuple[tuple[int, int], ...], samples: int) -> tuple[int, int]:
    """The narrowest panel that holds all samples, or the widest."""
    return next((p for p in panels if p[0] * p[1] >= samples), panels[-1])


@cache
def _kernel(
    name: str, start: Callable, height: int, width: int, lanes: int, across: int
) -> Callable[..., None]:
    sizes = {"LANES": lanes, "ACROSS": across, "HEIGHT": height, "WIDTH": width}
    single = height == width == 1
    formulas: dict[str, Callable | int] = {
        "add_products": backward.add_products if single else backward.add_block_products,
        "pack_rows": backward.pack_rows,
        "start": start,
        **{name: getattr(strips, name) for name in ("aligned", "pack", "unpack")},
    }
    return bind(getattr(backward, name), **sizes, **formulas)
