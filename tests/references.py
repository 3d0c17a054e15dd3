"""Objectives, duality gaps and optimality violations, written again in plain numpy.

Nothing here imports gossamer: the tests judge gossamer's and its peers' solutions by these
formulas. A model is described by a :class:`Model`; coefficients have shape (p,), or (p, K) for
several tasks or classes, whichever solver they come from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logsumexp, softmax, xlogy


@dataclass(frozen=True, eq=False)
class Model:
    """A convex or non-convex penalised model: which problem is to be solved.

    on : "elements", "groups" (then ``groups`` lists index arrays) or "rows".
    parameter : l1_ratio of the elastic net, gamma of MCP and SCAD.
    """

    X: Any
    y: np.ndarray
    loss: str
    penalty: str = "l1"
    strength: float = 1.0
    parameter: float = 1.0
    on: str = "elements"
    groups: tuple[np.ndarray, ...] | None = None
    weights: np.ndarray | None = None
    nonnegative: bool = False
    fit_intercept: bool = True
    delta: float = 1.35

    @property
    def n_outputs(self) -> int:
        """K: classes of the multinomial loss, tasks of a y with columns, else 1."""
        if self.loss == "multinomial":
            return int(self.y.max()) + 1
        return 1 if self.y.ndim == 1 else self.y.shape[1]

    @property
    def target(self) -> np.ndarray:
        """y, one-hot for the multinomial loss."""
        return np.eye(self.n_outputs)[self.y.astype(int)] if self.loss == "multinomial" else self.y

    def zero(self) -> np.ndarray:
        p = self.X.shape[1]
        return np.zeros(p if self.n_outputs == 1 else (p, self.n_outputs))


# -- losses: value and gradient in the prediction z, conjugate in its dual variable u


def loss_values(model: Model, z: np.ndarray) -> np.ndarray:
    y = model.target
    match model.loss:
        case "quadratic":
            return 0.5 * (z - y) ** 2
        case "logistic":
            return np.logaddexp(0, z) - y * z
        case "multinomial":
            return logsumexp(z, axis=1) - (y * z).sum(axis=1)
        case "poisson":
            return np.exp(z) - y * z - (y - xlogy(y, y))
        case "huber":
            r = np.abs(z - y)
            return np.where(r <= model.delta, 0.5 * r**2, model.delta * (r - 0.5 * model.delta))
    raise ValueError(f"no reference for the loss {model.loss!r}")


def loss_gradient(model: Model, z: np.ndarray) -> np.ndarray:
    y = model.target
    match model.loss:
        case "quadratic":
            return z - y
        case "logistic":
            return expit(z) - y
        case "multinomial":
            return softmax(z, axis=1) - y
        case "poisson":
            return np.exp(z) - y
        case "huber":
            return np.clip(z - y, -model.delta, model.delta)
    raise ValueError(f"no reference for the loss {model.loss!r}")


def loss_conjugate(model: Model, u: np.ndarray) -> np.ndarray:
    """sup over z of u z - loss(z, y), for u in its domain (which is not checked)."""
    y = model.target
    mean = u + y
    match model.loss:
        case "quadratic" | "huber":
            return 0.5 * u**2 + u * y
        case "logistic":
            return xlogy(mean, mean) + xlogy(1 - mean, 1 - mean)
        case "multinomial":
            return xlogy(mean, mean).sum(axis=1)
        case "poisson":
            return xlogy(mean, mean) - mean + (y - xlogy(y, y))
    raise ValueError(f"no reference for the loss {model.loss!r}")


# -- penalties


def unit_sizes(model: Model, coef: np.ndarray) -> np.ndarray:
    """Absolute values, Euclidean norms of the groups, or of the rows."""
    if model.on == "rows":
        return np.linalg.norm(coef, axis=1)
    if model.on == "groups":
        return np.array([np.linalg.norm(coef[group]) for group in model.groups or ()])
    return np.abs(coef)


def penalty_shape(model: Model, t: np.ndarray) -> np.ndarray:
    """The penalty of units of sizes t >= 0, of any array shape, without weights."""
    s, a = model.strength, model.parameter
    match model.penalty:
        case "l1":
            return s * t
        case "elastic_net":
            return s * (a * t + 0.5 * (1 - a) * t**2)
        case "mcp":
            return np.where(t <= a * s, s * t - t**2 / (2 * a), 0.5 * a * s**2)
        case "scad":
            middle = (2 * a * s * t - t**2 - s**2) / (2 * (a - 1))
            return np.select([t <= s, t <= a * s], [s * t, middle], 0.5 * s**2 * (a + 1))
    raise ValueError(f"no reference for the penalty {model.penalty!r}")


def penalty_value(model: Model, coef: np.ndarray) -> float:
    values = penalty_shape(model, unit_sizes(model, coef))
    return float(np.sum(values if model.weights is None else model.weights * values))


def _penalty_slope(model: Model, t: np.ndarray) -> np.ndarray:
    """Derivative of the penalty's shape at sizes t >= 0 (from the right at 0)."""
    s, a = model.strength, model.parameter
    match model.penalty:
        case "l1":
            return np.full_like(t, s)
        case "elastic_net":
            return s * (a + (1 - a) * t)
        case "mcp":
            return np.maximum(s - t / a, 0)
        case "scad":
            return np.where(t <= s, s, np.maximum(a * s - t, 0) / (a - 1))
    raise ValueError(f"no reference for the penalty {model.penalty!r}")


# -- the problem


