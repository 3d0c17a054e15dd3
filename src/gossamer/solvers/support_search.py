"""Local search over supports, among the units of a working set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gossamer.core.budget import Budget
from gossamer.core.exchange import Exchanges, exchanges
from gossamer.core.hessian import Hessian
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.units import Units
from gossamer.penalties.at_most import largest
from gossamer.solvers.refit import refit

# exchanges tried where the model is not exact; units exchanged at once, as abess
_TRIALS, _SPLICE_MAX = 5, 5
# share of a support that a restart replaces, and of promising units a support that it draws from
_DISTURBED, _DRAWN_FROM = 0.4, 4
# decrease, relative to the null objective, that counts
GAIN = 1e-10


@dataclass(frozen=True, eq=False)
class Support:
    """Units in use (numbers in the working set), fitted.

    value : loss, ridge and prices.
    w, gradient : (size,) coefficients, and the gradient of loss and ridge.
    columns : (size, a) of the Hessian.
    """

    chosen: np.ndarray
    value: float
    w: np.ndarray
    gradient: np.ndarray
    columns: np.ndarray
    blocks: np.ndarray
    point: Point | None


class SupportSearch:
    """Searches for the best support of at most ``k`` units among those of a working set.

    working : numbers of the units in the working set, increasing.
    prices : (n_units,) what each unit costs beside its ridge; zero for a mere budget.
    """

    def __init__(
        self, problem: Problem, units: Units, working: np.ndarray, k: int, prices: np.ndarray
    ) -> None:
        assert isinstance(problem.penalty, Budget)
        outputs = problem.shape[1]
        at, starts = units.positions(working)
        features, place = np.unique(at // outputs, return_inverse=True)
        self.problem, self.working, self.k = problem.restricted(features), working, k
        self.prices = prices[working]
        self.units = Units(place * outputs + at % outputs, starts)
        self.ridge, self.nonnegative = problem.penalty.ridge, problem.penalty.nonnegative
        self.least_gain = GAIN * max(problem.null_objective, 1e-300)
        self.is_exact = problem.loss.is_quadratic and not self.nonnegative
        if self.is_exact:
            hessian = Hessian.at(self.problem, self._null(), self.ridge)
            self._gram = hessian.columns(np.arange(np.prod(self.problem.shape)))
            self._blocks = hessian.blocks(self.units)

    def run(self, chosen: np.ndarray, restarts: int, rng: np.random.Generator) -> np.ndarray:
        """The best support found from ``chosen`` (units of the problem, as is the result)."""
        here = np.searchsorted(self.working, chosen)
        best = self._descended(self._grown(self.fit(here)))
        if len(best.chosen) < self.k and self.prices.any():
            best = min(best, self._descended(self._overgrown(best)), key=lambda s: s.value)
        for _ in range(restarts):
            other = self._descended(self._grown(self.fit(self._disturbed(best, rng), best)))
            best = other if other.value < best.value - self.least_gain else best
        return self.working[best.chosen]

    def fit(self, chosen: np.ndarray, near: Support | None = None) -> Support:
        """The support of some units, with the best coefficients."""
        chosen = np.sort(chosen)
        at = self.units.positions(chosen)[0]
        if self.is_exact:
            return self._fit_exactly(chosen, at)
        start = self._null() if near is None or near.point is None else near.point
        point = refit(self.problem, np.sort(at), start) if len(at) else self._null()
        hessian = Hessian.at(self.problem, point, self.ridge)
        w, smooth = point.w.ravel(), (point.gradient + self.ridge * point.w).ravel()
        value = point.loss + 0.5 * self.ridge * float(w @ w) + self.prices[chosen].sum()
        blocks = hessian.blocks(self.units)
        return Support(chosen, value, w, smooth, hessian.columns(at), blocks, point)

    def _fit_exactly(self, chosen: np.ndarray, at: np.ndarray) -> Support:
        null, columns = self.problem.null_gradient.ravel(), self._gram[:, at]
        matrix = columns[at]
        floor = 1e-14 * np.trace(matrix) + 1e-300
        found = np.linalg.solve(matrix + floor * np.eye(len(at)), -null[at])
        w = np.zeros(len(null))
        w[at] = found
        loss = self.problem.null_objective + 0.5 * float(null[at] @ found)
        value = loss + self.prices[chosen].sum()
        return Support(chosen, value, w, null + columns @ found, columns, self._blocks, None)

    def exchanges(self, support: Support) -> Exchanges:
        return exchanges(
            self.units, support.chosen, support.w, support.gradient, support.columns,
            support.blocks, self.nonnegative,
        )  # fmt: skip

    # -- moves -------------------------------------------------------------------------------------
    def _grown(self, support: Support) -> Support:
        """Forward steps until the budget is spent, or nothing is worth its price."""
        while len(support.chosen) < self.k:
            entry = self.exchanges(support).entry - self.prices
            if entry.max(initial=0.0) <= self.least_gain:
                break
            support = self.fit(np.append(support.chosen, np.argmax(entry)), support)
        return support

    def _overgrown(self, support: Support) -> Support:
        """Forward steps to twice as many units (two at least) whatever they cost: some pay
        together only."""
        size = min(max(2 * len(support.chosen), 2), self.k, self.units.count)
        while len(support.chosen) < size:
            entry = self.exchanges(support).entry
            if entry.max(initial=0.0) <= self.least_gain:
                break
            support = self.fit(np.append(support.chosen, np.argmax(entry)), support)
        return support

    def _descended(self, support: Support) -> Support:
        """Exchanges as long as one lowers the objective."""
        while len(support.chosen):
            found = self.exchanges(support)
            for trial in self._trials(support, found):
                other = self.fit(trial, support)
                if other.value < support.value - self.least_gain:
                    support = other
                    break
            else:
                return support
        return support

    def _trials(self, support: Support, found: Exchanges) -> Iterator[np.ndarray]:
        """Supports to try: the best of each move, then splicing of ever fewer units."""
        k, chosen, prices = len(support.chosen), support.chosen, self.prices
        relief = prices[chosen] - found.leaving
        if relief.max() > self.least_gain:
            yield np.delete(chosen, np.argmax(relief))
        entry = found.entry - prices
        if k < self.k and entry.max() > self.least_gain:
            yield np.append(chosen, np.argmax(entry))
        swaps = (found.swap - prices[:, None] + prices[chosen]).ravel()
        for at in _top(swaps, 1 if self.is_exact else _TRIALS):
            if swaps[at] > self.least_gain:
                unit, out = divmod(int(at), k)
                yield np.append(np.delete(chosen, out), unit)
        size = min(_SPLICE_MAX, k)
        outgoing = np.argsort(found.leaving)
        incoming = largest(found.entry, size)
        incoming = incoming[np.argsort(-found.entry[incoming])]
        while size > 1:
            entering = incoming[:size]
            yield np.append(np.delete(chosen, outgoing[: len(entering)]), entering)
            size //= 2

    def _disturbed(self, support: Support, rng: np.random.Generator) -> np.ndarray:
        """A support in which some units have been replaced at random by promising ones."""
        chosen = support.chosen
        count = int(np.ceil(_DISTURBED * len(chosen)))
        promising = largest(self.exchanges(support).entry, _DRAWN_FROM * len(chosen))
        kept = np.delete(chosen, rng.permutation(len(chosen))[:count])
        return np.append(kept, rng.permutation(promising)[:count])

    def _null(self) -> Point:
        problem = self.problem
        return Point(
            problem, np.zeros(problem.shape), problem.null_intercept, problem.null_gradient
        )


def _top(values: np.ndarray, count: int) -> np.ndarray:
    """Positions of the largest values, the largest first."""
    if count == 1:
        return np.array([np.argmax(values)])
    count = min(count, len(values))
    at = np.argpartition(-values, count - 1)[:count]
    return at[np.argsort(-values[at])]
