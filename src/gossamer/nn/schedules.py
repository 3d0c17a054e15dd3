"""Schedules: how the strength of a penalty grows over training.

A schedule is called with the progress of training, from 0 to 1, and returns the share of the full
strength. Any such function does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

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


@dataclass(frozen=True)
class Stages:
    r"""Constant, then from level to level in stages, along half a wave of a sine each.

    From the end :math:`T_{i-1}` of one stage to that of the next,

    .. math:: s(t) = s_{i-1} + \frac{s_i - s_{i-1}}{2} \left( 1 + \sin\left( -\frac{\pi}{2}
        + \pi \frac{t - T_{i-1}}{T_i - T_{i-1}} \right) \right).

    A network has time at each level to settle. The defaults are those of ProSparse for LLaMA2-7B:
    factors of 0, 0.005, 0.05 and 0.2, with two stages in which they stay.

    Parameters
    ----------
    levels : tuple of floats, ascending to 1
        Shares of the full strength at the end of each stage. The first one holds from the start.
    until : tuple of floats, ascending and up to 1
        Progress at the ends of the stages.

    References
    ----------
    Song et al., "ProSparse: Introducing and Enhancing Intrinsic Activation Sparsity within Large
    Language Models" (2024).

    Examples
    --------
    >>> stages = Stages((0.1, 1.0), (0.2, 0.8))
    >>> stages(0.1), round(stages(0.5), 3), stages(0.9)
    (0.1, 0.55, 1.0)
    """

    levels: tuple[float, ...] = (0.0, 0.025, 0.25, 0.25, 1.0, 1.0)
    until: tuple[float, ...] = (0.3, 0.36, 0.6, 0.73, 0.97, 1.0)

    def __post_init__(self) -> None:
        if not self.levels or len(self.levels) != len(self.until):
            raise ValueError(
                "Stages: levels and until must be as long as each other, got "
                f"{len(self.levels)} and {len(self.until)}."
            )
        if list(self.levels) != sorted(self.levels) or self.levels[0] < 0 or self.levels[-1] != 1:
            raise ValueError(f"Stages: levels must rise from 0 or more to 1, got {self.levels}.")
        if any(not start < end <= 1 for start, end in pairwise((0.0, *self.until))):
            raise ValueError(f"Stages: until must rise within (0, 1], got {self.until}.")

    def __call__(self, progress: float) -> float:
        stage = next((i for i, end in enumerate(self.until) if progress <= end), None)
        if stage is None:
            return 1.0
        if stage == 0:
            return self.levels[0]
        start, end = self.until[stage - 1 : stage + 1]
        low, high = self.levels[stage - 1 : stage + 1]
        wave = math.sin(math.pi * ((progress - start) / (end - start) - 0.5))
        return low + (high - low) * 0.5 * (1.0 + wave)


_NAMES: dict[str, Schedule] = {
    "constant": Constant(),
    "warm-up": WarmUp(),
    "cosine": Cosine(),
    "geometric": Geometric(),
    "stages": Stages(),
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
