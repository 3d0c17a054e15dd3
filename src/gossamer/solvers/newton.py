"""Newton's step on the support: the linear system of the active set."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from gossamer.solvers.model import Model
from gossamer.solvers.working_units import WorkingUnits

# steps before coordinate descent takes over again
_MAX_STEPS = 10


def newton_move(model: Model, working: WorkingUnits, w: np.ndarray) -> bool:
    """Move ``w`` towards the stationary point of its own support and signs; whether it moved.

    On the support the objective is smooth. Coordinates that would change sign are set to zero and
    leave the support; where that does not lower the objective, the step ends at the first of
    them. Every step lowers the objective, so that the chain is finite and cannot cycle.
    """
    gram = model.gram
    assert gram is not None
    moved = False
    for _ in range(_MAX_STEPS):
        support = np.flatnonzero(w)
        if len(support) == 0:
            return moved
        gradient = model.gradient()
        slope, bend = _smooth_part(working, w, support)
        step = _solve(gram[np.ix_(support, support)] + bend, -(gradient[support] + slope))
        if step is None:
            return moved
        x = w[support]
        crossing = working.has_kink[support] & (np.sign(x + step) != np.sign(x))
        clipped = np.where(crossing, 0.0, x + step)
        if not _lowers(model, working, w, support, clipped, gradient) and not (
            crossing.any()
            and _lowers(model, working, w, support, _to_first(x, step, crossing), gradient)
        ):
            return moved
        moved = True
        if not crossing.any():
            return moved
    return moved


def _smooth_part(
    working: WorkingUnits, w: np.ndarray, support: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and second derivative of the penalty in the coordinates of the support."""
    sizes = working.units.norms(w)
    label = working.units.labels[support]
    t, x = sizes[label], w[support]
    slopes = working.slopes(sizes)
    # second derivative of the shape, from its slope: exact for piecewise quadratic shapes
    h = 1e-6 * np.maximum(sizes, 1e-12)
    bends = (working.slopes(sizes + h) - working.slopes(np.maximum(sizes - h, 0.0))) / (2 * h)
    direction = x / t
    slope = slopes[label] * direction + working.inner[support] * np.sign(x)
    same = label[:, None] == label[None, :]
    outer = np.where(same, direction[:, None] * direction[None, :], 0.0)
    flat = slopes[label] / t
    bend = (bends[label] - flat)[:, None] * outer + np.diag(flat)
    return slope, bend


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """Solution of a positive definite system; ``None`` where it is not (nearly) definite."""
    scale = np.trace(matrix) / len(matrix)
    if not (np.isfinite(matrix).all() and scale > 0):
        return None
    for ridge in (0.0, 1e-12):
        try:
            factor = linalg.cho_factor(
                matrix + ridge * scale * np.eye(len(matrix)), check_finite=False
            )
        except linalg.LinAlgError:
            continue
        return linalg.cho_solve(factor, right, check_finite=False)
    return None


def _to_first(x: np.ndarray, step: np.ndarray, crossing: np.ndarray) -> np.ndarray:
    """``x`` moved along the step until a first crossing coordinate is zero."""
    at = np.flatnonzero(crossing)
    reach = -x[at] / step[at]
    first = int(np.argmin(reach))
    target = x + reach[first] * step
    target[at[first]] = 0.0
    return target


def _lowers(
    model: Model, working: WorkingUnits, w: np.ndarray, support: np.ndarray, values: np.ndarray,
    gradient: np.ndarray,
) -> bool:  # fmt: skip
    """Give the support these values if that lowers the objective."""
    target = w.copy()
    target[support] = values
    change = target - w
    if not np.isfinite(change).all():
        return False
    moved = model.push(change)
    gain = (gradient + 0.5 * model.pull(moved)) @ change
    if gain + working.penalty(target) - working.penalty(w) > 0:
        return False
    w[:] = target
    model.state += moved
    return True
