"""Products of an unstructured sparse matrix with few samples: 16 rows lie in the lanes."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.vector_lookups import add_picked
from gossamer.kernels.vectors import plus, store, zeros

LANES = 16
# Bound: samples at a time, and neighbouring inputs out of which a lane may pick one: 16 of them
# fill a register, 32 fill two.
COUNT, WINDOW = 1, 32
FULL = 8  # accumulators that keep the vector units busy


def slices(
    values, places, starts, order, x, bias, low, high, y, inputs, rows, first, last, top, bottom
):
    """``y[b, order[r]] = clamp(bias[order[r]] + sum_k values[k] x[b, place(k)])``.

    Parameters
    ----------
    values : (n_steps * LANES,)
        Of each step, the values of LANES rows, zero where a row has none.
    places, starts
        What ``start`` and ``add_step`` read the steps of a slice and the inputs of a step from.
    order : (rows,) of integers
        The rows, slice by slice: what ``row`` reads.
    x, y : flat (samples, inputs) and (samples, rows)
    bias : (rows,)
    low, high : bounds of the results
    first, last : samples to compute, a multiple of COUNT
    top, bottom : rows of ``order`` to compute, ``top`` a multiple of LANES
    """
    sums = np.empty(COUNT * LANES, np.float32)
    for b in range(first, last, COUNT):
        origin = b * inputs
        for r in range(top, bottom, LANES):
            acc = zeros(COUNT, 1, LANES)
            begin, stop = start(starts, r // LANES), start(starts, r // LANES + 1)
            k = begin
            if COUNT < FULL:
                # four chains of sums: a vector unit starts a product before the last is done
                one, two, three = (
                    zeros(COUNT, 1, LANES),
                    zeros(COUNT, 1, LANES),
                    zeros(COUNT, 1, LANES),
                )
                while k + 3 < stop:
                    acc = add_step(acc, values, places, k, k - begin, x, origin, inputs)
                    one = add_step(one, values, places, k + 1, k + 1 - begin, x, origin, inputs)
                    two = add_step(two, values, places, k + 2, k + 2 - begin, x, origin, inputs)
                    three = add_step(three, values, places, k + 3, k + 3 - begin, x, origin, inputs)
                    k += 4
                acc = plus(plus(acc, one), plus(two, three))
            while k < stop:
                acc = add_step(acc, values, places, k, k - begin, x, origin, inputs)
                k += 1
            store(acc, sums, 0, LANES)
            for i in range(min(LANES, bottom - r)):
                out = row(order, r + i)
                for c in range(COUNT):
                    total = bias[out] + sums[c * LANES + i]
                    total = low if total < low else total
                    y[(b + c) * rows + out] = high if total > high else total


def start(starts, r):
    """Where the steps of slice ``r`` begin."""
    return np.int64(starts[r])


def row(order, r):
    """The row in lane ``r`` of all lanes."""
    return np.int64(order[r])


def add_step(acc, values, places, k, j, x, origin, inputs):
    """Add the products of step ``k``, the ``j``-th of its slice: one input for each row."""
    bases, picks = places
    base = origin + np.int64(bases[k])
    return add_picked(acc, values, k * LANES, picks, 8, WINDOW, 0, x, base, inputs)


# -- n of m: of every M neighbouring inputs N have a value --
N, M, BITS = 2, 4, 2  # bound; BITS of a place within its M
TILE = 16  # inputs that one register holds


def equal_start(starts, r):
    """Where the steps of slice ``r`` begin, when all have as many."""
    return starts[0] * r


def same_row(order, r):
    """Rows in their own order."""
    return r


def add_n_of_m(acc, values, places, k, j, x, origin, inputs):
    """Add the products of step ``k``: one of M inputs for each row."""
    first = j // N * M
    base = min(first, inputs - TILE)
    return add_picked(
        acc, values, k * LANES, places, BITS, TILE, first - base, x, origin + base, inputs
    )
