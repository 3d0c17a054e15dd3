"""The ellipsoid method: cutting planes whose centre is known in closed form."""

from __future__ import annotations

import numpy as np

from gossamer.core.problem import Problem
from gossamer.solvers.catalogue.trace import Trace, ball_of, norm_curvature
from gossamer.solvers.iterating import settled


def ellipsoid(problem: Problem, n_iter: int) -> Trace:
    r"""Halve an ellipsoid at its centre, by the slope there, and enclose what is left; the best
    centre within the ball.

    .. math:: f(w_t) - f^* \le \Delta \sqrt{p} \; e^{-t / (2 p^2)}

    with ``Delta`` a bound of the range of ``f`` on the ball. Linear whatever the curvature, and
    slow for more than a handful of coefficients.

    Parameters
    ----------
    problem : Problem with an L1Ball of at least two single coefficients
    n_iter : int

    References
    ----------
    Nemirovski and Yudin (1976). Bubeck (2015), Convex optimization: algorithms and complexity,
    theorem 2.4.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> ellipsoid(problem, 300).w[:, 0].round(3)
    array([0.5, 0. , 0. ])
    """
    ball = ball_of(problem, "ellipsoid")
    radius, p = ball.radius, problem.shape[0]
    if p < 2:
        raise ValueError("ellipsoid: X must have at least two columns.")
    centre, shape = np.zeros(p), radius**2 * np.eye(p)
    best, objective = problem.start(), []
    for _ in range(n_iter):
        if np.abs(centre).sum() <= radius:
            point = settled(problem, centre[:, None], best.b)
            best = point if point.loss <= best.loss else best
            slope = point.gradient[:, 0]
        else:
            slope = np.sign(centre)
        objective.append(best.loss)
        length = np.sqrt(max(slope @ shape @ slope, 0.0))
        if length == 0:
            continue  # the centre is optimal, or the ellipsoid a point
        cut = shape @ slope / length
        centre = centre - cut / (p + 1)
        shape = p**2 / (p**2 - 1) * (shape - 2 / (p + 1) * np.outer(cut, cut))
    steepest = np.abs(problem.null_gradient).max() * radius
    extent = problem.null_objective + steepest + norm_curvature(problem, ball) * radius**2 / 2
    bound = extent * np.sqrt(p) * np.exp(-np.arange(1, n_iter + 1) / (2 * p**2))
    return Trace(np.array(objective), bound, best.w)
