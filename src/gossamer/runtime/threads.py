"""Threads: a few that wait for pieces of a product."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

from gossamer.runtime.product import Product

Part = tuple[int, int, int, int]  # samples [first, last) of rows [top, bottom)


def together(piece: Callable[..., None], parts: Sequence[Part]) -> None:
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


def handover(product: Product, threads: int) -> float:
    """Seconds that it takes until other threads have begun, and all know that all are done."""
    return 6e-5


def cut(first: int, last: int, unit: int, parts: int) -> list[tuple[int, int]]:
    """[first, last) in at most ``parts`` ranges of whole units, the last one's rest included."""
    units = -(-(last - first) // unit)
    ends = [first + unit * (units * i // parts) for i in range(parts)] + [last]
    return [(a, b) for a, b in pairwise(ends) if a < b]


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="gossamer")


if hasattr(os, "register_at_fork"):
    # threads do not live on in the child
    os.register_at_fork(after_in_child=_pool.cache_clear)
