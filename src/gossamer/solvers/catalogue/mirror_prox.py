"""Mirror prox: a loss with kinks as a saddle point."""

from __future__ import annotations

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.problem import Problem
from gossamer.losses import LeastAbsolute
from gossamer.solvers.catalogue.mirror_descent import spread_over
from gossamer.solvers.catalogue.trace import Trace, ball_of, slopes_of


def mirror_prox(problem: Problem, n_iter: int) -> Trace:
    r"""Least absolute deviations within a ball, as a saddle point of a bilinear function.

    .. math:: \min_{\lVert w \rVert_1 \le r} \max_{\lVert u \rVert_\infty \le 1}
              \sum_i s_i u_i (x_i^\top w - y_i)

    Each iteration steps twice from the same place, the second time with the slopes found by the
    first. Entropy on the 2 p atoms of the ball, squares on ``u``; of the averages,

    .. math:: f(\bar w_t) - f^* \le \frac{2 \Lambda \sqrt{\log(2p)}}{t} , \qquad
              \Lambda = r \max_j \lVert s^{1/2} x_j \rVert_2 / \sqrt2,

    which is faster than any method that sees slopes of ``f`` alone.

    Parameters
    ----------
    problem : Problem with LeastAbsolute, an L1Ball of single coefficients and no intercept
    n_iter : int

    References
    ----------
    Nemirovski (2004), Prox-method with rate of convergence O(1/t). Bubeck (2015), theorem 5.2.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.LeastAbsolute(), gs.L1Ball(0.5),
    ...                      fit_intercept=False)
    >>> mirror_prox(problem, 100).w[:, 0].argmax()
    np.int64(0)
    """
    radius = ball_of(problem, "mirror_prox", curved=False).radius
    p, s, design = problem.shape[0], problem.sample_weight, problem.design
    if not isinstance(problem.loss, LeastAbsolute) or problem.fit_intercept:
        raise UnsupportedProblem("mirror_prox: the loss must be LeastAbsolute(), no intercept.")
    offset = 0.0 if problem.offset is None else problem.offset[:, 0]
    target, entropy = problem.y[:, 0] - offset, np.log(2 * p)
    # in the metric of the weights the squares of u are at most one half
    widest = radius * float(np.sqrt(design.squares.max())) / np.sqrt(2)
    rate = 1 / max(widest * np.sqrt(entropy), 1e-300)

    def moved(logits: np.ndarray, u: np.ndarray, seen: tuple) -> tuple[np.ndarray, np.ndarray]:
        """A step from here, with the slopes seen there."""
        slopes = slopes_of(design.rmatvec((s * seen[1])[:, None]), radius)
        error = design.matvec(spread_over(seen[0], radius))[:, 0] - target
        new = logits - rate * entropy * slopes
        return new, np.clip(u + 0.5 * rate * error, -1.0, 1.0)

    here: tuple[np.ndarray, np.ndarray] = np.zeros(2 * p), np.zeros(len(s))
    mean, objective = np.zeros((p, 1)), []
    for t in range(1, n_iter + 1):
        there = moved(*here, here)
        here = moved(*here, there)
        mean = mean + (spread_over(there[0], radius) - mean) / t
        objective.append(problem.mean_loss(problem.linear(mean, np.zeros(1))))
    bound = 2 * widest * np.sqrt(entropy) / np.arange(1, n_iter + 1)
    return Trace(np.array(objective), bound, mean)
