"""Threads: they share the parts of a product.

Those of OpenMP where torch has brought them, as they take up work within microseconds; else, and in
a process that was forked, where OpenMP's threads are gone for good, a pool of Python's.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from itertools import pairwise
from math import inf
from time import perf_counter, sleep
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from gossamer.kernels import bind, sharing
from gossamer.kernels.machine import compiles
from gossamer.runtime.product import Product

Part = tuple[int, int, int, int]  # samples [first, last) of rows [top, bottom)
_forked = False


def checked_threads(threads: int | None) -> int | None:
    """How many threads may share a product, None for as many as torch has; raise for others."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int)):
        raise TypeError(f"threads must be a whole number or None, got {threads!r}.")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, got {threads}.")
    return threads


def run_parts(crew: str, product: Product, parts: np.ndarray, *arguments: Any) -> None:
    """``product.run(*arguments, *part)`` for each row of ``parts``, all at once.

    ``crew`` is "openmp" or "pool".
    """
    parallel = openmp() if crew == "openmp" else None
    if product.together and parallel:
        product.together(parallel, parts, *arguments)
    else:
        together(partial(product.run, *arguments), parts.tolist())


def together(piece: Callable[..., None], parts: Sequence[Sequence[int]]) -> None:
    """``piece(*part)`` for all parts at once; returns when all are done.

    Raises
    ------
    Exception
        That of the first part that raised one, after all parts have come to an end.
    """
    futures = [_pool(len(parts) - 1).submit(piece, *part) for part in parts[1:]]
    try:
        piece(*parts[0])
    finally:
        wait(futures)
    for future in futures:
        future.result()


def share(
    piece: Callable[..., None],
    first: int,
    last: int,
    step: int,
    rows: int,
    group: int,
    threads: int,
) -> None:
    """Call ``piece(first, last, top, bottom)`` for parts of the samples, or else of the rows.

    Samples are shared where there are enough steps for all threads; rows otherwise.
    """
    if last - first >= step * threads:
        parts = [(a, b, 0, rows) for a, b in cut(first, last, step, threads)]
    else:
        parts = [(first, last, a, b) for a, b in cut(0, rows, group, threads)]
    together(piece, parts)


def cut(first: int, last: int, unit: int, parts: int) -> list[tuple[int, int]]:
    """[first, last) in at most ``parts`` ranges of whole units, the last one's rest included."""
    units = -(-(last - first) // unit)
    ends = [first + unit * (units * i // parts) for i in range(parts)] + [last]
    return [(a, b) for a, b in pairwise(ends) if a < b]


def openmp() -> int | None:
    """The address of ``GOMP_parallel`` in the runtime that torch computes with; None without."""
    return _found_openmp() if "torch" in sys.modules and not _forked else None


@cache
def handover(crew: str, threads: int) -> float:
    """Seconds until other threads have begun, and all know that all are done.

    ``crew`` is "openmp" or "pool". Each process finds out for itself: where others keep the cores
    busy, threads that have to wait for each other are better left alone.
    """
    parts = np.zeros((threads, 4), np.intp)
    if crew == "openmp":
        run = partial(bind(sharing.together, piece=_nothing), _found_openmp(), parts)
        return _shortest(run, pause=0.0)
    # between products its threads fall asleep
    return _shortest(partial(together, lambda *part: None, parts.tolist()), pause=1e-3)


def _shortest(run: Callable[[], Any], pause: float) -> float:
    shortest, end = inf, perf_counter() + 0.02
    run()  # compiles, and starts the threads
    while perf_counter() < end:
        sleep(pause)
        begun = perf_counter()
        run()
        shortest = min(shortest, perf_counter() - begun)
    return shortest


def _nothing(first, last, top, bottom):  # type: ignore[no-untyped-def]
    pass


@cache
def _found_openmp() -> int | None:
    if not compiles():
        return None
    loaded = ThreadpoolController().select(user_api="openmp").lib_controllers
    # of several runtimes that of torch: its threads are awake
    for library in sorted(loaded, key=lambda library: "torch" not in library.filepath):
        entry = getattr(ctypes.CDLL(library.filepath), "GOMP_parallel", None)
        if entry is not None:
            return ctypes.cast(entry, ctypes.c_void_p).value
    return None


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="gossamer")


def _after_fork() -> None:
    global _forked
    _forked = True
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
