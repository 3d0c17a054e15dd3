r"""What moving one coefficient from zero gains in a loss with a price, in closed form.

With ``c = |g_j|`` the pull on coefficient j, ``d`` the mean square of its column and ``u`` its
price, the largest decrease over ``t`` of ``loss(w + t e_j) + price(t)`` is

- Quadratic: ``max(c - u, 0)^2 / (2 d)`` with L1, ``c^2 / (2 d) - u`` with L0;
- SquareRoot, with ``e = c / sqrt(d)`` and ``v = u / sqrt(d)``:
  ``sigma (1 - sqrt(1 - e^2) sqrt(1 - v^2) - v e)`` for ``v < e`` with L1,
  ``sigma (1 - sqrt(1 - e^2)) - u`` with L0;
- straight lines with a kink each, as LeastAbsolute: a weighted quantile of the places where the
  line through the kinks is met, with L1 among zero and ``u``.

Reference: Mohammad-Taheri and Brugiapaglia (2025), The greedy side of the LASSO, theorems 1 to 3.
"""

from __future__ import annotations

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.losses import SquareRoot
from gossamer.losses.kinked import Kinked
from gossamer.penalties import L0, L1, AtMost

# columns whose breakpoints are sorted at a time
_CHUNK = 256


def refuses(problem: Problem, price: L1 | L0) -> str | None:
    """Why there is no closed form."""
    if problem.design.is_operator:
        return "X is a LinearOperator: columns of a support are needed"
    if problem.shape[1] > 1 or not price.on.units(problem.shape).are_single:
        return "prices are for single features and one target"
    if isinstance(problem.loss, Kinked) and isinstance(problem.penalty, AtMost):
        return "a ridge beside straight lines" if problem.penalty.ridge > 0 else None
    if not (problem.loss.is_quadratic or isinstance(problem.loss, SquareRoot)):
        return f"the gain of a coefficient has no closed form for {problem.loss!r} with a price"
    return None


def gains(problem: Problem, point: Point, price: L1 | L0) -> np.ndarray:
    """(p,) the largest decrease of loss and price along each coefficient, from zero."""
    if isinstance(problem.loss, Kinked):
        return _gains_of_lines(problem, point, problem.loss, price)
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


def _gains_of_lines(problem: Problem, point: Point, loss: Kinked, price: L1 | L0) -> np.ndarray:
    """(p,) the same where the loss along a coefficient consists of straight lines."""
    p = problem.shape[0]
    cost = price.strength * price.form(problem.shape).weights
    slope = cost if isinstance(price, L1) else np.zeros(p)
    kink, left, right = (part[:, 0] for part in loss.lines(problem.y))
    room, s, gained = kink - point.z[:, 0], problem.sample_weight, np.empty(p)
    for first in range(0, p, _CHUNK):
        chunk = np.arange(first, min(first + _CHUNK, p))
        columns = problem.design.dense(chunk)
        best = _lowest(columns, room, s * left, s * right, slope[chunk])
        moved = best * columns - room[:, None]
        value = s @ np.maximum(left[:, None] * moved, right[:, None] * moved)
        gained[chunk] = point.loss - value - slope[chunk] * np.abs(best)
    # less than rounding is nothing
    gained[gained <= 1e-12 * point.loss] = 0.0
    return gained if isinstance(price, L1) else gained - cost


def _lowest(
    columns: np.ndarray, room: np.ndarray, left: np.ndarray, right: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    """(m,) where each column's sum of lines ``left, right`` of ``t column - room``, with
    ``slope |t|``, turns to rise."""
    still = columns == 0
    turns = np.where(still, 0.0, room[:, None] / np.where(still, 1.0, columns))
    # the last row is zero, with the price
    turns = np.vstack([turns, np.zeros_like(slope)])
    bends = np.vstack([np.abs(columns) * (right - left)[:, None], 2 * slope])
    start = np.where(columns > 0, left[:, None], right[:, None]) * columns
    order = np.argsort(turns, axis=0)
    rise = start.sum(axis=0) - slope + np.cumsum(np.take_along_axis(bends, order, axis=0), axis=0)
    first = np.argmax(rise >= -1e-12 * bends.sum(axis=0), axis=0)
    return np.take_along_axis(turns, np.take_along_axis(order, first[None, :], 0), 0)[0]
