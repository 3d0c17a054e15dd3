"""Schedules: how the strength of a penalty grows over training.

A schedule is called with the progress of training, from 0 to 1, and returns the share of the full
strength. Any such function does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[float], float]


def _within(name: str, argument: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{name}: {argument} must be in (0, 1], got {value}.")


@dataclass(frozen=True)
class Constant:
    """The full strength from the first step on.

    >>> Constant()(0.0)
    1.0
    """

    def __call__(self, progress: float) -> float:
        return 1.0


@dataclass(frozen=True)
class WarmUp:
    """Linear from zero to the full strength over the first part of training, then constant.

    >>> WarmUp(0.5)(0.25)
    0.5
    """

    until: float = 0.2

    def __post_init__(self) -> None:
        _within("WarmUp", "until", self.until)

    def __call__(self, progress: float) -> float:
        return min(1.0, progress / self.until)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine wave from zero to the full strength, then constant.

    >>> round(Cosine(1.0)(0.5), 3)
    0.5
    """

    until: float = 1.0

    def __post_init__(self) -> None:
        _within("Cosine", "until", self.until)

    def __call__(self, progress: float) -> float:
        return 0.5 - 0.5 * math.cos(math.pi * min(1.0, progress / self.until))


@dataclass(frozen=True)
class Geometric:
    """From a small share of the strength, by equal factors, to the full one; then constant.

    Small units die first, and the loss has time to move what they did to the others.

    >>> round(Geometric(1e-2, until=1.0)(0.5), 3)
    0.1
    """

    first: float = 1e-3
    until: float = 0.8

    def __post_init__(self) -> None:
        _within("Geometric", "first", self.first)
        _within("Geometric", "until", self.until)

    def __call__(self, progress: float) -> float:
        return float(self.first ** (1.0 - min(1.0, progress / self.until)))


_NAMES: dict[str, Schedule] = {
    "constant": Constant(),
    "warm-up": WarmUp(),
    "cosine": Cosine(),
    "geometric": Geometric(),
}


def schedule_of(schedule: str | Schedule) -> Schedule:
    """A schedule from its name, or the function itself."""
    if isinstance(schedule, str):
        key = schedule.lower().replace("_", "-").replace("warmup", "warm-up")
        if key not in _NAMES:
            raise ValueError(f"schedule {schedule!r} is not known. Known: {', '.join(_NAMES)}.")
        return _NAMES[key]
    if not callable(schedule):
        raise TypeError(f"schedule must be a name or a function of progress, got {schedule!r}.")
    return schedule
