"""FISTA as it was published: a fixed step, no restarts."""

from __future__ import annotations

import numpy as np

from gossamer.core.problem import Problem
from gossamer.solvers.catalogue.trace import Trace, ball_of, form_of
from gossamer.solvers.iterating import settled, steepest_curvature


def fista(problem: Problem, n_iter: int) -> Trace:
    r"""Accelerated projected gradient from zero, on any ball.

    .. math:: f(w_t) - f^* \le \frac{2 L r^2}{(t + 1)^2}, \qquad r \ge \lVert w^* \rVert_2

    Parameters
    ----------
    problem : Problem with an L1Ball
    n_iter : int

    References
    ----------
    Beck and Teboulle (2009), theorem 4.4. Bubeck (2015), Convex optimization: algorithms and
    complexity, theorem 3.19.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> fista(problem, 20).w[:, 0].round(3)
    array([0.5, 0. , 0. ])
    """
    ball = ball_of(problem, "fista", elements=False)
    steepest = max(steepest_curvature(problem), 1e-300)
    farthest = ball.radius / form_of(problem, ball).weights.min()
    point = problem.start()
    w = ahead = point.w
    momentum, objective = 1.0, []
    for _ in range(n_iter):
        point = settled(problem, ahead, point.b)
        new = ball.prox(ahead - point.gradient / steepest, 1.0)
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        ahead = new + (momentum - 1) / following * (new - w)
        w, momentum = new, following
        objective.append(settled(problem, w, point.b).loss)
    t = np.arange(1, n_iter + 1)
    return Trace(np.array(objective), 2 * steepest * farthest**2 / (t + 1) ** 2, w)
