"""Vectors, continued: rows that lie at places of their own.

Written as in :mod:`gossamer.kernels.vectors`: each function as plain numpy and as instructions.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from llvmlite import ir
from numba import types

from gossamer.kernels.vector_code import (
    each,
    fused,
    joined,
    read_scalar,
    read_vector,
    spread_scalar,
    write_vector,
)
from gossamer.kernels.vectors import _floats, _pointer, _twin_of


def _plain_add_spots(acc, values, k, x, places, p, offset):
    rows, across, lanes = acc.shape
    wide = _floats(values, k, across * lanes).reshape(1, across, lanes)
    return acc + x[places[p : p + rows] + offset][:, None, None] * wide


@_twin_of(_plain_add_spots)
def add_spots(typing, acc, values, k, x, places, p, offset):
    """``acc[r, t] += values[k + t * lanes :][:lanes] * x[places[p + r] + offset]``."""

    def code(context, builder, signature, arguments):
        sums = each(builder, arguments[0])
        stored = _pointer(context, builder, signature, arguments, 1, 2)
        index = _pointer(context, builder, signature, arguments, 4, 5)
        array = context.make_array(signature.args[3])(context, builder, arguments[3])
        x = builder.gep(array.data, [arguments[6]])
        wide = [read_vector(builder, stored, t * acc.lanes, acc.lanes) for t in range(acc.across)]
        for row in range(acc.rows):
            spot = builder.gep(x, [_place(builder, index, row)])
            value = spread_scalar(builder, read_scalar(builder, spot, 0), acc.lanes)
            for t, vector in enumerate(wide, start=row * acc.across):
                sums[t] = fused(builder, value, vector, sums[t])
        return joined(builder, sums)

    return acc(acc, values, types.intp, x, places, types.intp, types.intp), code


def _plain_store_spots(acc, y, places, p, offset):
    for row, vectors in enumerate(acc):
        start = places[p + row] + offset
        y[start : start + vectors.size] = vectors.ravel()


@_twin_of(_plain_store_spots)
def store_spots(typing, acc, y, places, p, offset):
    """``y[places[p + r] + offset + t * lanes :][:lanes] = acc[r, t]``."""

    def code(context, builder, signature, arguments):
        vectors = each(builder, arguments[0])
        index = _pointer(context, builder, signature, arguments, 2, 3)
        start = _pointer(context, builder, signature, arguments, 1, 4)
        for row in range(acc.rows):
            pointer = builder.gep(start, [_place(builder, index, row)])
            for t in range(acc.across):
                write_vector(builder, vectors[row * acc.across + t], pointer, t * acc.lanes)

    return types.void(acc, y, places, types.intp, types.intp), code


def _place(builder, index, row):
    """An index of 64 bits."""
    return builder.load(builder.gep(index, [ir.Constant(ir.IntType(64), row)]))
