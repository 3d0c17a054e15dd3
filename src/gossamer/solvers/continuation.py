"""Depth continuation: from the lasso at depth two to the power that is asked for.

The deeper a smooth form, the more local minima it has, each with its own support. One depth after
the other, each started from the last, the continuation leaves out what the shallower form has
found to be of no use. All depths select at the same pull: the strength of a shallower form is such
that its threshold, for columns of a unit's curvature, is that of the deepest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gossamer.core.certificate import certify
from gossamer.core.penalty import UnitPenalty
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.penalties import L1
from gossamer.solvers.gates import Gates
from gossamer.solvers.working_gates import WorkingGates

# shares of the threshold at which branches begin
_BEGINNINGS = (1.0, 0.5, 0.25, 0.1, 0.03)
# branches that begin at random coefficients on the last one's support
_RANDOM = 15
# units of the best end that are tried to be left out
_IDLERS = 50
# rounds of a branch's end
_ROUNDS = 10


def depths(deepest: float) -> list[float]:
    """Three, four, ... and the deepest one."""
    return [*map(float, range(3, int(np.ceil(deepest - 1e-9)))), deepest]


def shallower(gates: Gates, curvature: np.ndarray, depth: float) -> Gates:
    """Gates of another depth that select at the same pulls."""
    pulls = thresholds(gates, curvature)
    if depth == 2:
        return Gates(depth, pulls, gates.ridges)
    q = 2 / depth
    jump = pulls / curvature * (2 - 2 * q) / (2 - q)
    return Gates(depth, curvature * jump ** (2 - q) / (2 * (1 - q)), gates.ridges)


def thresholds(gates: Gates, curvature: np.ndarray) -> np.ndarray:
    """(n_units,) pulls from which the optimum along a unit of some curvature is not zero."""
    q = 2 / gates.depth
    jump = (2 * gates.charges / curvature * (1 - q)) ** (1 / (2 - q))
    return curvature * jump * (2 - q) / (2 - 2 * q)


def best_branch(search: WorkingGates, convex: Callable[[Problem, Point], Point]) -> Point:
    """The best end of several branches, coordinate-wise optimal as far as ten rounds get.

    One branch begins at zero, one at each of several lassos, the others at random on the support
    of the last lasso.

    convex : a solver of the lasso, for a problem and a start.
    """
    problem, form = search.problem, search.form
    assert isinstance(problem.penalty, UnitPenalty)
    on, pulls = problem.penalty.on, thresholds(search.gates, search.curvature)
    point = problem.start()
    ends = [ended(search, point.w)]
    for share in _BEGINNINGS:
        lasso = problem.with_penalty(L1(1.0, on=on, weights=share * pulls))
        point = convex(lasso, point)
        ends.append(ended(search, search.deepened(point.w)))
    alive = form.units.spread(form.units.norms(point.w) > 0).reshape(problem.shape)
    rng = np.random.default_rng(0)  # the same branches each time
    for _ in range(_RANDOM if alive.any() else 0):
        w = np.where(alive, rng.standard_normal(problem.shape), 0.0)
        ends.append(ended(search, search.deepened(w)))
    return without_idlers(search, min(ends, key=lambda end: _objective(problem, end)))


def without_idlers(search: WorkingGates, point: Point) -> Point:
    """Better ends that begin where one unit has been taken out, the smallest ones first."""
    units = search.form.units
    for _ in range(_ROUNDS):
        sizes = units.norms(point.w)
        smallest = np.argsort(np.where(sizes > 0, sizes, np.inf))[: np.count_nonzero(sizes)]
        for unit in smallest[:_IDLERS]:
            w = np.where(search.labels == unit, 0.0, point.w)
            rest = np.flatnonzero(units.norms(w))
            end = ended(search, search.polished(search.point(w), rest, 1e-6).w)
            gain = _objective(search.problem, point) - _objective(search.problem, end)
            if gain > 1e-9 * search.problem.null_objective:
                point = end
                break
        else:
            return point
    return point


def _objective(problem: Problem, point: Point) -> float:
    return point.loss + problem.penalty.value(point.w)


def ended(search: WorkingGates, w: np.ndarray) -> Point:
    """Rounds on the support and the units that could improve on their own."""
    point = search.point(w)
    for _ in range(_ROUNDS):
        evaluation = certify(search.problem, point, 1e-6)
        if evaluation.certificate.holds and evaluation.certificate.kind != "critical":
            break
        point = search.polished(point, search.choose(evaluation), 1e-6)
    return point
