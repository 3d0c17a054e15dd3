"""Splicing: best subsets by exchanges of units, single ones judged exactly."""

from __future__ import annotations

import time

from gossamer.core.certificate import certify
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.core.result import Status
from gossamer.core.solver import Outcome, Solver
from gossamer.solvers.exploration import Exploration, budget_refusal, checked_restarts


@SOLVERS.register
class Splicing(Solver):
    r"""Best subsets: units enter in the place of others as long as the objective falls.

    The search goes on among a working set of units: forward steps, then the best swap of one unit
    for another, with all coefficients fitted anew (for the quadratic loss all ``k (p - k)`` swaps
    are known exactly from one product with the columns in use, for others to second order, and
    tried); where no swap helps, several units are exchanged at once, the least important for the
    most promising; and restarts from disturbed supports. Then all units are judged, and those that
    could improve the support join the working set, until there are none.

    So the support it ends at is optimal under every exchange of one unit for another. That is more
    than the stationarity of coordinate descent with swaps, whose other coefficients rest.

    Parameters
    ----------
    restarts : int >= 0, default 5
        Searches from disturbed supports, after each of which the best is kept. The more, the
        likelier the global optimum where columns are highly correlated.
    random_state : int, default 0
        Seed of the disturbances.

    Raises
    ------
    ValueError
        When ``restarts`` is no whole number from zero on.

    References
    ----------
    Zhu, Wen, Zhu, Zhang and Wang (2020), A polynomial algorithm for best-subset selection problem.
    Zhang, Zhu, Zhu and Wang (2023), A splicing approach to best subset of groups selection.
    Hazimeh and Mazumder (2020), Fast best subset selection: coordinate descent and local
    combinatorial optimization algorithms.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 500))
    >>> y = X[:, 3] - 2 * X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> result = gs.Problem(X, y, gs.losses.Quadratic(), gs.AtMost(2)).solve()
    >>> result.certificate.support, result.certificate.kind
    (array([3, 7]), 'coordinate-wise')
    """

    preference = 5

    def __init__(self, restarts: int = 5, random_state: int = 0) -> None:
        self.restarts, self.random_state = checked_restarts(restarts), random_state

    def refuses(self, problem: Problem) -> str | None:
        return budget_refusal(problem)

    def run(self, problem: Problem, start: Point, tol: float, max_iter: int) -> Outcome:
        begun = time.perf_counter()
        exploration = Exploration(problem, self.restarts, self.random_state)
        history: list[tuple[float, float]] = []
        status = Status.MAX_ITER
        try:
            for value in exploration.rounds(start, max_iter):
                history.append((time.perf_counter() - begun, value))
            status = Status.CONVERGED if exploration.is_complete else status
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        point = exploration.point
        certificate = certify(problem, point, tol, exploration.exchanges).certificate
        if status is Status.CONVERGED and not certificate.holds:
            status = Status.STALLED
        return Outcome(point, certificate, status, len(history), history)
