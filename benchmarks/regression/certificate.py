"""How far from optimal any answer is, in a few lines of numpy that share nothing with gossamer.

Convex problems: the duality gap over the objective at zero, at the dual point that every library
would take, the scaled residual. MCP and SCAD: the largest violation of the optimality conditions
over the largest gradient at zero. For a path, the worst of its points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.regression.problems import Problem


def _xlogx(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x * np.log(np.where(x > 0, x, 1.0)), 0.0)


def loss_values(loss: str, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    if loss == "quadratic":
        return (z - y) ** 2 / 2
    if loss == "logistic":
        return np.logaddexp(0, z) - y * z
    return np.exp(z) - y * z - y + _xlogx(y)


def loss_gradient(loss: str, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    if loss == "quadratic":
        return z - y
    if loss == "logistic":
        return 1 / (1 + np.exp(-z)) - y
    return np.exp(z) - y


def loss_conjugate(loss: str, u: np.ndarray, y: np.ndarray) -> np.ndarray:
    """sup_z u z - loss(z, y)."""
    if loss == "quadratic":
        return u**2 / 2 + u * y
    mean = np.maximum(u + y, 0)
    if loss == "logistic":
        return _xlogx(mean) + _xlogx(np.maximum(1 - mean, 0))
    return _xlogx(mean) - mean + y - _xlogx(y)


def sizes(problem: Problem, w: np.ndarray) -> np.ndarray:
    """The size of every unit of the penalty: a coefficient, a group or a row."""
    if problem.penalty == "group":
        return np.sqrt((w.reshape(-1, problem.group_size) ** 2).sum(axis=1))
    if problem.penalty == "rows":
        return np.sqrt((w**2).sum(axis=1))
    return np.abs(w)


def penalty_value(problem: Problem, size: np.ndarray, strength: float) -> float:
    s, t, g = strength, size, problem.gamma
    if problem.penalty == "mcp":
        return float(np.where(t <= g * s, s * t - t**2 / (2 * g), g * s**2 / 2).sum())
    if problem.penalty == "scad":
        middle = (2 * g * s * t - t**2 - s**2) / (2 * (g - 1))
        return float(np.select([t <= s, t <= g * s], [s * t, middle], s**2 * (g + 1) / 2).sum())
    return float(s * t.sum())


def penalty_slope(problem: Problem, size: np.ndarray, strength: float) -> np.ndarray:
    """Derivative of MCP or SCAD in the size of a unit."""
    g = problem.gamma
    if problem.penalty == "mcp":
        return np.maximum(strength - size / g, 0)
    return np.where(size <= strength, strength, np.maximum(g * strength - size, 0) / (g - 1))


def gradient(problem: Problem, z: np.ndarray) -> np.ndarray:
    return problem.X.T @ loss_gradient(problem.loss, z, problem.y) / len(problem.y)


def mean_loss(problem: Problem, z: np.ndarray) -> float:
    return float(loss_values(problem.loss, z, problem.y).sum() / len(problem.y))


def strength_max(problem: Problem) -> float:
    """The smallest strength at which nothing is selected."""
    return float(sizes(problem, gradient(problem, np.zeros(problem.y.shape))).max())


def objective(problem: Problem, w: np.ndarray, strength: float) -> float:
    return mean_loss(problem, problem.X @ w) + penalty_value(problem, sizes(problem, w), strength)


def relative_gap(problem: Problem, w: np.ndarray, strength: float) -> float:
    z = problem.X @ w
    u = loss_gradient(problem.loss, z, problem.y)
    steepest = sizes(problem, problem.X.T @ u).max() / len(u)
    u = u * min(1.0, strength / steepest) if steepest > 0 else u
    dual = -loss_conjugate(problem.loss, u, problem.y).sum() / len(u)
    primal = mean_loss(problem, z) + strength * sizes(problem, w).sum()
    return float((primal - dual) / mean_loss(problem, 0 * z))


def relative_violation(problem: Problem, w: np.ndarray, strength: float) -> float:
    g = gradient(problem, problem.X @ w)
    moved = np.abs(g + np.sign(w) * penalty_slope(problem, np.abs(w), strength))
    violation = np.where(w != 0, moved, np.maximum(np.abs(g) - strength, 0))
    return float(violation.max() / np.abs(gradient(problem, np.zeros(len(problem.y)))).max())


def certificate(problem: Problem, coefs: Any) -> float:
    """The worst of a path's points; ``coefs`` holds one a strength. Never below zero."""
    judge = relative_gap if problem.convex else relative_violation
    values = [judge(problem, w, s) for w, s in zip(coefs, problem.strengths, strict=True)]
    return max(0.0, *values) if np.isfinite(values).all() else float("inf")
