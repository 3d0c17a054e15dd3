"""Vectors, continued: each lane picks its own number out of a few neighbouring ones.

Written as in :mod:`gossamer.kernels.vectors`: each function as plain numpy and as instructions.
A gather from anywhere takes as long as one load a lane. From a window of 16 or 32 numbers, which
few registers hold, AVX-512 picks all 16 at once and AVX2 by eight out of eight; other machines load
them one by one.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types

from gossamer.kernels.vector_code import (
    each,
    fused,
    joined,
    picked,
    read_places,
    read_vector,
    stepped,
)
from gossamer.kernels.vectors import _floats, _pointer, _twin_of


def _plain_add_picked(acc, values, k, places, bits, window, shift, x, offset, pitch):
    lanes = acc.shape[2]
    at = k * bits + bits * np.arange(lanes)
    picks = (places[at // 8].astype(np.int64) >> at % 8 & (1 << bits) - 1) + shift
    numbers = x[offset + pitch * np.arange(len(acc))[:, None] + picks]
    return acc + (_floats(values, k, lanes) * numbers)[:, None, :]


@_twin_of(_plain_add_picked)
def add_picked(typing, acc, values, k, places, bits, window, shift, x, offset, pitch):
    """``acc[r, i] += values[k + i] * x[offset + r * pitch + shift + places[k + i]]``.

    For one vector of 16 lanes across. ``places`` are packed as numbers of ``bits`` (2, 4 or 8) in
    bytes, the first one lowest; ``k * bits`` is a whole number of bytes. With ``shift`` they lie
    below ``window`` (16 or 32), and so many numbers of ``x`` must be there.
    """
    width, size = bits.literal_value, window.literal_value

    def code(context, builder, signature, arguments):
        sums = each(builder, arguments[0])
        stored = _pointer(context, builder, signature, arguments, 1, 2)
        packed = context.make_array(signature.args[3])(context, builder, arguments[3])
        byte = builder.ashr(
            builder.mul(arguments[2], ir.Constant(arguments[2].type, width)),
            ir.Constant(arguments[2].type, 3),
        )
        place = builder.gep(packed.data, [byte])
        picks = read_places(builder, place, acc.lanes, width, arguments[6])
        start = _pointer(context, builder, signature, arguments, 7, 8)
        value = read_vector(builder, stored, 0, acc.lanes)
        features = context.codegen().magic_tuple()[2]
        for row, pointer in enumerate(stepped(builder, start, arguments[9], acc.rows)):
            chosen = picked(builder, pointer, picks, size, features)
            sums[row] = fused(builder, value, chosen, sums[row])
        return joined(builder, sums)

    index = types.intp
    return acc(acc, values, index, places, bits, window, index, x, index, index), code
