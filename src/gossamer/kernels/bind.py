"""Compile a kernel for a penalty, once per machine.

:func:`bind` copies a plain function with some of its global names bound to compiled formulas, and
compiles the copy with a cache on disk. A hash of all code and constants that the kernel reaches
goes into the copy's name: every (kernel, formulas) pair has a cache entry of its own, an edited
formula is never served stale, and a user's penalty runs at the speed of a built-in one.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numba
import numpy as np

from gossamer.core.formula import namespace, rebind

# reordering and fused multiply-add, but NaN and infinity keep their meaning
_FASTMATH = {"reassoc", "contract", "nsz"}


@numba.njit(inline="always")
def _where(condition, yes, no):  # type: ignore[no-untyped-def]
    return yes if condition else no


_SCALAR_NUMPY = namespace("scalar_numpy", np, where=_where)


def bind(kernel: Callable, **formulas: Callable | int) -> Callable:
    """``kernel`` compiled with its global names bound to ``formulas``.

    Parameters
    ----------
    kernel : function
        Plain loops over arrays, which numba can compile.
    **formulas : functions or whole numbers
        Each replaces the global of that name in the kernel and in the other formulas. Formulas
        may also call plain functions of their own module. Numbers are constants to the compiler.

    Returns
    -------
    callable
        Compiled on first call for each combination of argument types, or read from the cache.

    Examples
    --------
    >>> def total(x):
    ...     result = 0.0
    ...     for i in range(x.size):
    ...         result += term(x[i])
    ...     return result
    >>> bind(total, term=lambda t: t * t)(np.array([1.0, 2.0]))
    5.0
    """
    for name, formula in formulas.items():
        if not isinstance(formula, FunctionType | int):
            raise TypeError(
                f"formula {name} must be a plain Python function or an int, got {formula!r}."
            )
    return _bind(kernel, tuple(sorted(formulas.items())))


@cache
def _bind(kernel: FunctionType, formulas: tuple[tuple[str, Any], ...]) -> Callable:
    digest = hashlib.sha256()
    digest.update(repr([pair for pair in formulas if isinstance(pair[1], int)]).encode())
    bound: dict[str, Any] = {name: value for name, value in formulas if isinstance(value, int)}
    functions = [(name, value) for name, value in formulas if name not in bound]
    for function in (kernel, *(formula for _, formula in functions), _compiled):
        _digest(function, digest, set())
    tag = digest.hexdigest()[:16]
    left = dict(functions)
    while left:
        # formulas may call each other: those first whose needs are met
        name = min(left, key=lambda each: len(_names(left[each].__code__) & left.keys() - {each}))
        bound[name] = _compiled(left.pop(name), bound, f"{name}_{tag}")
    copy = rebind(kernel, bound, _SCALAR_NUMPY)
    copy.__qualname__ = f"{kernel.__name__}_{tag}"
    return _compile(copy)


def _compiled(formula: FunctionType, bound: dict[str, Any], tag: str) -> Callable:
    """A formula compiled together with the plain functions that it calls.

    Kernels that come from the cache bring their formulas as machine code, which the process finds
    by name: no two that differ may have the same one.
    """
    names = dict(bound)
    for name in _names(formula.__code__) - bound.keys():
        value = formula.__globals__.get(name)
        if isinstance(value, FunctionType) and value is not formula:
            names[name] = _compiled(value, {}, tag)
    copy = rebind(formula, names, _SCALAR_NUMPY)
    copy.__qualname__ = f"{formula.__name__}_{tag}"
    return numba.njit(fastmath=_FASTMATH)(copy)


def _compile(function: Callable) -> Callable:
    # what was typed into an interpreter has no file that a cache could be kept for
    has_file = Path(inspect.getfile(function)).exists()
    compiler = numba.njit(cache=has_file, nogil=True, fastmath=_FASTMATH)
    try:
        return _filed_by_types(compiler(function))
    except RuntimeError:
        # neither the package nor the home folder can be written
        numba.config.CACHE_DIR = str(_private_folder())  # type: ignore[attr-defined]
        return _filed_by_types(compiler(function))


def _filed_by_types(compiled: Callable) -> Callable:
    """Have the code for each combination of types kept in a file named after these.

    numba counts the files: two processes that compile one kernel for different types at a time
    would write to the same one, and from then on code for other types would be run.
    """
    files = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if files is not None:
        keep, pattern = files.save, files._data_name_pattern

        def keep_by_types(key: Any, data: Any) -> None:
            types = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
            files._data_name_pattern = pattern.replace("{number", f"{types}.{{number")
            keep(key, data)

        files.save = keep_by_types
    return compiled


def start_compiler() -> None:
    """Have numba register its functions now, as it otherwise does at the first compiled call."""
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        _where.typingctx.refresh()
        _where.targetctx.refresh()


def cache_folder() -> Path | None:
    """Where compiled kernels are kept; None where numba compiles nothing."""
    stats = getattr(_compile(_private_folder), "stats", None)
    return None if stats is None else Path(stats.cache_path)


def _private_folder() -> Path:
    """A cache folder in the temporary directory that no other user can have planted."""
    folder = Path(tempfile.gettempdir()) / f"gossamer-{os.getuid() if hasattr(os, 'getuid') else 0}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat()
        foreign = hasattr(os, "getuid") and owner.st_uid != os.getuid()
        if stat.S_ISDIR(owner.st_mode) and not foreign and not owner.st_mode & 0o077:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="gossamer-"))


def _names(code: CodeType) -> set[str]:
    """Global names a code object and those nested in it refer to."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _digest(function: FunctionType, digest: Any, seen: set[int]) -> None:
    """Feed the hash with all code and constants reachable from ``function``."""
    if id(function) in seen:
        return
    seen.add(id(function))
    # what is read from the cache imports the module of every formula
    digest.update(function.__module__.encode())
    _digest_code(function.__code__, digest)
    digest.update(repr(function.__defaults__).encode())
    for cell in function.__closure__ or ():
        digest.update(repr(cell.cell_contents).encode())
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        value = getattr(value, "py_func", getattr(value, "_defn", value))  # numba's own wrappers
        if isinstance(value, FunctionType):
            _digest(value, digest, seen)
        elif isinstance(value, np.ndarray | np.generic):
            digest.update(f"{name}={value.dtype}{value.shape}".encode() + value.tobytes())
        elif isinstance(value, bool | int | float | str | tuple):
            digest.update(f"{name}={value!r}".encode())


def _digest_code(code: CodeType, digest: Any) -> None:
    digest.update(code.co_code)
    digest.update(repr(code.co_names).encode())
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _digest_code(constant, digest)
        else:
            digest.update(repr(constant).encode())
