"""Cutting planes on the atoms of a ball: Kelley's method, and the level method that steadies it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog, nnls

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.solvers.catalogue.trace import (
    Trace,
    ball_of,
    coefficients,
    slopes_of,
    weighted_columns,
)
from gossamer.solvers.iterating import settled

# of the gap, above its lower end: makes the proven constant the least
_LEVEL = 1 - np.sqrt(0.5)
# of the largest cut: a gap that tolerances of the programmes do not let close further
_CLOSED = 1e-9

# from the cuts, the shares they end at, a minimiser of the cuts, and both ends of the gap
Following = Callable[[np.ndarray, np.ndarray, np.ndarray, float, float], np.ndarray]


def kelley(problem: Problem, n_iter: int) -> Trace:
    r"""Kelley's cutting planes: go where the largest of all linear bounds so far is least.

    .. math:: f(w_t) - f^* \le 2 M r \min\Bigl(1, \frac{1}{t^{1/p} - 1}\Bigr)

    with ``M`` a bound of the slopes of ``f`` in the ball of radius ``r``: points that are worse
    than a gap lie apart by the gap over ``M``, and only so many fit in. There are functions for
    which it takes nearly ``gap ** (-p / 2)`` steps. Each is a linear programme, whose value is a
    lower bound of the optimum; a gap of 1e-9 of the largest cut is left as it is.

    Parameters
    ----------
    problem : Problem with an L1Ball of single coefficients; no intercept where the loss has kinks
    n_iter : int

    References
    ----------
    Kelley (1960), The cutting-plane method for solving convex programs. Mutapcic and Boyd (2009),
    Cutting-set methods for robust convex optimization with pessimizing oracles: the rate by
    volumes. Nesterov (2004), Introductory lectures on convex optimization, section 3.3: examples.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> trace = kelley(problem, 40)
    >>> bool(trace.objective[-1] - trace.lower[-1] < 1e-6)
    True
    """
    radius, extent = _reach(problem, "kelley")
    crowding = np.maximum(np.arange(1, n_iter + 1) ** (1 / problem.shape[0]) - 1, 1.0)
    return _cut(problem, radius, extent / crowding, lambda cuts, here, least, *gap: least)


def level(problem: Problem, n_iter: int) -> Trace:
    r"""The level method: the nearest point where no linear bound so far exceeds a level between the
    lower bound and the best objective.

    .. math:: f(w_t) - f^* \le f(w_t) - \underline{f}_t \le \frac{4 M r}{\sqrt t}

    with ``M`` a bound of the slopes of ``f`` in the ball of radius ``r`` and the lower bound
    of :func:`kelley`'s linear programme. No dimension enters but through ``M``, and no method that
    sees slopes alone has a better rate in high ones. Distances are those of the shares of the 2 p
    atoms, whose simplex has diameter ``sqrt 2``; a step is a least-distance problem, solved
    exactly.

    Parameters
    ----------
    problem : Problem with an L1Ball of single coefficients; no intercept where the loss has kinks
    n_iter : int

    References
    ----------
    Lemarechal, Nemirovskii and Nesterov (1995), New variants of bundle methods: within
    ``(M D / gap)**2 / ((1 - a)**2 a (2 - a))`` steps, four at the level ``a = 1 - sqrt(1/2)``.
    Lawson and Hanson (1974), Solving least squares problems, chapter 23: least distances.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> trace = level(problem, 40)
    >>> bool(trace.objective[-1] - trace.lower[-1] < 1e-6)
    True
    """
    radius, extent = _reach(problem, "level")
    bound = 2 * extent / np.sqrt(np.arange(1, n_iter + 1))

    def following(
        cuts: np.ndarray, here: np.ndarray, least: np.ndarray, lower: float, upper: float
    ) -> np.ndarray:
        return _nearest_below(cuts, lower + _LEVEL * (upper - lower), here)

    return _cut(problem, radius, bound, following)


def _cut(problem: Problem, radius: float, bound: np.ndarray, following: Following) -> Trace:
    """As many cuts as bounds, at shares that begin even; the best of the points."""
    n_iter, p = len(bound), problem.shape[0]
    shares, best = np.full(2 * p, 0.5 / p), problem.start()
    cuts, lower, objective, lowest = np.empty((n_iter, 2 * p)), -np.inf, [], []
    for t in range(n_iter):
        point = settled(problem, coefficients(shares, radius), best.b)
        best = point if point.loss <= best.loss else best
        # the slope at the point itself: that of the nearest kink, by which points are judged, may
        # exceed the loss
        residual = problem.loss.gradient(point.z, problem.y) * problem.sample_weight[:, None]
        slopes = slopes_of(problem.design.rmatvec(residual), radius)
        cuts[t] = slopes + (point.loss - slopes @ shares)  # shares sum to one
        least, value = _least_of(cuts[: t + 1])
        lower = max(lower, value)
        objective.append(best.loss)
        lowest.append(lower)
        if best.loss - lower > _CLOSED * np.abs(cuts[: t + 1]).max():
            shares = following(cuts[: t + 1], shares, least, lower, best.loss)
    return Trace(np.array(objective), bound, best.w, np.array(lowest))


def _least_of(cuts: np.ndarray) -> tuple[np.ndarray, float]:
    """Shares where the largest cut is least, and a lower bound of that.

    The bound is the least value of one mixture of the cuts, true whatever the programme's
    tolerance; at its optimum the two meet.
    """
    size, (m, n) = np.abs(cuts).max() or 1.0, cuts.shape
    found = linprog(
        np.append(np.zeros(n), 1.0),
        np.column_stack([cuts / size, -np.ones(m)]), np.zeros(m),
        np.append(np.ones(n), 0.0)[None], [1.0],
        bounds=[(0, None)] * n + [(None, None)],
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    return _normalised(found.x[:n]), float((_normalised(-found.ineqlin.marginals) @ cuts).min())


def _nearest_below(cuts: np.ndarray, highest: float, here: np.ndarray) -> np.ndarray:
    """The shares nearest to ``here`` where no cut exceeds ``highest``.

    The shortest change ``d`` with ``rows @ d >= needs`` by non-negative least squares; centred
    rows keep its sum at zero.
    """
    n = len(here)
    rows = np.vstack([-cuts, np.eye(n)])
    rows -= rows.mean(axis=1, keepdims=True)
    needs = np.append(cuts @ here - highest, -here)
    length = np.linalg.norm(rows, axis=1)
    steep = length > 0
    system = np.vstack([rows[steep].T, needs[steep]]) / length[steep]
    target = np.append(np.zeros(n), 1.0)
    missed = system @ nnls(system, target, maxiter=100 * system.shape[1])[0] - target
    return _normalised(here - missed[:-1] / missed[-1])


def _normalised(shares: np.ndarray) -> np.ndarray:
    shares = np.maximum(shares, 0.0)
    return np.asarray(shares / shares.sum())


def _reach(problem: Problem, method: str) -> tuple[float, float]:
    """The radius, and a bound of the slopes in the ball times its diameter, both Euclidean."""
    radius, loss = ball_of(problem, method, curved=False).radius, problem.loss
    steepest = np.linalg.norm(weighted_columns(problem, np.arange(problem.shape[0])), 2)
    if loss.smoothness is not None:
        most = np.linalg.norm(problem.null_gradient) + loss.smoothness * steepest**2 * radius
        return radius, float(2 * radius * most)
    lines = loss.lines(problem.y)
    if lines is None or problem.fit_intercept:
        raise UnsupportedProblem(
            f"{method}: the slopes of {loss!r} with this intercept are not known to be bounded; "
            "take a loss of bounded curvature, or one with kinks and fit_intercept=False."
        )
    return radius, float(2 * radius * steepest * np.abs(lines[1:]).max())
