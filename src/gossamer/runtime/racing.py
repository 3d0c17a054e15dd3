"""Racing: what several ways to do the same take, in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import torch

_WARM_UPS, _LEAST, _MOST = 2, 7, 400


def race(runs: Sequence[Callable[[], Any]], seconds: float = 0.1) -> list[float]:
    """The shortest time of each of the runs, in seconds.

    They run in turn, so that what else goes on meets all alike; without gradients, with as many
    threads as torch has now.

    Parameters
    ----------
    runs : callables without arguments
    seconds : float
        To spend on each of them; more where that is too short for a few runs.

    Examples
    --------
    >>> short, long = race([lambda: sum(range(10)), lambda: sum(range(100_000))], seconds=0.01)
    >>> short < long
    True
    """
    with torch.no_grad():
        for run in runs:
            for _ in range(_WARM_UPS):
                run()
        rounds = [_round(runs)]
        wanted = int(seconds * len(runs) / max(sum(rounds[0]), 1e-9))
        rounds += [_round(runs) for _ in range(min(max(wanted, _LEAST), _MOST))]
    return [min(times) for times in zip(*rounds, strict=True)]


def _round(runs: Sequence[Callable[[], Any]]) -> list[float]:
    times = []
    for run in runs:
        start = perf_counter()
        run()
        times.append(perf_counter() - start)
    return times
