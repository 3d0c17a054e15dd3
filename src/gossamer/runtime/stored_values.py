"""Stored values: float32, or rounded to what takes less memory."""

from __future__ import annotations

import numpy as np

# How values are stored in each precision.
PRECISIONS: dict[str, type] = {"float32": np.float32, "bfloat16": np.uint16, "int8": np.int8}
_MOST = 127
# Weights of a column that has none larger count as zero: so small a scale would not be precise.
_LEAST = _MOST * float(np.finfo(np.float32).tiny)


def rounded(values: np.ndarray, precision: str) -> np.ndarray:
    """Float32 values as they are stored.

    ``"bfloat16"`` takes their upper halves, as uint16, ``"int8"`` whole numbers, which
    :func:`in_units` makes. Kernels read both as float32 again: large weights with few samples,
    which wait for memory, are up to twice as fast. By bfloat16 a result differs by up to 0.4 % of
    the sum of its absolute terms, by int8 by up to 0.4 % of what it would be with the largest
    weight of each column.

    Raises
    ------
    ValueError
        For a precision that is none of these.
    """
    if precision == "float32":
        return values
    if precision == "int8":
        return values.astype(np.int8)
    if precision != "bfloat16":
        raise ValueError(f"precision must be one of {list(PRECISIONS)}, got {precision!r}.")
    bits = np.ascontiguousarray(values).view(np.uint32)
    # to the nearest, ties to even
    upper = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, upper).astype(np.uint16)


def as_float32(stored: np.ndarray) -> np.ndarray:
    """What the kernels read."""
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32, copy=False)


def in_units(weight: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray | None]:
    """A weight (rows, inputs) with each column in units of its own, and these units (inputs,).

    For ``"int8"`` the largest number of a column becomes 127, and all become whole; for other
    precisions it is the weight itself, and None. ``x * units`` times the one is, up to rounding,
    x times the other.

    Raises
    ------
    ValueError
        For NaN and infinity, which int8 does not have.
    """
    if precision != "int8":
        return weight, None
    largest = abs(weight).max(0, initial=0.0)
    if not np.isfinite(largest).all():
        raise ValueError(
            "a weight with NaN or infinity cannot be stored as int8: set these to numbers, or use "
            "precision='bfloat16'."
        )
    units = np.where(largest < _LEAST, np.float32(1), largest / np.float32(_MOST))
    # of 17 bits, so that up to 127 units are a float32 number, and what is rounded stays as it is
    units = (units.view(np.uint32) & np.uint32(0xFFFFFF80)).view(np.float32)
    return np.rint(weight / units), units


def in_ones(weight: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """The opposite of :func:`in_units`."""
    return weight if units is None else weight * units
