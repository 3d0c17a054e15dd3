"""Refit: the loss and its ridge minimised over the coefficients of a support."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq
from scipy.optimize import linprog

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.losses import SquareRoot
from gossamer.losses.kinked import Kinked
from gossamer.penalties import AtMost

# share of the largest coefficient below which one that is pushed to zero is held there
_NEAR_ZERO = 1e-5

_MAX_STEPS, _MAX_HALVINGS, _IDLE_STEPS = 100, 40, 3


def refit(problem: Problem, at: np.ndarray, start: Point, *, precision: float = 1e-12) -> Point:
    """The best coefficients in the places ``at``, with all others zero.

    Newton's method with halved steps, projected where coefficients must not be negative. Of the
    penalty, a budget, only the ridge and the sign count.

    at : (m,) flat positions in the (p, K) coefficients.
    start : where the search begins; what it has outside of ``at`` is dropped.
    precision : of the gradient, relative to that of the null model.
    """
    support = _Support(problem, at)
    if isinstance(problem.loss, Kinked):
        return support.point(_by_lines(support, problem.loss))
    x = np.concatenate([np.ravel(start.w)[at], start.b])
    if not np.array_equal(np.flatnonzero(np.ravel(start.w)), at):
        x[len(at) :] = problem.best_intercept(support.linear(x) - x[len(at) :], start.b)
    value, idle = support.value(x), 0
    limit = precision * (np.abs(problem.null_gradient).max(initial=0.0) + 1e-300)
    for _ in range(_MAX_STEPS):
        gradient, hessian = support.derivatives(x)
        moving = support.moving(x, gradient)
        held = support.signed & ~moving
        if np.abs(gradient[moving]).max(initial=0.0) <= limit and not x[held].any():
            break
        following, reached = _halved(support, x, value, gradient, hessian, moving)
        idle = idle + 1 if reached >= value else 0
        x, value = following, reached
        if idle == _IDLE_STEPS:  # the value cannot show what such steps still gain
            break
    return support.point(x)


def _by_lines(support: _Support, loss: Kinked) -> np.ndarray:
    """The same for a loss of straight lines and one target: a linear programme, without a ridge."""
    problem, (n, m) = support.problem, support.columns.shape
    kink, left, right = (part[:, 0] for part in loss.lines(problem.y))
    if problem.offset is not None:
        kink = kink - problem.offset[:, 0]
    s = problem.sample_weight
    # prediction = kink + above - below
    cost = np.concatenate([np.zeros(m), s * right, -s * left])
    equations = sparse.hstack([support.columns, -sparse.eye_array(n), sparse.eye_array(n)], "csc")
    lower = np.concatenate([np.where(support.signed, 0.0, -np.inf), np.zeros(2 * n)])
    bounds = np.column_stack([lower, np.full(m + 2 * n, np.inf)])
    if not problem.fit_intercept:
        bounds[m - 1] = 0.0
    precise = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    size = np.abs(kink).max(initial=0.0) or 1.0  # tolerances are absolute
    found = linprog(cost, A_eq=equations, b_eq=kink / size, bounds=bounds, options=precise)
    return np.asarray(size * found.x[:m])


def _halved(
    support: _Support, x: np.ndarray, value: float, gradient: np.ndarray, hessian: np.ndarray,
    moving: np.ndarray,
) -> tuple[np.ndarray, float]:  # fmt: skip
    # what its sign holds goes to zero at once, not by ever shorter steps
    step = np.where(support.signed & ~moving, x, 0.0)
    step[moving] = solved(hessian[np.ix_(moving, moving)], gradient[moving])
    for _ in range(_MAX_HALVINGS):
        following = support.project(x - step)
        reached = support.value(following)
        if reached <= value + 1e-15 * abs(value):
            return following, reached
        step = step / 2
    return x, value


def solved(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """A Newton step, of least norm where columns depend on each other."""
    scale = np.sqrt(np.maximum(np.diag(hessian), 1e-300))
    scaled = hessian / scale / scale[:, None]
    try:
        factor = cho_factor(scaled)
        if np.diag(factor[0]).min(initial=1.0) > 1e-7:
            return cho_solve(factor, gradient / scale) / scale
    except LinAlgError:
        pass
    return lstsq(scaled, gradient / scale, cond=1e-12)[0] / scale


class _Support:
    """The problem in the chosen coefficients and the intercepts, ``x = (w[at], b)``."""

    def __init__(self, problem: Problem, at: np.ndarray) -> None:
        self.problem, self.at, budget = problem, at, problem.penalty
        assert isinstance(budget, AtMost)
        outputs = problem.shape[1]
        self.output = np.concatenate([at % outputs, np.arange(outputs)])
        features, slots = np.unique(at // outputs, return_inverse=True)
        self.columns = np.empty((problem.X.shape[0], len(at) + outputs), order="F")
        self.columns[:, : len(at)] = problem.design.dense(features)[:, slots]
        self.columns[:, len(at) :] = float(problem.fit_intercept)
        self.ridge = np.append(np.full(len(at), budget.ridge), np.zeros(outputs))
        self.signed = np.zeros(len(self.ridge), dtype=bool)
        self.signed[: len(at)] = budget.nonnegative

    def project(self, x: np.ndarray) -> np.ndarray:
        return np.where(self.signed, np.maximum(x, 0.0), x)

    def moving(self, x: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """What may move: all but intercepts that are not fitted, and what its sign holds."""
        near = _NEAR_ZERO * np.abs(x[: len(self.at)]).max(initial=0.0)
        moving = ~(self.signed & (x <= near) & (gradient >= 0))
        moving[len(self.at) :] &= self.problem.fit_intercept
        return moving

    def linear(self, x: np.ndarray) -> np.ndarray:
        """(n, K) prediction without the offset."""
        z = np.empty((len(self.columns), self.problem.shape[1]))
        for k in range(z.shape[1]):
            mine = self.output == k
            z[:, k] = self.columns[:, mine] @ x[mine]
        return z

    def predict(self, x: np.ndarray) -> np.ndarray:
        z, offset = self.linear(x), self.problem.offset
        return z if offset is None else z + offset

    def value(self, x: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            loss = self.problem.mean_loss(self.predict(x))
        value = loss + 0.5 * float(self.ridge @ (x * x))
        return value if np.isfinite(value) else np.inf

    def derivatives(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        problem, A = self.problem, self.columns
        loss, s, z = problem.loss, problem.sample_weight[:, None], self.predict(x)
        pull = s * loss.gradient(z, problem.y)
        gradient = (A * pull[:, self.output]).sum(axis=0) + self.ridge * x
        if loss.coupled:
            likely = A * loss.mean(z)[:, self.output]
            same = self.output[:, None] == self.output
            hessian = ((likely * s).T @ A) * same - (likely * s).T @ likely
        elif problem.shape[1] == 1:
            hessian = (A * (s * loss.curvature(z, problem.y))).T @ A
        else:
            bend = s * loss.curvature(z, problem.y)
            same = self.output[:, None] == self.output
            hessian = ((A * bend[:, self.output]).T @ A) * same
        across = loss.interaction(z, problem.y, A) if loss.joint else None
        # without it the step for a square root is that for its square: exact
        if across is not None and not isinstance(loss, SquareRoot):
            hessian = hessian - across.T @ across
        # curvature that vanishes (saturated classes, outliers of Huber's) is floored
        floor = 1e-12 * np.diag(hessian).max(initial=0.0) + 1e-300
        hessian.flat[:: len(hessian) + 1] += self.ridge + floor
        return gradient, hessian

    def point(self, x: np.ndarray) -> Point:
        w = np.zeros(self.problem.shape)
        w.flat[self.at] = x[: len(self.at)]
        return Point(self.problem, w, x[len(self.at) :].copy())
