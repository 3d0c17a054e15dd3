"""Orthogonal matching pursuit: unit after unit, all coefficients refitted after each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import SOLVERS
from gossamer.penalties import L0, L1, AtMost
from gossamer.solvers import price_gains
from gossamer.solvers.greedy import GreedySolver, Supports


@SOLVERS.register
class OMP(GreedySolver):
    r"""Adds the unit that lowers the loss most when moved alone, refits, and repeats to the budget.

    For any smooth loss and any units. One pass over X a unit.

    Parameters
    ----------
    price : L1 or L0, default None
        What a feature costs, with weights if some are likelier than others. The feature that
        lowers loss plus price most comes next, and the search ends where none lowers it; the refit
        is without the price. So the price stands for the number of features, and the budget is a
        limit only: with the square-root loss one price serves all levels of noise.

    Notes
    -----
    With a price the certificate is about the number of features that it left.

    References
    ----------
    Pati, Rezaiifar and Krishnaprasad (1993), Orthogonal matching pursuit.
    Shalev-Shwartz, Srebro and Zhang (2010), Trading accuracy for sparsity in optimization problems
    with sparsity constraints, for other losses.
    Mohammad-Taheri and Brugiapaglia (2025), The greedy side of the LASSO: new algorithms for
    weighted sparse recovery via loss function-based orthogonal matching pursuit, for prices.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 200))
    >>> for noise in (0.01, 1.0):
    ...     y = 3 * X[:, 5] - 4 * X[:, 9] + noise * rng.standard_normal(80)
    ...     problem = gs.Problem(X, y, gs.losses.SquareRoot(), gs.AtMost(20))
    ...     print(problem.solve(gs.solvers.OMP(price=gs.L1(0.5))).certificate.support)
    [5 9]
    [5 9]
    """

    def __init__(self, price: L1 | L0 | None = None) -> None:
        if price is not None and not isinstance(price, (L1, L0)):
            raise TypeError(f"price must be L1 or L0, such as L1(0.1), got {price!r}.")
        self.price = price

    def refuses(self, problem: Problem) -> str | None:
        if self.price is None or not isinstance(problem.penalty, AtMost):
            return super().refuses(problem)
        return price_gains.refuses(problem, self.price)

    def search(self, supports: Supports, start: Point) -> Iterator[Point]:
        point = start
        chosen = supports.support(start)
        while len(chosen) < supports.k:
            scores = self._scores(supports, point)
            scores[chosen] = 0.0
            best = int(np.argmax(scores))
            if scores[best] <= 0:
                return
            chosen = np.append(chosen, best)
            following = supports.refit(chosen, point)
            if not supports.improves(following, point):
                return
            point = following
            yield point

    def _scores(self, supports: Supports, point: Point) -> np.ndarray:
        if self.price is None:
            return supports.scores(point)
        return price_gains.gains(supports.problem, point, self.price)

    def judged(self, problem: Problem, point: Point) -> Problem:
        if self.price is None:
            return problem
        used = int(np.count_nonzero(problem.penalty.sizes(point.w)))
        return problem.with_penalty(Supports(problem).penalty.with_k(used))
