"""Where training is on its schedule."""

from __future__ import annotations

from math import isfinite
from numbers import Integral

from gossamer.nn.schedules import Schedule, schedule_of


class Course:
    """A schedule and the number of steps taken.

    Parameters
    ----------
    schedule : str or callable
        A name, or a function of progress in [0, 1] that returns a share >= 0.
    total_steps : int or None
        Steps until progress is one; needed unless the schedule is constant.

    Examples
    --------
    >>> course = Course("warm-up", 100)
    >>> course.steps = 10
    >>> course.share
    0.5
    """

    def __init__(self, schedule: str | Schedule, total_steps: int | None) -> None:
        self._schedule = schedule_of(schedule)
        if total_steps is None and schedule != "constant":
            raise ValueError("total_steps is needed: after how many steps the schedule is over.")
        if total_steps is not None and not (isinstance(total_steps, Integral) and total_steps > 0):
            raise ValueError(f"total_steps must be an integer >= 1, got {total_steps!r}.")
        self.total_steps, self.steps = total_steps, 0

    @property
    def progress(self) -> float:
        """Share of the steps taken, 1 where no number was given."""
        return 1.0 if self.total_steps is None else min(1.0, self.steps / self.total_steps)

    @property
    def share(self) -> float:
        """What the schedule says now."""
        progress = self.progress
        share = float(self._schedule(progress))
        if not (isfinite(share) and share >= 0):
            raise ValueError(f"schedule({progress:g}) must be a finite number >= 0, got {share!r}.")
        return share


def cubic(progress: float) -> float:
    """A schedule that cuts fast at first and slowly at the end: ``1 - (1 - progress)^3``.

    References
    ----------
    Zhu and Gupta (2018), To prune, or not to prune.

    Examples
    --------
    >>> cubic(0.0), cubic(0.5), cubic(1.0)
    (0.0, 0.875, 1.0)
    """
    return 1.0 - (1.0 - progress) ** 3