def objective(model: Model, coef: np.ndarray, intercept: Any = 0.0) -> float:
    """Mean loss over the samples plus the penalty."""
    losses = loss_values(model, model.X @ coef + intercept)
    return float(losses.sum() / model.X.shape[0]) + penalty_value(model, coef)


def best_intercept(model: Model, coef: np.ndarray) -> Any:
    """The intercept that minimises the objective for given coefficients."""
    z = model.X @ coef
    if not model.fit_intercept:
        return np.zeros(model.n_outputs) if model.n_outputs > 1 else 0.0
    if model.loss == "quadratic":
        return (model.y - z).mean(axis=0)
    if model.loss == "poisson":
        return np.log(model.y.mean() / np.exp(z).mean())
    if model.loss == "multinomial":
        # Matches the mean probabilities to the class frequencies (iterative scaling).
        b, wanted = np.zeros(model.n_outputs), model.target.mean(axis=0)
        for _ in range(10_000):
            step = np.log(wanted / softmax(z + b, axis=1).mean(axis=0))
            b += step
            if np.abs(step).max() < 1e-15:
                break
        return b - b.mean()
    bound = np.abs(z).max() + np.abs(model.y).max() + 40
    return brentq(lambda b: loss_gradient(model, z + b).sum(), -bound, bound, xtol=1e-14)


def null_objective(model: Model) -> float:
    zero = model.zero()
    return objective(model, zero, best_intercept(model, zero))


def gradient(model: Model, coef: np.ndarray, intercept: Any) -> np.ndarray:
    """Gradient of the mean loss with respect to the coefficients."""
    residual = loss_gradient(model, model.X @ coef + intercept)
    return model.X.T @ residual / model.X.shape[0]


def strength_max(model: Model) -> float:
    """The smallest strength at which all coefficients are zero."""
    zero = model.zero()
    g = -gradient(model, zero, best_intercept(model, zero))
    sizes = unit_sizes(model, np.maximum(g, 0) if model.nonnegative else g)
    if model.weights is not None:
        sizes = sizes / model.weights
    ratio = model.parameter if model.penalty == "elastic_net" else 1.0
    return float(sizes.max() / ratio)


def at_ratio(model: Model, ratio: float) -> Model:
    """The model with strength = ``ratio`` times its largest useful strength."""
    return replace(model, strength=ratio * strength_max(model))


def duality_gap(model: Model, coef: np.ndarray, intercept: Any = None) -> float:
    """Objective minus a dual value, over the null objective: a proof that needs no peer.

    The intercept, the best one unless given, must make the loss's gradient sum to zero.

    Fenchel: with theta = minus the loss's gradient at the best intercept (so that it sums to
    zero) and 0 <= c <= 1 that makes c theta feasible, the gap is
    mean_i [f_i(z_i) + f_i*(-c theta_i)] + Omega(w) + Omega*(X' c theta / n).
    """
    intercept = best_intercept(model, coef) if intercept is None else intercept
    theta = -loss_gradient(model, model.X @ coef + intercept)
    correlation = model.X.T @ theta / model.X.shape[0]
    if model.nonnegative:
        correlation = np.maximum(correlation, 0)
    sizes = unit_sizes(model, correlation)
    weights = 1.0 if model.weights is None else model.weights
    s, a, scale, conjugate = model.strength, model.parameter, 1.0, 0.0
    if model.penalty == "l1":
        scale = 1.0 / max(1.0, float((sizes / (weights * s)).max()))
    elif model.penalty == "elastic_net":
        excess = np.maximum(sizes - weights * s * a, 0)
        conjugate = float((excess**2 / (2 * weights * s * (1 - a))).sum())
    else:
        raise ValueError(f"{model.penalty} is not convex: it has no duality gap")
    dual = -loss_conjugate(model, -scale * theta).sum() / model.X.shape[0] - conjugate
    return (objective(model, coef, intercept) - dual) / null_objective(model)


def violation(model: Model, coef: np.ndarray, intercept: Any) -> float:
    """Largest distance of minus the gradient to the penalty's subdifferential, over the strength.

    Elements only: what is left to compare where the penalty is not convex.
    """
    g = gradient(model, coef, intercept)
    slope = _penalty_slope(model, np.abs(coef))
    weights = 1.0 if model.weights is None else model.weights
    at_zero = np.maximum(np.abs(g) - weights * slope, 0)
    elsewhere = np.abs(g + weights * slope * np.sign(coef))
    worst = np.where(coef == 0, at_zero, elsewhere).max()
    level = np.abs(np.mean(loss_gradient(model, model.X @ coef + intercept), axis=0)).max()
    return float(max(worst, level if model.fit_intercept else 0.0) / model.strength)


def gain_of_one_change(model: Model, coef: np.ndarray, intercept: Any) -> float:
    """The largest decrease of the objective by moving one coefficient, over a fine grid.

    Quadratic loss and elements only: the loss along a coordinate, at the best intercept for each
    position, is then its Taylor polynomial.
    """
    slope = gradient(model, coef, intercept)[:, None]
    curvature = np.asarray(model.X).var(axis=0)[:, None]
    reach = 2 * np.abs(coef).max()
    grid = np.append(np.linspace(-reach, reach, 400), 0.0)
    move = grid - coef[:, None]
    before, after = penalty_shape(model, np.abs(coef))[:, None], penalty_shape(model, np.abs(grid))
    return float(-(slope * move + 0.5 * curvature * move**2 + after - before).min())
