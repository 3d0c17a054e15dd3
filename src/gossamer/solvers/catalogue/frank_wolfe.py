"""Frank and Wolfe's method, and the same with steps away from atoms."""

from __future__ import annotations

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.unit_form import UnitForm
from gossamer.penalties import L1Ball
from gossamer.solvers.catalogue.trace import (
    Trace,
    ball_of,
    coefficients,
    form_of,
    norm_curvature,
    slopes_of,
    weighted_columns,
)
from gossamer.solvers.iterating import settled


def frank_wolfe(problem: Problem, n_iter: int) -> Trace:
    r"""Steps towards the atom that the gradient likes best; no projection, one unit a step.

    .. math:: f(w_t) - f^* \le \frac{2 \beta D^2}{t + 2}

    with the diameter ``D`` of the ball and the constant ``beta`` of the gradient, both in the norm
    of the ball. On elements, groups or rows.

    Parameters
    ----------
    problem : Problem with an L1Ball
    n_iter : int

    References
    ----------
    Jaggi (2013), Revisiting Frank-Wolfe, theorem 1. Bubeck (2015), theorem 3.8.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> frank_wolfe(problem, 20).w[:, 0].round(3)
    array([0.5, 0. , 0. ])
    """
    ball = ball_of(problem, "frank_wolfe", elements=False)
    form = form_of(problem, ball)
    point, objective = problem.start(), []
    for _ in range(n_iter):
        direction = atom(ball, form, point.gradient) - point.w
        step = _length(problem, point, direction, 1.0)
        point = settled(problem, point.w + step * direction, point.b)
        objective.append(point.loss)
    diameter = 2 * ball.radius
    bound = 2 * norm_curvature(problem, ball) * diameter**2 / (np.arange(1, n_iter + 1) + 2)
    return Trace(np.array(objective), bound, point.w)


def away_steps(problem: Problem, n_iter: int) -> Trace:
    r"""Frank and Wolfe's method that also steps away from atoms: a linear rate on a polytope.

    .. math:: f(w_t) - f^* \le (1 - \rho)^{t / 2} h_0, \qquad
              \rho = \min\Bigl(\tfrac12, \frac{\mu}{4 L} \frac{\delta^2}{D^2}\Bigr), \qquad
              \delta = \frac{r}{\sqrt{p - 1}}

    for curvatures in ``[mu, L]`` and the pyramidal width ``delta`` of the ball of radius ``r``; the
    quadratic loss on single coefficients.

    Parameters
    ----------
    problem : Problem with an L1Ball
    n_iter : int

    References
    ----------
    Lacoste-Julien and Jaggi (2015), On the global linear convergence of Frank-Wolfe optimization
    variants, theorem 1. Pena and Rodriguez (2019), Polytope conditioning and linear convergence of
    the Frank-Wolfe algorithm: the width as the distance between opposite faces.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.eye(3)
    >>> problem = gs.Problem(X, X[0], gs.losses.Quadratic(), gs.L1Ball(0.5), fit_intercept=False)
    >>> away_steps(problem, 20).w[:, 0].round(3)
    array([0.5, 0. , 0. ])
    """
    ball = ball_of(problem, "away_steps")
    if not problem.loss.is_quadratic:
        raise UnsupportedProblem(f"away_steps: the loss must be quadratic, got {problem.loss!r}.")
    p, radius = problem.shape[0], ball.radius
    first = int(np.abs(problem.null_gradient).argmax())
    shares = np.zeros(2 * p)
    shares[first + p * (problem.null_gradient[first, 0] > 0)] = 1.0
    point = settled(problem, coefficients(shares, radius), problem.null_intercept)
    start, objective = point.loss, []
    for _ in range(n_iter):
        shares = _shift(problem, point, shares, radius)
        point = settled(problem, coefficients(shares, radius), point.b)
        objective.append(point.loss)
    columns = weighted_columns(problem, np.arange(p))
    curvatures = np.linalg.eigvalsh(columns.T @ columns)
    ratio = max(curvatures[0], 0.0) / curvatures[-1]
    rho = min(0.5, ratio / 4 / (4 * max(p - 1, 1)))
    bound = start * (1 - rho) ** (np.arange(1, n_iter + 1) / 2)
    return Trace(np.array(objective), bound, point.w)


def atom(ball: L1Ball, form: UnitForm, gradient: np.ndarray) -> np.ndarray:
    """The point of the ball along which a linear function with this gradient falls most."""
    pull = np.minimum(gradient, 0.0) if form.nonnegative else gradient
    sizes = form.per_weight(form.units.norms(pull))
    found = np.zeros_like(gradient)
    u = int(sizes.argmax())
    if sizes[u] > 0:
        at = form.units.positions(np.array([u]))[0]
        found.flat[at] = -ball.radius / form.weights[u] ** 2 * pull.flat[at] / sizes[u]
    return found


def _shift(problem: Problem, point: Point, shares: np.ndarray, radius: float) -> np.ndarray:
    """Shares of the atoms after a step towards the best or away from the worst of those in use."""
    slope = slopes_of(point.gradient, radius)
    here = float(shares @ slope)
    used = np.flatnonzero(shares)
    best, worst = int(slope.argmin()), int(used[slope[used].argmax()])
    towards = here - slope[best] >= slope[worst] - here
    change = -shares if towards else shares.copy()
    change[best if towards else worst] += 1.0 if towards else -1.0
    longest = 1.0 if towards else shares[worst] / max(1 - shares[worst], 1e-300)
    direction = coefficients(change, radius)
    step = _length(problem, point, direction, longest)
    moved = np.maximum(shares + step * change, 0.0)
    if not towards and step == longest:
        moved[worst] = 0.0
    return np.asarray(moved / moved.sum())


def _length(problem: Problem, point: Point, direction: np.ndarray, longest: float) -> float:
    """The minimiser of the quadratic bound along a direction, at most ``longest``."""
    assert problem.loss.smoothness is not None
    moved = problem.design.matvec(direction)
    bend = problem.loss.smoothness * float(problem.sample_weight @ (moved * moved).sum(axis=1))
    gain = -float((point.gradient * direction).sum())
    if gain <= 0:
        return 0.0
    return min(gain / bend, longest) if bend > 0 else longest
