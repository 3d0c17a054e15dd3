"""Search over the supports of all units, by searches among working sets that grow."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from gossamer.core.budget import Budget
from gossamer.core.exchange import Exchanges, exchanges_at
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.penalties.at_most import largest
from gossamer.solvers.refit import refit
from gossamer.solvers.support_search import GAIN, SupportSearch

# units in the search at first, a unit in use or in the budget; and those that join it at a time
_AT_FIRST, _FEWEST, _MORE = 10, 100, 50


class Exploration:
    """Rounds of :class:`SupportSearch`, between which all units are judged by exact exchanges.

    problem : with a budget, for its units, its ridge and its sign.
    prices : (n_units,) what each unit costs beside, zero by default.
    point, exchanges : where the search is, fitted on its support, and what exchanges would gain.
    is_complete : no exchange improves the point that has not been tried.
    """

    def __init__(
        self, problem: Problem, restarts: int, seed: int, prices: np.ndarray | None = None
    ) -> None:
        assert isinstance(problem.penalty, Budget)
        self.problem, self.restarts = problem, restarts
        self.units = problem.penalty.units(problem.shape)
        self.k = min(problem.penalty.k, self.units.count)
        self.prices = np.zeros(self.units.count) if prices is None else prices
        self.is_complete = False
        self._rng = np.random.default_rng(seed)
        self.point: Point
        self.exchanges: Exchanges

    def rounds(self, start: Point, max_iter: int) -> Iterator[float]:
        """Go on from a point's support; the objective after each round."""
        chosen = largest(self.units.norms(start.w), self.k)
        self._arrive(chosen, start)
        size = max(_FEWEST, _AT_FIRST * min(self.k, len(chosen) + _AT_FIRST))
        working = np.union1d(chosen, largest(self.exchanges.entry, size))
        for i in range(max_iter):
            search = SupportSearch(self.problem, self.units, working, self.k, self.prices)
            chosen = search.run(chosen, 1 if i else self.restarts, self._rng)
            self._arrive(chosen, self.point)
            more = self._promising()
            self.is_complete = bool(np.isin(more, working).all())
            yield self.point.loss + float(self.prices[chosen].sum())
            if self.is_complete:
                return
            working = np.union1d(working, more)

    def _arrive(self, chosen: np.ndarray, start: Point) -> None:
        at = np.sort(self.units.positions(chosen)[0])
        self.point = refit(self.problem, at, start) if len(at) else self._null(start)
        self.exchanges = exchanges_at(self.problem, self.point)

    def _null(self, start: Point) -> Point:
        return self.problem.start() if start.w.any() else start

    def _promising(self) -> np.ndarray:
        """Units outside that improve the support, alone or in the place of another; the best."""
        found, prices = self.exchanges, self.prices
        back = found.swap + prices[found.chosen]
        gains = back.max(axis=1, initial=0.0)
        if len(found.chosen) < self.k:
            gains = np.maximum(gains, found.entry)
        gains = gains - prices
        return largest(np.where(gains > GAIN * self.problem.null_objective, gains, 0.0), _MORE)


def budget_refusal(problem: Problem) -> str | None:
    """Why supports of a problem cannot be searched; ``None`` when they can."""
    if not isinstance(problem.penalty, Budget):
        return f"{problem.penalty!r} is not a budget of units such as AtMost(10)"
    if not problem.loss.is_smooth:
        return f"{problem.loss!r} has kinks"
    if problem.design.is_operator:
        return "X is a LinearOperator: columns of a support are needed"
    return None


def checked_restarts(restarts: Any) -> int:
    if not isinstance(restarts, Integral) or restarts < 0:
        raise ValueError(f"restarts must be a whole number >= 0, got {restarts!r}.")
    return int(restarts)
