"""Products of a weight with few samples that have many zeros: their columns are never read."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.vectors import add_outer, clamp, load, store

# Bound: lanes of a vector, vectors of a tile, and columns that are added to a tile at a time.
LANES, ACROSS, COLUMNS = 16, 8, 8


def skipping(weight, cuts, x, bias, low, high, y, inputs, rows, first, last, top, bottom):
    """``y[b, r] = clamp(bias[r] + sum_c x[b, c] weight[c, r])``, c with ``|x[b, c]| > cuts[c]``.

    Parameters
    ----------
    weight : flat (inputs, rows)
        A column of the layer's weight is contiguous: what is skipped is whole cache lines.
    cuts : (inputs,), or what else ``collect`` takes
        Zero where only inputs that are zero may be skipped. NaN is never skipped.
    x, y : flat (samples, inputs) and (samples, rows)
    bias : (rows,)
    low, high : bounds of the results
    first, last, top, bottom : samples and rows to compute

    Several columns at a time are read from end to end, which the machine's prefetching follows; the
    results wait in the nearest cache meanwhile.
    """
    places = np.empty(inputs + 1, np.int64)
    kept = np.empty(inputs + 1, np.float32)
    for b in range(first, last):
        count = collect(x, b * inputs, cuts, inputs, rows, places, kept)
        origin = b * rows
        for r in range(top, bottom):
            y[origin + r] = bias[r]
        for j in range(0, count - count % COLUMNS, COLUMNS):
            add_columns(weight, places, kept, j, y, origin, top, bottom)
        for j in range(count - count % COLUMNS, count):
            add_column(weight, places, kept, j, y, origin, top, bottom)
        bound(y, origin + top, origin + bottom, low, high)


def cut(x, cuts, y):
    """Flat ``y = x`` where ``|x[b, c]| > cuts[c]``, else zero; how many are not zeroed."""
    count, inputs = 0, cuts.size
    for first in range(0, x.size, inputs):
        given, made = x[first : first + inputs], y[first : first + inputs]
        for c in range(inputs):
            keeps = not abs(given[c]) <= cuts[c]
            made[c] = given[c] if keeps else np.float32(0.0)
            count += keeps
    return count


def collect(x, origin, cuts, inputs, rows, places, kept):
    """How many inputs are not skipped; where their columns begin, and their values."""
    count = 0
    for c in range(inputs):
        value = x[origin + c]
        places[count] = c * rows
        kept[count] = value
        count += not abs(value) <= cuts[c]
    return count


def collect_scaled(x, origin, limits, inputs, rows, places, kept):
    """:func:`collect` for ``limits`` = cuts and scales: the values that are kept are scaled."""
    cuts, scales = limits
    count = 0
    for c in range(inputs):
        value = x[origin + c]
        places[count] = c * rows
        kept[count] = value * scales[c]
        count += not abs(value) <= cuts[c]
    return count


def add_columns(weight, places, kept, j, y, origin, top, bottom):
    """Add COLUMNS columns, tile by tile."""
    tile = ACROSS * LANES
    r = top
    while r + tile <= bottom:
        acc = load(1, ACROSS, LANES, y, origin + r, 0)
        for i in range(COLUMNS):
            acc = add_outer(acc, kept, j + i, weight, places[j + i] + r)
        store(acc, y, origin + r, 0)
        r += tile
    while r + LANES <= bottom:
        short = load(1, 1, LANES, y, origin + r, 0)
        for i in range(COLUMNS):
            short = add_outer(short, kept, j + i, weight, places[j + i] + r)
        store(short, y, origin + r, 0)
        r += LANES
    while r < bottom:
        single = load(1, 1, 1, y, origin + r, 0)
        for i in range(COLUMNS):
            single = add_outer(single, kept, j + i, weight, places[j + i] + r)
        store(single, y, origin + r, 0)
        r += 1


def add_column(weight, places, kept, j, y, origin, top, bottom):
    """Add one column."""
    r = top
    while r + LANES <= bottom:
        acc = load(1, 1, LANES, y, origin + r, 0)
        store(add_outer(acc, kept, j, weight, places[j] + r), y, origin + r, 0)
        r += LANES
    while r < bottom:
        single = load(1, 1, 1, y, origin + r, 0)
        store(add_outer(single, kept, j, weight, places[j] + r), y, origin + r, 0)
        r += 1


def bound(y, start, stop, low, high):
    """Move ``y[start:stop]`` into [low, high]."""
    for k in range(start, stop):
        store(clamp(load(1, 1, 1, y, k, 0), low, high), y, k, 0)
