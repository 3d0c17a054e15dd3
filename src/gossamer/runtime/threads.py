"""Threads: a few that wait for pieces of a product."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise


def share(
    piece: Callable[[int, int, int, int], None],
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
        cuts = _cuts(first, last, step, threads)
        parts = [(a, b, 0, rows) for a, b in cuts]
    else:
        parts = [(first, last, a, b) for a, b in _cuts(0, rows, group, threads)]
    futures = [_pool(threads - 1).submit(piece, *part) for part in parts[1:]]
    piece(*parts[0])
    for future in futures:
        future.result()


def _cuts(first: int, last: int, unit: int, parts: int) -> list[tuple[int, int]]:
    """[first, last) in at most ``parts`` ranges of whole units, the last one's rest included."""
    units = -(-(last - first) // unit)
    ends = [first + unit * (units * i // parts) for i in range(parts)] + [last]
    return [(a, b) for a, b in pairwise(ends) if a < b]


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="gossamer")
