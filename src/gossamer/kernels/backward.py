"""Gradients of a sparse product: the samples lie in the lanes of the vectors.

Of ``y = x W'`` with the gradient ``g`` of ``y``: that of the stored values, ``g' x`` at their
places only, and that of the input, ``g W``.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.strips import aligned, pack, start, unpack
from gossamer.kernels.vector_sums import add_scaled, dots, totals
from gossamer.kernels.vectors import load, plus, store, transposed

# Bound: lanes of a vector, vectors across a panel, rows and columns of a block.
LANES, ACROSS, HEIGHT, WIDTH = 16, 4, 1, 1
GROUP = 16  # rows that are packed together: whole blocks
MANY, SOME = 16, 4  # values whose totals make one vector


def value_gradients(columns, starts, x, g, gradient, inputs, rows, samples, top, bottom):
    """``gradient[k] += sum_b g[b, row(k)] x[b, column(k)]`` for what the rows have stored.

    Parameters
    ----------
    columns, starts : of integers
        Block columns of the blocks, and what ``start`` reads where those of a block row begin.
    x, g : flat (samples, inputs) and (samples, rows)
    gradient : as the values: block by block, the columns of each one after the other
    top, bottom : rows whose values to compute, ``top`` a multiple of GROUP

    A dense product of which only the stored places are made. Samples come in panels as in
    :func:`gossamer.kernels.strips.strips`. The sums for each value fill a vector; those of some
    values at a time become one vector of totals.
    """
    across = LANES * ACROSS
    panel, tile = aligned(inputs * across), aligned(GROUP * across)
    within = np.arange(HEIGHT)
    for b in range(0, samples, across):
        count = min(across, samples - b)
        pack(x, b, count, inputs, 0, panel)
        for group in range(top, bottom, GROUP):
            end = min(group + GROUP, bottom)
            pack_rows(g, b, count, group, end, rows, tile)
            for r in range(group, end, HEIGHT):
                k, stop = start(starts, r // HEIGHT), start(starts, r // HEIGHT + 1)
                part = tile[(r - group) * across :]
                add_products(columns, k, stop, part, panel, within, gradient)


def add_products(columns, k, stop, part, panel, within, gradient):
    """Single values ``k`` to ``stop`` of a row: they share that of ``g``, which is in registers."""
    factor = load(1, ACROSS, LANES, part, 0, 0)
    while k + MANY <= stop:
        found = totals(dots(MANY, factor, panel, columns, k, LANES * ACROSS))
        store(plus(load(1, 1, MANY, gradient, k, 0), found), gradient, k, 0)
        k += MANY
    while k + SOME <= stop:
        found = totals(dots(SOME, factor, panel, columns, k, LANES * ACROSS))
        store(plus(load(1, 1, SOME, gradient, k, 0), found), gradient, k, 0)
        k += SOME
    while k < stop:
        found = totals(dots(1, factor, panel, columns, k, LANES * ACROSS))
        store(plus(load(1, 1, 1, gradient, k, 0), found), gradient, k, 0)
        k += 1


def add_block_products(columns, k, stop, part, panel, within, gradient):
    """Blocks ``k`` to ``stop`` of a block row: the values of a column share that of ``x``."""
    across = LANES * ACROSS
    for i in range(k * WIDTH, stop * WIDTH):
        place = np.int64(columns[i // WIDTH]) * WIDTH + i % WIDTH
        factor = load(1, ACROSS, LANES, panel, place * across, 0)
        found = totals(dots(HEIGHT, factor, part, within, 0, across))
        store(plus(load(1, 1, HEIGHT, gradient, i * HEIGHT, 0), found), gradient, i * HEIGHT, 0)


def input_gradients(values, columns, starts, g, gradient, inputs, rows, first, last):
    """``gradient[b, c] = sum_k g[b, row(k)] values[k]`` over column c, for b in [first, last).

    Arguments as in :func:`value_gradients`; ``gradient`` is flat (samples, inputs). Every block
    adds to its columns of a panel.
    """
    across = LANES * ACROSS
    panel, tile = aligned(inputs * across), aligned(GROUP * across)
    for b in range(first, last, across):
        count = min(across, last - b)
        panel[:] = 0.0
        for group in range(0, rows, GROUP):
            end = min(group + GROUP, rows)
            pack_rows(g, b, count, group, end, rows, tile)
            for r in range(group, end, HEIGHT):
                factors = load(HEIGHT, ACROSS, LANES, tile, (r - group) * across, across)
                k, stop = start(starts, r // HEIGHT), start(starts, r // HEIGHT + 1)
                for i in range(k * WIDTH, stop * WIDTH):
                    column = np.int64(columns[i // WIDTH]) * WIDTH + i % WIDTH
                    acc = load(1, ACROSS, LANES, panel, column * across, 0)
                    acc = add_scaled(acc, values, i * HEIGHT, factors)
                    store(acc, panel, column * across, 0)
        for group in range(0, inputs, GROUP):
            end = min(group + GROUP, inputs)
            unpack(panel[group * across :], b, count, group, end, inputs, 0, gradient)


def pack_rows(g, b, count, group, end, rows, tile):
    """``tile[r, i] = g[b + i, group + r]``, zero where there are no more samples."""
    across = LANES * ACROSS
    whole_count, whole_rows = count // LANES * LANES, (end - group) // LANES * LANES
    for r in range(0, whole_rows, LANES):
        for i in range(0, whole_count, LANES):
            square = load(LANES, 1, LANES, g, (b + i) * rows + group + r, rows)
            store(transposed(square), tile, r * across + i, across)
    for r in range(end - group):
        for i in range(whole_count if r < whole_rows else 0, count):
            tile[r * across + i] = g[(b + i) * rows + group + r]
        for i in range(count, across):
            tile[r * across + i] = 0.0
