"""Sharing: one kernel on several parts at once, by the threads of an OpenMP runtime.

Threads of Python take some fifty microseconds to wake and to pass the interpreter's lock around.
Those of OpenMP wait for work without sleeping, and torch has them running already.
"""

# mypy: disable-error-code="no-untyped-def,call-arg"

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_INDEX, _WHOLE, _POINTER = ir.IntType(64), ir.IntType(32), ir.IntType(8).as_pointer()
_PARTS = types.Array(types.intp, 2, "C")
# What the threads share, in this order, before the arguments of the kernel.
_TAKEN, _FAILED, _COUNT, _WHERE, _ARGUMENTS = range(5)


def piece(*arguments):
    """Bound: what runs on each part."""


def together(parallel, parts, *arguments):
    """``piece(*arguments, *part)`` for each row of ``parts``, all at once: how many failed.

    Parameters
    ----------
    parallel : int
        The address of OpenMP's ``GOMP_parallel``.
    parts : (count, 4) of intp
        Taken by whichever thread is free next: all get done, however few threads there are.
    """
    return share(piece, parallel, parts, arguments)


@intrinsic
def share(typing, called, parallel, parts, arguments):
    """:func:`together`, as instructions."""
    signature = called.get_call_type(typing, (*arguments, *(types.intp,) * 4), {})

    def code(context, builder, _, given):
        array = context.make_array(_PARTS)(context, builder, given[2])
        count = builder.extract_value(array.shape, 0)
        values = [builder.extract_value(given[3], i) for i in range(len(arguments))]
        held = [ir.Constant(_INDEX, 0), ir.Constant(_INDEX, 0), count, array.data, *values]
        shared = cgutils.alloca_once(builder, ir.LiteralStructType([v.type for v in held]))
        for i, value in enumerate(held):
            builder.store(value, _place(builder, shared, i))
        task = _task(context, builder, called, signature, shared.type)
        flat = builder.bitcast(shared, _POINTER)
        kind = ir.FunctionType(ir.VoidType(), [task.type, _POINTER, _WHOLE, _WHOLE])
        begin = builder.inttoptr(given[1], kind.as_pointer())
        threads = builder.trunc(count, _WHOLE)
        builder.call(begin, [task, flat, threads, ir.Constant(_WHOLE, 0)])
        return builder.load(_place(builder, shared, _FAILED))

    return types.intp(called, types.intp, _PARTS, arguments), code


def _task(context, caller, called, signature, memory):
    """The function that each thread runs: it takes the next part until none is left."""
    kind = ir.FunctionType(ir.VoidType(), [_POINTER])
    module = caller.module
    task = ir.Function(module, kind, module.get_unique_name("shared_parts"))
    task.linkage = "internal"
    begin, take, work, failed, end = (
        task.append_basic_block(name) for name in ("begin", "take", "work", "failed", "end")
    )
    builder, one = ir.IRBuilder(begin), ir.Constant(_INDEX, 1)
    shared = builder.bitcast(task.args[0], memory)

    def read(i):
        return builder.load(_place(builder, shared, i))

    count, parts = read(_COUNT), read(_WHERE)
    arguments = [read(_ARGUMENTS + i) for i in range(len(signature.args) - 4)]
    builder.branch(take)

    builder.position_at_end(take)
    mine = builder.atomic_rmw("add", _place(builder, shared, _TAKEN), one, "seq_cst")
    builder.cbranch(builder.icmp_signed("<", mine, count), work, end)

    builder.position_at_end(work)
    row = builder.gep(parts, [builder.mul(mine, ir.Constant(_INDEX, 4))])
    part = [builder.load(builder.gep(row, [ir.Constant(_INDEX, i)])) for i in range(4)]
    compiled = called.dispatcher.overloads[signature.args]
    context.add_linking_libs([compiled.library])
    status, _ = context.call_internal_no_propagate(
        builder, compiled.fndesc, signature, [*arguments, *part]
    )
    builder.cbranch(status.is_error, failed, take)

    builder.position_at_end(failed)
    builder.atomic_rmw("add", _place(builder, shared, _FAILED), one, "seq_cst")
    builder.branch(take)

    builder.position_at_end(end)
    builder.ret_void()
    return task


def _place(builder, shared, i):
    return builder.gep(shared, [ir.Constant(_WHOLE, 0), ir.Constant(_WHOLE, i)])
