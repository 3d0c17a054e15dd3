"""Products of a sparse matrix with many samples: the samples lie in the lanes of the vectors."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.vectors import add_outer, clamp, load, plus, spread, store, transposed, zeros

# Bound for each layout: lanes of a vector, vectors across a panel, rows and columns of a block.
LANES, ACROSS, HEIGHT, WIDTH = 16, 4, 1, 1
GROUP = 16  # rows whose results are written together
FULL = 8  # accumulators that keep the vector units busy


def start(starts, r):
    """Where the blocks of block row ``r`` begin."""
    return np.int64(starts[r])


def column(columns, k):
    """The block column of block ``k``."""
    return np.int64(columns[k])


def strips(
    values, columns, starts, x, bias, low, high, y, inputs, rows, pitch, first, last, top, bottom
):
    """``y[b, r] = clamp(bias[r] + sum_k values[k] x[b, column(k)])`` for b in [first, last).

    Parameters
    ----------
    values : (n_blocks * WIDTH * HEIGHT,)
        Block by block, the columns of each one after the other.
    columns, starts : of integers
        What ``start`` and ``column`` read the place of a block from.
    x : flat (samples, inputs); y : flat (samples, rows)
        Or as ``pack`` and ``unpack`` have it, for which ``pitch`` is.
    bias : (rows,) in whole blocks
    low, high : bounds of the results
    top, bottom : rows to compute, ``top`` a multiple of GROUP

    Samples come in panels of ``LANES * ACROSS``, which are packed so that a column of a panel is
    contiguous: small enough for the cache, as all stored values pass over it.
    """
    across = LANES * ACROSS
    room, tile = aligned(inputs * across), aligned(GROUP * across)
    for b in range(first, last, across):
        panel = pack(x, b, min(across, last - b), inputs, pitch, room)
        for group in range(top, bottom, GROUP):
            end = min(group + GROUP, bottom)
            for r in range(group, end, HEIGHT):
                acc = spread(HEIGHT, ACROSS, LANES, bias, r)
                k, stop = start(starts, r // HEIGHT), start(starts, r // HEIGHT + 1)
                if HEIGHT * ACROSS < FULL:
                    # a second chain of sums: a vector unit starts a product before the last is done
                    odd = zeros(HEIGHT, ACROSS, LANES)
                    while k + 1 < stop:
                        acc = add_block(acc, values, columns, k, panel)
                        odd = add_block(odd, values, columns, k + 1, panel)
                        k += 2
                    acc = plus(acc, odd)
                while k < stop:
                    acc = add_block(acc, values, columns, k, panel)
                    k += 1
                store(clamp(acc, low, high), tile, (r - group) * across, across)
            unpack(tile, b, min(across, last - b), group, end, rows, pitch, y)


def aligned(size):
    """Memory for ``size`` numbers that begins with a line of the cache: no vector spans two."""
    memory = np.empty(size + 16, np.float32)
    skip = (-(memory.ctypes.data // 4)) % 16
    return memory[skip : skip + size]


def add_block(acc, values, columns, k, panel):
    """Add the product of block ``k`` with its columns of the panel."""
    for j in range(WIDTH):
        place = (column(columns, k) * WIDTH + j) * LANES * ACROSS
        acc = add_outer(acc, values, (k * WIDTH + j) * HEIGHT, panel, place)
    return acc


def pack(x, b, count, inputs, pitch, panel):
    """``panel[c, i] = x[b + i, c]``, zero where there are no more samples."""
    across = LANES * ACROSS
    whole_count, whole_inputs = count // LANES * LANES, inputs // LANES * LANES
    for c in range(0, whole_inputs, LANES):
        for i in range(0, whole_count, LANES):
            square = load(LANES, 1, LANES, x, (b + i) * inputs + c, inputs)
            store(transposed(square), panel, c * across + i, across)
    for c in range(inputs):
        for i in range(whole_count if c < whole_inputs else 0, count):
            panel[c * across + i] = x[(b + i) * inputs + c]
        for i in range(count, across):
            panel[c * across + i] = 0.0
    return panel


def unpack(tile, b, count, group, end, rows, pitch, y):
    """``y[b + i, group + r] = tile[r, i]``."""
    across = LANES * ACROSS
    whole_count, whole_rows = count // LANES * LANES, (end - group) // LANES * LANES
    for r in range(0, whole_rows, LANES):
        for i in range(0, whole_count, LANES):
            square = load(LANES, 1, LANES, tile, r * across + i, across)
            store(transposed(square), y, (b + i) * rows + group + r, rows)
    for i in range(count):
        for r in range(whole_rows if i < whole_count else 0, end - group):
            y[(b + i) * rows + group + r] = tile[r * across + i]
