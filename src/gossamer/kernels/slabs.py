"""Products of a block-sparse matrix with few samples: the rows of a block lie in the lanes."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.vectors import add_rows, clamp, load, plus, store, zeros

# Bound: rows and columns of a block, samples at a time.
LANES, WIDTH, COUNT = 16, 1, 1
FULL = 8  # accumulators that keep the vector units busy


def slabs(values, columns, starts, x, bias, low, high, y, inputs, rows, first, last, top, bottom):
    """``y[b, r] = clamp(bias[r] + sum_k values[k] x[b, columns[k]])`` for b in [first, last).

    As :func:`strips` with blocks of LANES x WIDTH, for samples as they lie: x (samples, inputs) and
    y (samples, rows), both flat. ``last - first`` must be a multiple of COUNT.
    """
    for b in range(first, last, COUNT):
        origin = b * inputs
        for r in range(top, bottom, LANES):
            acc = load(COUNT, 1, LANES, bias, r, 0)
            k, stop = np.int64(starts[r // LANES]), np.int64(starts[r // LANES + 1])
            if COUNT < FULL:
                # four chains of sums: a vector unit starts a product before the last is done
                one, two, three = (
                    zeros(COUNT, 1, LANES),
                    zeros(COUNT, 1, LANES),
                    zeros(COUNT, 1, LANES),
                )
                while k + 3 < stop:
                    acc = add_block(acc, values, columns, k, x, origin, inputs)
                    one = add_block(one, values, columns, k + 1, x, origin, inputs)
                    two = add_block(two, values, columns, k + 2, x, origin, inputs)
                    three = add_block(three, values, columns, k + 3, x, origin, inputs)
                    k += 4
                acc = plus(plus(acc, one), plus(two, three))
            while k < stop:
                acc = add_block(acc, values, columns, k, x, origin, inputs)
                k += 1
            store(clamp(acc, low, high), y, b * rows + r, rows)


def add_block(acc, values, columns, k, x, origin, inputs):
    """Add the product of block ``k`` with its inputs of each sample."""
    place = origin + np.int64(columns[k]) * WIDTH
    for j in range(WIDTH):
        acc = add_rows(acc, values, (k * WIDTH + j) * LANES, x, place + j, inputs)
    return acc
