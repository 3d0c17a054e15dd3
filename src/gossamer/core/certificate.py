"""The certificate: duality gap and optimality violation of any point of any problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gossamer.core.budget import Budget
from gossamer.core.exchange import Exchanges, exchanges_at
from gossamer.core.loss import Loss
from gossamer.core.point import Point
from gossamer.core.result import Certificate
from gossamer.core.unit_form import UnitForm, distance_of_form, prox_of_form, pulls_of_form

if TYPE_CHECKING:
    from gossamer.core.problem import Problem


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A certificate, with what a solver can use again."""

    certificate: Certificate
    point: Point
    distances: np.ndarray  # (n_units,) violations, and moves that would improve a single unit
    pulls: np.ndarray | None  # (n_units,) pull away from zero per weight, if the penalty splits


def certify(
    problem: Problem, point: Point, tol: float, exchanges: Exchanges | None = None
) -> Evaluation:
    """Judge a point: one pass over X, when its gradient is not known yet and its intercept is
    optimal, as solvers keep it. ``exchanges`` are those of the point, if known."""
    penalty, w = problem.penalty, point.w
    objective = point.loss + penalty.value(w)
    form = penalty.unit_form(w.shape)
    if form is None:
        pulls, sizes = None, penalty.sizes(w)
        distances = penalty.subdiff_distance(w, point.gradient)
    else:
        pulls, sizes = pulls_of_form(form, point.gradient), form.units.norms(w)
        distances = distance_of_form(form, w, point.gradient, pulls)
    violation = float(max(distances.max(initial=0.0), np.abs(point.pull).max()))

    if penalty.convex:
        gap = _duality_gap(problem, point, objective)
        null = problem.null_objective
        value = gap / null if null > 0 else gap
        kind = "global"
    else:
        gap = np.nan
        value = max(_relative_violation(problem, violation), _relative_slack(problem, point))
        kind = "critical"
        # moves need a quadratic bound, and columns
        curved = problem.loss.is_smooth and not problem.design.is_operator
        if value <= tol and curved and form is not None:
            moves = _single_unit_moves(problem, point, form)
            still = _relative_violation(problem, float(moves.max(initial=0.0))) <= max(tol, 1e-12)
            kind = "coordinate-wise" if still else "critical"
            distances = distances if still else np.maximum(distances, moves)
        elif value <= tol and isinstance(penalty, Budget) and curved:
            exchanges = exchanges_at(problem, point) if exchanges is None else exchanges
            gain = exchanges.best(penalty.k - len(exchanges.chosen))
            still = gain <= max(tol, 1e-12) * problem.null_objective
            kind = "coordinate-wise" if still else "critical"
    certificate = Certificate(
        value=value, tol=tol, kind=kind, gap=gap, violation=violation, objective=objective,
        null_objective=problem.null_objective, support=np.flatnonzero(sizes),
    )  # fmt: skip
    return Evaluation(certificate, point, distances, pulls)


def _duality_gap(problem: Problem, point: Point, objective: float) -> float:
    """Objective minus the dual objective at the loss gradient, scaled to be feasible."""
    penalty = problem.penalty
    flat = penalty.flat(point.w.shape)
    dual = point.dual(penalty.free(point.w.shape)) if flat is None else point.flat_dual(flat)
    scale = penalty.dual_scale(-dual.gradient)
    value = -dual.conjugate(scale) - penalty.conjugate(-scale * dual.gradient)
    # rounding can push the difference of two equal numbers below zero
    return max(objective - value, 0.0) if np.isfinite(value) else np.inf


def _relative_violation(problem: Problem, violation: float) -> float:
    steepest = float(np.abs(problem.null_gradient).max(initial=0.0))
    return violation / steepest if steepest > 0 else violation


def _relative_slack(problem: Problem, point: Point) -> float:
    null = problem.null_objective
    return point.slack / null if null > 0 else point.slack


def _single_unit_moves(problem: Problem, point: Point, form: UnitForm) -> np.ndarray:
    """(n_units,) how far, in units of the gradient, each unit is from its own optimum.

    Under a quadratic bound of the loss along the unit, exact for single coefficients and the
    quadratic loss. Zero everywhere: no single unit can be improved.
    """
    w = point.w
    bound = point.curvatures
    curvature = np.bincount(form.units.labels, bound.ravel(), form.units.count)
    # rounding of a dead column must not look like curvature, of either sign
    curvature = np.maximum(curvature, 1e-14 * curvature.max(initial=0.0) + 1e-100)
    at = form.units.spread(curvature).reshape(w.shape)
    moved = (prox_of_form(form, w - point.gradient / at, 1 / curvature) - w) * at
    return form.units.norms(moved)


def optimal_intercept(
    loss: Loss, z: np.ndarray, y: np.ndarray, s: np.ndarray, b: np.ndarray
) -> np.ndarray:
    """argmin_b of the weighted mean loss at ``z + b``, where the loss does not know it by damped
    Newton.

    For the quadratic loss one step is exact. Curvature that vanishes (Huber far out, saturated
    classes) is floored, and a step is halved until the loss falls.
    """
    used = s > 0
    z, y, s = z[used], y[used], s[used]
    known = loss.best_shift(z, y, s)
    if known is not None:
        return known
    if len(b) > 1 and not (loss.coupled or loss.joint or loss.is_quadratic):
        columns = [optimal_intercept(loss, z[:, [k]], y[:, [k]], s, b[[k]]) for k in range(len(b))]
        return np.concatenate(columns)
    loss = loss.bind(y, s)
    current = float(s @ loss.value(z + b, y))
    for _ in range(100):
        slope = s @ loss.gradient(z + b, y)
        step = _newton_step(loss, z + b, y, s, slope)
        if loss.is_quadratic or abs(slope @ step) <= 1e-12 * max(abs(current), 1e-300):
            # the loss cannot show a gain this small: the last step is taken on trust
            b = b - step
            break
        for _ in range(60):
            value = float(s @ loss.value(z + b - step, y))
            if value <= current:
                break
            step = step / 2
        else:
            break
        b, current = b - step, value
    return b - b.mean() if loss.coupled else b


def _newton_step(
    loss: Loss, z: np.ndarray, y: np.ndarray, s: np.ndarray, slope: np.ndarray
) -> np.ndarray:
    # a step is at most a thousand times the size of what the loss compares
    reach = 1.0 + np.abs(y).max(initial=0.0) + np.abs(z).max(initial=0.0)
    floor = 1e-12 + 1e-3 * np.abs(slope) / reach
    if not loss.coupled:
        return slope / np.maximum(s @ loss.curvature(z, y), floor)
    p = loss.mean(z)
    hessian = np.diag(s @ p + floor) - (p * s[:, None]).T @ p
    # the classes' common shift changes nothing: the minimum-norm step leaves it alone
    return np.linalg.lstsq(hessian, slope, rcond=None)[0]
