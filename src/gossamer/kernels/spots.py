"""Convolutions at chosen positions of the output: the others are never computed."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from gossamer.kernels.vector_spots import add_spots, store_spots
from gossamer.kernels.vectors import clamp, load

# Bound: lanes of a vector, vectors of output channels, and positions at a time.
LANES, ACROSS, COUNT = 16, 4, 6


def spots(weight, taps, x, starts, bias, low, high, y, targets, begin, end, first, last):
    """``y[targets[p] + r] = clamp(bias[r] + sum_k weight[k, r] x[starts[p] + taps[k]])``.

    Parameters
    ----------
    weight : flat (channels / width, taps, width), width = ``ACROSS * LANES``
        Tiles of output channels, in whole ones.
    taps : (n_taps,) of int64
        Where the inputs of an output lie behind the first of them: channels and window.
    x, y : flat
    starts, targets : (positions,) of int64
        Where the inputs of a position begin, and its outputs.
    bias : (channels,)
    low, high : bounds of the results
    begin, end : output channels to compute, in whole tiles
    first, last : positions to compute, ``last - first`` a multiple of COUNT
    """
    width = ACROSS * LANES
    for r in range(begin, end, width):
        for p in range(first, last, COUNT):
            acc = load(COUNT, ACROSS, LANES, bias, r, 0)
            for k in range(taps.size):
                acc = add_spots(acc, weight, r * taps.size + k * width, x, starts, p, taps[k])
            store_spots(clamp(acc, low, high), y, targets, p, r)
