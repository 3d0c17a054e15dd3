"""Vectors: the registers of the machine, inside a kernel.

A kernel that is written with these functions says what each vector instruction does: which numbers
lie in its lanes, and how many accumulators wait in registers. numba passes them to LLVM as vectors
of fixed width, which become AVX-512, AVX2, SSE or NEON on the machine that compiles them.

``Vectors(rows, across, lanes)`` is the type: ``rows`` times ``across`` vectors of ``lanes`` float32
numbers, all of them registers where the machine has as many. Below, ``acc`` is such a value, and
arrays are flat. Each function is defined twice: as plain numpy, where ``acc`` is an array (rows,
across, lanes), which runs where numba compiles nothing (``NUMBA_DISABLE_JIT=1``), and as the
instructions for LLVM.

Numbers are read as float32. Stored values may be narrower: uint16 holds the upper half of a
float32 (bfloat16), int8 a whole number. Nothing checks bounds.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from gossamer.kernels.vector_code import (
    clamped,
    each,
    every_other,
    fused,
    joined,
    read_scalar,
    read_vector,
    spread_scalar,
    stepped,
    transposed_vectors,
    vectors_type,
    write_vector,
)


class Vectors(types.Type):
    """``rows`` x ``across`` vectors of ``lanes`` float32 numbers."""

    def __init__(self, rows: int, across: int, lanes: int) -> None:
        self.rows, self.across, self.lanes = rows, across, lanes
        super().__init__(name=f"Vectors({rows}, {across}, {lanes})")

    @classmethod
    def of(cls, *sizes: types.IntegerLiteral) -> Vectors:
        """From the types of arguments that are constants."""
        return cls(*(size.literal_value for size in sizes))


@register_model(Vectors)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vectors) -> None:
        super().__init__(manager, kind, vectors_type(kind.rows * kind.across, kind.lanes))


def _twin_of(plain: Callable) -> Callable[[Callable], Callable]:
    """Instructions in place of the plain function, wherever numba compiles."""

    def choose(typed: Callable) -> Callable:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return plain
        made: Callable = intrinsic(prefer_literal=True)(typed)
        return made

    return choose


def _floats(values, k, count):
    """``count`` stored values from ``k`` on, as float32."""
    stored = values[k : k + count]
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


# -- making --
def _plain_zeros(rows, across, lanes):
    return np.zeros((rows, across, lanes), np.float32)


@_twin_of(_plain_zeros)
def zeros(typing, rows, across, lanes):
    """All lanes zero."""
    kind = Vectors.of(rows, across, lanes)

    def code(context, builder, signature, arguments):
        return ir.Constant(vectors_type(kind.rows * kind.across, kind.lanes), None)

    return kind(rows, across, lanes), code


def _plain_spread(rows, across, lanes, values, k):
    return np.tile(_floats(values, k, rows)[:, None, None], (1, across, lanes))


@_twin_of(_plain_spread)
def spread(typing, rows, across, lanes, values, k):
    """``acc[r] = values[k + r]`` in all lanes."""
    kind = Vectors.of(rows, across, lanes)

    def code(context, builder, signature, arguments):
        start = _pointer(context, builder, signature, arguments, 3, 4)
        scalars = [read_scalar(builder, start, row) for row in range(kind.rows)]
        wide = [spread_scalar(builder, scalar, kind.lanes) for scalar in scalars]
        return joined(builder, [vector for vector in wide for _ in range(kind.across)])

    return kind(rows, across, lanes, values, types.intp), code


def _plain_load(rows, across, lanes, x, offset, pitch):
    read = [_floats(x, offset + pitch * row, across * lanes) for row in range(rows)]
    return np.stack(read).reshape(rows, across, lanes)


@_twin_of(_plain_load)
def load(typing, rows, across, lanes, x, offset, pitch):
    """``acc[r, t] = x[offset + r * pitch + t * lanes :][:lanes]``."""
    kind = Vectors.of(rows, across, lanes)

    def code(context, builder, signature, arguments):
        start = _pointer(context, builder, signature, arguments, 3, 4)
        pointers = stepped(builder, start, arguments[5], kind.rows)
        offsets = range(0, kind.across * kind.lanes, kind.lanes)
        read = [read_vector(builder, p, o, kind.lanes) for p in pointers for o in offsets]
        return joined(builder, read)

    return kind(rows, across, lanes, x, types.intp, types.intp), code


def _plain_load_half(lanes, x, offset):
    return _floats(x, offset, 2 * lanes)[None, None, ::2]


@_twin_of(_plain_load_half)
def load_half(typing, lanes, x, offset):
    """``acc[0, 0] = x[offset :][: 2 * lanes : 2]``."""
    kind = Vectors(1, 1, lanes.literal_value)

    def code(context, builder, signature, arguments):
        start = _pointer(context, builder, signature, arguments, 1, 2)
        halves = [read_vector(builder, start, half, kind.lanes) for half in (0, kind.lanes)]
        return joined(builder, [every_other(builder, *halves)])

    return kind(lanes, x, types.intp), code


# -- multiplying and adding --
def _plain_add_outer(acc, values, k, x, offset):
    rows, across, lanes = acc.shape
    wide = _floats(x, offset, across * lanes).reshape(1, across, lanes)
    return acc + _floats(values, k, rows)[:, None, None] * wide


@_twin_of(_plain_add_outer)
def add_outer(typing, acc, values, k, x, offset):
    """``acc[r, t] += values[k + r] * x[offset + t * lanes :][:lanes]``."""

    def code(context, builder, signature, arguments):
        sums = each(builder, arguments[0])
        stored = _pointer(context, builder, signature, arguments, 1, 2)
        start = _pointer(context, builder, signature, arguments, 3, 4)
        wide = [read_vector(builder, start, t * acc.lanes, acc.lanes) for t in range(acc.across)]
        for row in range(acc.rows):
            value = spread_scalar(builder, read_scalar(builder, stored, row), acc.lanes)
            for t, vector in enumerate(wide, start=row * acc.across):
                sums[t] = fused(builder, value, vector, sums[t])
        return joined(builder, sums)

    return acc(acc, values, types.intp, x, types.intp), code


def _plain_add_rows(acc, values, k, x, offset, pitch):
    rows, _, lanes = acc.shape
    return acc + _floats(values, k, lanes) * x[offset + pitch * np.arange(rows)][:, None, None]


@_twin_of(_plain_add_rows)
def add_rows(typing, acc, values, k, x, offset, pitch):
    """``acc[r] += values[k :][:lanes] * x[offset + r * pitch]``, for one vector across."""

    def code(context, builder, signature, arguments):
        sums = each(builder, arguments[0])
        stored = _pointer(context, builder, signature, arguments, 1, 2)
        start = _pointer(context, builder, signature, arguments, 3, 4)
        value = read_vector(builder, stored, 0, acc.lanes)
        for row, pointer in enumerate(stepped(builder, start, arguments[5], acc.rows)):
            wide = spread_scalar(builder, read_scalar(builder, pointer, 0), acc.lanes)
            sums[row] = fused(builder, value, wide, sums[row])
        return joined(builder, sums)

    return acc(acc, values, types.intp, x, types.intp, types.intp), code


def _plain_plus(one, other):
    return one + other


@_twin_of(_plain_plus)
def plus(typing, one, other):
    """The sum of two accumulators."""

    def code(context, builder, signature, arguments):
        pairs = zip(each(builder, arguments[0]), each(builder, arguments[1]), strict=True)
        return joined(builder, [builder.fadd(a, b) for a, b in pairs])

    return one(one, other), code


def _plain_clamp(acc, low, high):
    return np.minimum(np.maximum(acc, low), high).astype(np.float32)


@_twin_of(_plain_clamp)
def clamp(typing, acc, low, high):
    """Each number moved into [low, high]; NaN stays."""

    def code(context, builder, signature, arguments):
        low, high = (spread_scalar(builder, bound, acc.lanes) for bound in arguments[1:])
        return joined(
            builder, [clamped(builder, v, low, high) for v in each(builder, arguments[0])]
        )

    return acc(acc, types.float32, types.float32), code


# -- moving --
def _plain_transposed(acc):
    return acc.transpose(2, 1, 0).copy()


@_twin_of(_plain_transposed)
def transposed(typing, acc):
    """Rows and lanes swapped; there must be as many of each, and one vector across."""

    def code(context, builder, signature, arguments):
        return joined(builder, transposed_vectors(builder, each(builder, arguments[0])))

    return acc(acc), code


def _plain_store(acc, y, offset, pitch):
    for row, vectors in enumerate(acc):
        y[offset + row * pitch : offset + row * pitch + vectors.size] = vectors.ravel()


@_twin_of(_plain_store)
def store(typing, acc, y, offset, pitch):
    """``y[offset + r * pitch + t * lanes :][:lanes] = acc[r, t]``."""

    def code(context, builder, signature, arguments):
        vectors = each(builder, arguments[0])
        start = _pointer(context, builder, signature, arguments, 1, 2)
        for row, pointer in enumerate(stepped(builder, start, arguments[3], acc.rows)):
            for t in range(acc.across):
                write_vector(builder, vectors[row * acc.across + t], pointer, t * acc.lanes)

    return types.void(acc, y, types.intp, types.intp), code


def _plain_copy(x, k, y, to, count):
    y[to : to + count] = x[k : k + count]


@_twin_of(_plain_copy)
def copy(typing, x, k, y, to, count):
    """``y[to :][:count] = x[k :][:count]``, of one type that need not be float32."""

    def code(context, builder, signature, arguments):
        source = _pointer(context, builder, signature, arguments, 0, 1)
        target = _pointer(context, builder, signature, arguments, 2, 3)
        size = context.get_abi_sizeof(source.type.pointee)
        cgutils.raw_memcpy(builder, target, source, arguments[4], size)

    return types.void(x, types.intp, y, types.intp, types.intp), code


def _pointer(context, builder, signature, arguments, array, index):
    """The address of an element of an array argument."""
    kind = signature.args[array]
    made = context.make_array(kind)(context, builder, arguments[array])
    return builder.gep(made.data, [arguments[index]])
