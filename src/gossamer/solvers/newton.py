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

    On the support the objective is smooth. Units (and coordinates with a kink of their own) that
    would pass through zero are set to zero and leave the support; where that does not lower the
    objective, the step ends at the first of them, or earlier. Every step lowers the objective, so
    that the chain is finite and cannot cycle.
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
        reach = _reach(working, support, x, step)
        first = float(reach.min(initial=np.inf))
        lengths = (1.0, first, 0.25, 0.05) if first < 1 else (1.0, 0.25, 0.05)
        for length in lengths:
            target = np.where(reach <= length, 0.0, x + length * step)
            if _lowers(model, working, w, support, target, gradient):
                break
        else:
            return moved
        moved = True
        is_full = length == 1.0 and first > 1.0
        if is_full and (working.is_single or np.abs(step).max() <= 1e-10 * np.abs(x).max()):
            return moved
    return moved


def _reach(
    working: WorkingUnits, support: np.ndarray, x: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Share of the step after which each coordinate's unit, or the coordinate itself where it has
    a kink of its own, passes through zero; infinite where it does not."""
    label, count = working.units.labels[support], working.units.count
    squares = np.bincount(label, x * x, count)
    towards = -np.bincount(label, x * step, count)
    towards[working.weights == 0] = 0.0
    unit = np.divide(squares, towards, out=np.full(count, np.inf), where=towards > 0)[label]
    kinked = working.has_kink[support] & (x * step < 0)
    own = np.divide(-x, step, out=np.full(len(x), np.inf), where=kinked)
    return np.minimum(unit, own)


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
