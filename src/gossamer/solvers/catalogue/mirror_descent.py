"""Mirror descent with the entropy: multiplicative steps."""

from __future__ import annotations

import numpy as np

from gossamer.core.problem import Problem
from gossamer.solvers.catalogue.trace import Trace, ball_of, coefficients, norm_curvature, slopes_of
from gossamer.solvers.iterating import settled


def mirror_descent(problem: Problem, n_iter: int) -> Trace:
    r"""Exponentiated gradients on the 2 p atoms of the ball; the average of the iterates.

    .. math:: f(\bar w_t) - f^* \le \frac{\log 2p}{\eta t} + \frac{\eta G^2}{2}, \qquad
              \eta = \frac{1}{G} \sqrt{\frac{2 \log 2p}{T}}

    with ``G`` the radius times a bound of the largest gradient in the ball: the dimension enters
    by its logarithm only.

    Parameters
    ----------
    problem : Problem with an L1Ball of single coefficients
    n_iter : int
        ``T``, for which the step is made.

    References
    ----------
    Bubeck (2015), Convex optimization: algorithms and complexity, theorem 4.2.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> mirror_descent(problem, 200).w[:, 0].argmax()
    np.int64(0)
    """
    ball = ball_of(problem, "mirror_descent")
    radius, p = ball.radius, problem.shape[0]
    largest = np.abs(problem.null_gradient).max() + norm_curvature(problem, ball) * radius
    limit, entropy = radius * max(float(largest), 1e-300), np.log(2 * p)
    rate = np.sqrt(2 * entropy / n_iter) / limit
    logits, mean, objective = np.zeros(2 * p), np.zeros((p, 1)), []
    b = problem.null_intercept
    for t in range(1, n_iter + 1):
        w = spread_over(logits, radius)
        point = settled(problem, w, b)
        mean = mean + (w - mean) / t
        objective.append(settled(problem, mean, point.b).loss)
        logits, b = logits - rate * slopes_of(point.gradient, radius), point.b
    bound = entropy / (rate * np.arange(1, n_iter + 1)) + rate * limit**2 / 2
    return Trace(np.array(objective), bound, mean)


def spread_over(logits: np.ndarray, radius: float) -> np.ndarray:
    """(p, 1) coefficients of shares of the 2 p atoms, given by their logarithms but for a sum."""
    shares = np.exp(logits - logits.max())
    return coefficients(shares / shares.sum(), radius)
