r"""What moving one coefficient from zero gains in a loss with a price, in closed form.

With ``c = |g_j|`` the pull on coefficient j, ``d`` the mean square of its column and ``u`` its
price, the largest decrease over ``t`` of ``loss(w + t e_j) + price(t)`` is

- Quadratic: ``max(c - u, 0)^2 / (2 d)`` with L1, ``c^2 / (2 d) - u`` with L0;
- SquareRoot, with ``e = c / sqrt(d)`` and ``v = u / sqrt(d)``:
  ``sigma (1 - sqrt(1 - e^2) sqrt(1 - v^2) - v e)`` for ``v < e`` with L1,
  ``sigma (1 - sqrt(1 - e^2)) - u`` with L0.

Reference: Mohammad-Taheri and Brugiapaglia (2025), The greedy side of the LASSO, theorems 1 to 3.
"""

from __future__ import annotations

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.losses import SquareRoot
from gossamer.penalties import L0, L1

# columns whose breakpoints are sorted at a time
_CHUNK = 256


def refuses(problem: Problem, price: L1 | L0) -> str | None:
    """Why there is no closed form."""
    if problem.shape[1] > 1 or not price.on.units(problem.shape).are_single:
        return "prices are for single features and one target"
    if not (problem.loss.is_quadratic or isinstance(problem.loss, SquareRoot)):
        return f"the gain of a coefficient has no closed form for {problem.loss!r} with a price"
    return None


def gains(problem: Problem, point: Point, price: L1 | L0) -> np.ndarray:
    """(p,) the largest decrease of loss and price along each coefficient, from zero."""
    pull, square = np.abs(point.gradient[:, 0]), problem.design.squares[:, 0]
    alive = square > 1e-14 * square.max(initial=0.0)
    pull, square = np.where(alive, pull, 0.0), np.where(alive, square, 1.0)
    cost = price.strength * price.form(problem.shape).weights
    shrinks = isinstance(price, L1)
    if problem.loss.is_quadratic:
        pull = np.maximum(pull - cost, 0.0) if shrinks else pull
        gained = pull**2 / (2 * square)
    else:
        sigma = point.loss
        # correlation of column and residual, and the slope of the price beside that of the loss
        cosine = np.minimum(pull / np.sqrt(square), 1.0)
        slope = cost / np.sqrt(square) if shrinks else np.zeros(len(cosine))
        # where the price is as steep as the loss exactly nothing is gained, not its rounding
        paid = np.minimum(slope, cosine)
        left = np.sqrt(1 - cosine**2) * np.sqrt(1 - paid**2) + paid * cosine
        gained = np.where(slope >= cosine, 0.0, sigma * (1 - left))
    return gained if shrinks else gained - cost
