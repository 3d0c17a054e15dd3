"""What the machine could do: how fast it reads arrays of each size, its peak of dense products.

Williams, Waterman and Patterson (2009), Roofline: an insightful visual performance model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import exp, log
from typing import Any

import numba
import numpy as np
import torch

from benchmarks.runtime.engines import Engine

SIZES = tuple(1 << power for power in (15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28))  # bytes
SIDE = 1024  # of the matrices whose dense product is the peak


@numba.njit(fastmath=True, nogil=True)
def _read(array: np.ndarray, times: int) -> float:
    """The sum of an array, several times; ``number & 1`` keeps the compiler from doing it once."""
    total = np.float32(0)
    for number in range(times):
        for i in range(array.size - (number & 1)):
            total += array[i]
    return total


def bandwidth(size: int, threads: int, tries: int = 11) -> float:
    """Bytes a second of reading an array of ``size`` bytes that every thread has a part of."""
    parts = np.array_split(np.ones(size // 4, np.float32), threads)
    times = max(1, (1 << 25) // size)
    _read(parts[0], 1)
    with ThreadPoolExecutor(threads) as pool:
        return size * times / _least(lambda: list(pool.map(_read, parts, [times] * threads)), tries)


def peaks(threads: int, engines: Iterable[Engine], side: int = SIDE) -> dict[str, float]:
    """Floating point operations a second of every library's dense float32 product."""
    generator = np.random.default_rng(0)
    x, w = (generator.standard_normal((side, side), np.float32) for _ in range(2))
    tensors = torch.from_numpy(x), torch.from_numpy(w)
    y = np.empty((side, side), np.float32)
    operations = 2.0 * side**3
    found = {
        "torch": operations / _least(lambda: torch.nn.functional.linear(*tensors)),
        "numpy": operations / _least(lambda: np.matmul(x, w.T, out=y)),
    }
    for engine in engines:
        with engine.load("peak", w, x, threads) as loaded:
            found[engine.name] = operations / min(loaded.turn(2)[1] for _ in range(20))
    return found


def machine(threads: int, engines: Iterable[Engine], sizes: Sequence[int] = SIZES) -> dict:
    """Both, as they are recorded."""
    return {
        "bandwidth": [[size, bandwidth(size, threads)] for size in sizes],
        "peak": peaks(threads, engines),
    }


def reading(curve: Sequence[Sequence[float]], size: float) -> float:
    """Bytes a second at any size, between those that were measured."""
    if size <= curve[0][0]:
        return curve[0][1]
    for (a, slow), (b, fast) in pairwise(curve):
        if size <= b:
            share = log(size / a) / log(b / a)
            return exp((1 - share) * log(slow) + share * log(fast))
    return curve[-1][1]


def bound(machine: dict[str, Any], bytes_: float, operations: float) -> float:
    """Seconds below which nothing that reads so much and computes so much can come."""
    reads = bytes_ / reading(machine["bandwidth"], bytes_)
    return max(reads, operations / max(machine["peak"].values()))


def _least(run: Callable[[], object], tries: int = 20) -> float:
    seconds = []
    for _ in range(tries):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)
