"""Vectors, continued: sums over rows and over lanes, for gradients.

Written as in :mod:`gossamer.kernels.vectors`: each function as plain numpy and as instructions.
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
    read_scalar,
    read_vector,
    spread_scalar,
    summed_vectors,
)
from gossamer.kernels.vectors import Vectors, _floats, _pointer, _twin_of


def _plain_dots(rows, g, x, columns, k, pitch):
    places = columns[k : k + rows].astype(np.int64)[:, None] * pitch + np.arange(g.size)
    return (g.ravel() * x[places]).reshape(rows, -1, g.shape[2]).sum(1, keepdims=True)


@_twin_of(_plain_dots)
def dots(typing, rows, g, x, columns, k, pitch):
    """``acc[r] = sum_t g[t] * x[columns[k + r] * pitch + t * lanes :][:lanes]``, one across."""
    kind = Vectors(rows.literal_value, 1, g.lanes)

    def code(context, builder, signature, arguments):
        factors = each(builder, arguments[1])
        array = context.make_array(signature.args[2])(context, builder, arguments[2])
        index = _pointer(context, builder, signature, arguments, 3, 4)
        sums = []
        for row in range(kind.rows):
            place = builder.load(builder.gep(index, [ir.Constant(ir.IntType(64), row)]))
            place = context.cast(builder, place, signature.args[3].dtype, types.intp)
            start = builder.gep(array.data, [builder.mul(place, arguments[5])])
            total = ir.Constant(factors[0].type, None)
            for t, factor in enumerate(factors):
                vector = read_vector(builder, start, t * kind.lanes, kind.lanes)
                total = fused(builder, factor, vector, total)
            sums.append(total)
        return joined(builder, sums)

    return kind(rows, g, x, columns, types.intp, types.intp), code


def _plain_totals(acc):
    return acc.sum((1, 2)).reshape(1, 1, -1)


@_twin_of(_plain_totals)
def totals(typing, acc):
    """One vector, whose lanes are the sums of the rows; rows and lanes are powers of two."""
    kind = Vectors(1, 1, acc.rows)

    def code(context, builder, signature, arguments):
        return joined(builder, [summed_vectors(builder, each(builder, arguments[0]))])

    return kind(acc), code


def _plain_add_scaled(acc, values, k, g):
    return acc + np.tensordot(_floats(values, k, len(g)), g, 1)[None]


@_twin_of(_plain_add_scaled)
def add_scaled(typing, acc, values, k, g):
    """``acc[0, t] += sum_r values[k + r] * g[r, t]``."""

    def code(context, builder, signature, arguments):
        sums = each(builder, arguments[0])
        stored = _pointer(context, builder, signature, arguments, 1, 2)
        for i, vector in enumerate(each(builder, arguments[3])):
            row, t = divmod(i, g.across)
            value = spread_scalar(builder, read_scalar(builder, stored, row), g.lanes)
            sums[t] = fused(builder, value, vector, sums[t])
        return joined(builder, sums)

    return acc(acc, values, types.intp, g), code
