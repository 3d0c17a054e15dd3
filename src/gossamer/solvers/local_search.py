"""Local search for L0: coordinate descent, then units enter, leave and are swapped."""

from __future__ import annotations

import time

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.penalties import L0, AtMost
from gossamer.solvers.exploration import Exploration, checked_restarts
from gossamer.solvers.working_set import CoordinateDescent


@SOLVERS.register
class LocalSearch(Solver):
    r"""Coordinate descent for :class:`~gossamer.L0`, and combinatorial search from where it ends.

    Units enter when the loss falls by more than their price, leave when it rises by less, and are
    swapped, all other coefficients fitted anew: see :class:`Splicing`, of which this is the form
    with prices. Then twice as many enter, whatever they cost, and the search goes on from there:
    some units are worth their price only together. A minimum so found is one of L0Learn's swaps,
    of which only one coefficient moves, too.

    Parameters
    ----------
    restarts : int >= 0, default 2
        Searches from disturbed supports.
    random_state : int, default 0
        Seed of the disturbances.

    References
    ----------
    Hazimeh and Mazumder (2020), Fast best subset selection: coordinate descent and local
    combinatorial optimization algorithms, section 4 (partial swap inescapable minima).

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 500))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> result = gs.Problem(X, y, gs.losses.Quadratic(), gs.L0(0.1)).solve()
    >>> result.solver, result.certificate.support
    ('LocalSearch', array([3, 7]))
    """

    preference = 0

    def __init__(self, restarts: int = 2, random_state: int = 0) -> None:
        self.restarts, self.random_state = checked_restarts(restarts), random_state

    def refuses(self, problem: Problem) -> str | None:
        penalty = problem.penalty
        if not isinstance(penalty, L0) or penalty.on.is_spectral:
            return f"{penalty!r} is not L0 on units of coefficients"
        if penalty.ridge > 0 and penalty.weights is not None:
            return "weights make the ridge of L0 differ from unit to unit"
        return CoordinateDescent().refuses(problem)

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun = time.perf_counter()
        outcome = CoordinateDescent().run(problem, start, tol, max_iter)
        if outcome.status is Status.INTERRUPTED:
            return outcome
        history, status = list(outcome.history), Status.MAX_ITER
        exploration = _exploration(problem, self.restarts, self.random_state)
        try:
            for value in exploration.rounds(outcome.point, max_iter):
                history.append((time.perf_counter() - begun, value))
            status = Status.CONVERGED if exploration.is_complete else status
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        found = exploration.point
        point = Point(problem, found.w, found.b)
        certificate = certify(problem, point, tol).certificate
        if certificate.objective > outcome.certificate.objective:
            point, certificate = outcome.point, outcome.certificate
        if status is Status.CONVERGED and not certificate.holds:
            status = Status.STALLED
        return Outcome(point, certificate, status, outcome.n_iter, history)


def _exploration(problem: Problem, restarts: int, seed: int) -> Exploration:
    penalty = problem.penalty
    assert isinstance(penalty, L0)
    form = penalty.form(problem.shape)
    budget = AtMost(
        form.units.count, on=penalty.on, ridge=penalty.strength * penalty.ridge,
        nonnegative=penalty.nonnegative,
    )  # fmt: skip
    prices = penalty.strength * form.weights
    return Exploration(problem.with_penalty(budget), restarts, seed, prices)
