"""Laws of a budget, a penalty that limits the number of units: its prox against all supports."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.testing.court import close, generator, hold

_P = 6


def budget_is_kept(penalty: Any) -> None:
    """Up to k units cost what their ridge costs, more are forbidden; the prox keeps the budget."""
    units = penalty.units((_P,))
    rng = generator()
    for k in range(units.count + 2):
        budget = penalty.with_k(k)
        hold(budget.k == k, budget=budget)
        for used in range(units.count + 1):
            alive = np.isin(np.arange(units.count), rng.permutation(units.count)[:used])
            w = units.spread(alive) * rng.uniform(0.5, 2.0, _P)
            cost = 0.5 * budget.ridge * (w @ w) if used <= k else np.inf
            close(budget.value(w), cost, w=w, budget=budget)
            p = budget.prox(w, 0.7)
            hold(np.count_nonzero(budget.sizes(p)) == min(used, k), v=w, prox=p, budget=budget)
            if budget.nonnegative and used:
                hold(budget.value(-w) == np.inf, w=-w, budget=budget)


def prox_beats_every_support(penalty: Any) -> None:
    """The prox is the best of all supports, each solved in closed form, for steps unit by unit."""
    units = penalty.units((_P,))
    rng = generator()
    for _ in range(6):
        v = rng.standard_normal(_P) * rng.choice([0.1, 1.0, 4.0], _P)
        steps = rng.uniform(0.1, 3.0, units.count)
        spread = units.spread(steps)
        reach = np.maximum(v, 0.0) if penalty.nonnegative else v
        full = reach / (1 + spread * penalty.ridge)

        def cost(w: np.ndarray, v: np.ndarray = v, spread: np.ndarray = spread) -> float:
            return float(((w - v) ** 2 / (2 * spread)).sum()) + penalty.value(w)

        p = penalty.prox(v, steps)
        for support in combinations(range(units.count), min(penalty.k, units.count)):
            w = np.where(np.isin(units.labels, support), full, 0.0)
            hold(cost(p) <= cost(w) + 1e-12 * (1 + cost(w)), v=v, steps=steps, prox=p, better=w)


def distance_off_the_support(penalty: Any) -> None:
    """A full budget holds units at zero whatever the gradient, a free place holds none."""
    units = penalty.units((_P,))
    grad = generator().standard_normal(_P)
    pull = np.minimum(grad, 0.0) if penalty.nonnegative else grad
    for used in range(min(units.count, penalty.k) + 1):
        w = units.spread(np.arange(units.count) < used).astype(float)
        found = penalty.subdiff_distance(w, grad)
        off = units.norms(pull)[used:] if used < penalty.k else np.zeros(units.count - used)
        close(found[used:], off, w=w, grad=grad)
        close(found[:used], units.norms(grad + penalty.ridge * w)[:used], w=w, grad=grad)


def has_no_strength(penalty: Any) -> None:
    """A strength is refused in words that say what to do."""
    for ask in (
        lambda: penalty.strength,
        lambda: penalty.with_strength(1.0),
        lambda: penalty.strength_max(np.ones(_P)),
    ):
        try:
            ask()
        except UnsupportedProblem as error:
            hold("with_k" in str(error), message=error)
        else:
            raise AssertionError("a budget has no strength")


BUDGET_LAWS = (
    budget_is_kept,
    prox_beats_every_support,
    distance_off_the_support,
    has_no_strength,
)
