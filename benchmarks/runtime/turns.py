"""Everybody in turn: a round calls every contestant, so that what else goes on meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

BURST = 1e-3  # seconds of calls in a row that make a turn
MOST_CALLS = 20
MOST_ROUNDS, LEAST_ROUNDS = 30, 5
HOPELESS, FEW_ROUNDS = 3.0, 2  # so many times the first contestant's seconds: few rounds do
PAUSE = 3e-3  # seconds in which threads of the one before stop spinning


class Contestant(Protocol):
    """Somebody whose calls can be timed."""

    def turn(self, calls: int) -> tuple[float, float]:
        """Seconds of the first of some calls in a row, and of each other one."""


@dataclass(frozen=True)
class Taken:
    """Seconds of a call.

    seconds, least : median and minimum over rounds, of calls that follow each other
    cold : median of the first calls of the turns, when the caches hold what the others left
    """

    seconds: float
    least: float
    cold: float
    rounds: int


def turn(run: Callable[[], object], calls: int) -> tuple[float, float]:
    """Time some calls in a row: seconds of the first and of each other one."""
    began = time.perf_counter()
    run()
    warm = time.perf_counter()
    if calls == 1:
        return warm - began, warm - began
    for _ in range(calls - 1):
        run()
    return warm - began, (time.perf_counter() - warm) / (calls - 1)


def in_turn(contestants: Sequence[Contestant], budget: float, pause: float = 0.0) -> list[Taken]:
    """Time all; ``budget`` is about how many seconds they may take together."""
    for one in contestants:  # what compiles or allocates does so now
        one.turn(1)
    estimates = [min(_short(one, pause) for _ in range(2)) for one in contestants]
    calls = [min(max(round(BURST / seconds), 1), MOST_CALLS) for seconds in estimates]
    a_round = sum(s * n + pause for s, n in zip(estimates, calls, strict=True))
    rounds = min(max(round(budget / a_round), LEAST_ROUNDS), MOST_ROUNDS)
    times: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for number in range(rounds):
        for one, estimate, count, taken in zip(contestants, estimates, calls, times, strict=True):
            if number < FEW_ROUNDS or estimate < HOPELESS * estimates[0]:
                time.sleep(pause)
                taken.append(one.turn(count))
    return [_summary(taken) for taken in times]


def _short(one: Contestant, pause: float) -> float:
    time.sleep(pause)
    return one.turn(2)[1]


def _summary(taken: list[tuple[float, float]]) -> Taken:
    cold, warm = zip(*taken, strict=True)
    return Taken(median(warm), min(warm), median(cold), len(taken))
