"""Checks of a layout's arrays: the kernels read and write where these point, and do not look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

import numpy as np

from gossamer.runtime.stored_values import PRECISIONS

# What the kernels are compiled for.
INDICES: tuple[type, ...] = (np.uint16, np.uint32, np.uint64)
HEIGHTS = (1, 2, 4, 8, 16)  # of blocks: rows that are written together are whole blocks

_TYPES: dict[str, Any] = {
    "int": (int, np.integer),
    "str": (str,),
    "np.ndarray": (np.ndarray,),
    "np.ndarray | None": (np.ndarray, type(None)),
}


def refuse(layout: Any, name: str, wrong: str) -> NoReturn:
    """Raise for one field of a layout."""
    raise ValueError(
        f"{type(layout).__name__}.{name} {wrong}. So it describes no weight of shape "
        f"({layout.rows}, {layout.inputs}): make the layout by build(), and load files as they "
        "were saved."
    )


def check_fields(layout: Any) -> None:
    """Raise unless all fields are of the types that their class says, and no number is negative."""
    for field in fields(layout):
        value: Any = getattr(layout, field.name)
        if not isinstance(value, _TYPES[str(field.type)]) or isinstance(value, bool):
            refuse(layout, field.name, f"must be {field.type}, got {type(value).__name__}")
        if field.type == "int" and value < 0:
            refuse(layout, field.name, f"must not be negative, got {value}")


def check_array(layout: Any, name: str, shape: Sequence[int], types: Sequence[type]) -> np.ndarray:
    """The array of that name; raise unless it is of such a shape and type, and contiguous."""
    array: np.ndarray = getattr(layout, name)
    if array.shape != tuple(shape):
        refuse(layout, name, f"must have shape {tuple(shape)}, got {array.shape}")
    if array.dtype not in types:
        known = " or ".join(np.dtype(kind).name for kind in types)
        refuse(layout, name, f"must be {known}, got {array.dtype}")
    if not (array.flags.c_contiguous and array.flags.aligned):
        refuse(layout, name, f"must be contiguous, got strides {array.strides}")
    return array


def check_values(layout: Any, count: int) -> None:
    """Raise unless there are so many values, of the layout's precision, with their scales."""
    if layout.precision not in PRECISIONS:
        refuse(layout, "precision", f"must be one of {list(PRECISIONS)}, got {layout.precision!r}")
    check_array(layout, "values", (count,), (PRECISIONS[layout.precision],))
    if (layout.scales is not None) != (layout.precision == "int8"):
        refuse(layout, "scales", "must be there for int8 values, and for no others")
    if layout.scales is not None:
        check_array(layout, "scales", (layout.inputs,), (np.float32,))


def check_indices(
    layout: Any, name: str, count: int, limit: int, types: Sequence[type] = INDICES
) -> np.ndarray:
    """The array of that name; raise unless it is ``count`` whole numbers below ``limit``."""
    array = check_array(layout, name, (count,), types)
    if count and (most := int(array.max())) >= limit:
        refuse(layout, name, f"must be below {limit}, got {most}")
    return array


def check_starts(layout: Any, name: str, parts: int, last: int) -> None:
    """Raise unless the array says where each of ``parts`` begins, from 0 to ``last``."""
    starts = check_array(layout, name, (parts + 1,), INDICES)
    if starts[0] != 0 or starts[-1] != last:
        refuse(layout, name, f"must go from 0 to {last}, got {starts[0]} to {starts[-1]}")
    if (starts[1:] < starts[:-1]).any():
        place = int(np.argmax(starts[1:] < starts[:-1]))
        refuse(layout, name, f"must not fall, got {starts[place]} before {starts[place + 1]}")


def check_orders(layout: Any, name: str, times: int) -> np.ndarray:
    """The array (times, rows) of that name; raise unless each line of it has every row once."""
    rows = layout.rows
    order = check_indices(layout, name, times * rows, rows).astype(np.intp).reshape(times, rows)
    lines = np.arange(times)[:, None] * rows
    counts = np.bincount((lines + order).ravel(), minlength=order.size)
    if (counts != 1).any():
        twice = int(np.argmax(counts)) % rows
        refuse(layout, name, f"must have every row once, got row {twice} {counts.max()} times")
    return order


def check_blocks(rows: int, inputs: int, height: int, width: int) -> None:
    """Raise unless a weight consists of such blocks, which the kernels know."""
    if height not in HEIGHTS or width < 1:
        raise ValueError(
            f"blocks must be 1, 2, 4, 8 or 16 rows high and at least one column wide, got "
            f"{height} x {width}."
        )
    if rows % height or inputs % width:
        raise ValueError(
            f"a weight of shape {rows, inputs} does not consist of {height} x {width} blocks: "
            "choose sides of blocks that divide it."
        )
