"""Products of a sparse matrix with many samples, one tile of columns after the other."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.strips import aligned, pack, unpack
from gossamer.kernels.vectors import add_outer, clamp, load, plus, spread, store, zeros

# Bound: lanes of a vector, vectors across a panel.
LANES, ACROSS = 16, 4
GROUP = 16  # rows whose results are written together
BAND = 128  # rows whose sums stay in a near cache: each tile has an order of its own within them


def tiles(
    values,
    columns,
    starts,
    order,
    x,
    bias,
    low,
    high,
    y,
    inputs,
    rows,
    pitch,
    first,
    last,
    top,
    bottom,
):
    """``y[b, r] = clamp(bias[r] + sum_k values[k] x[b, columns[k]])`` for b in [first, last).

    As :func:`gossamer.kernels.strips.strips`, for single values that lie tile by tile: the part of
    a panel that the columns of one tile make up stays in the nearest cache while all rows pass over
    it. ``starts`` is flat (tiles, rows), with the end of the last one behind it, and
    ``order``, flat (tiles, rows) too, says which rows these are: in bands of BAND, those with more
    values first, as a loop of another length each time would be mispredicted. ``top`` is a multiple
    of BAND. The sums of a row wait in ``sums`` from one tile to the next.
    """
    across = LANES * ACROSS
    panel, sums = aligned(inputs * across), aligned(rows * across)
    count = (starts.size - 1) // max(rows, 1)
    for b in range(first, last, across):
        pack(x, b, min(across, last - b), inputs, pitch, panel)
        for r in range(top, bottom):
            store(spread(1, ACROSS, LANES, bias, r), sums, r * across, 0)
        for tile in range(count):
            for r in range(top, bottom):
                k, stop = np.int64(starts[tile * rows + r]), np.int64(starts[tile * rows + r + 1])
                if k == stop:
                    continue
                out = np.int64(order[tile * rows + r]) * across
                acc = load(1, ACROSS, LANES, sums, out, 0)
                # a second chain of sums: a vector unit starts a product before the last is done
                odd = zeros(1, ACROSS, LANES)
                while k + 1 < stop:
                    acc = add_outer(acc, values, k, panel, np.int64(columns[k]) * across)
                    odd = add_outer(odd, values, k + 1, panel, np.int64(columns[k + 1]) * across)
                    k += 2
                if k < stop:
                    acc = add_outer(acc, values, k, panel, np.int64(columns[k]) * across)
                store(plus(acc, odd), sums, out, 0)
        for r in range(top, bottom):
            acc = clamp(load(1, ACROSS, LANES, sums, r * across, 0), low, high)
            store(acc, sums, r * across, 0)
        for group in range(top, bottom, GROUP):
            part = sums[group * across :]
            end = min(group + GROUP, bottom)
            unpack(part, b, min(across, last - b), group, end, rows, pitch, y)
