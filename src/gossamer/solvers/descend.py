"""Minimise a quadratic model plus the penalty on a working set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gossamer.kernels import bind
from gossamer.kernels.descent import block_cycles, element_cycles
from gossamer.solvers.model import Model
from gossamer.solvers.newton import newton_move
from gossamer.solvers.working_units import WorkingUnits

# cycles between two attempts at a jump
_CYCLES = 5
# jumps after which the support's stationary point is tried even though the support still changes
_PATIENCE = 20


def descend(
    model: Model, working: WorkingUnits, w: np.ndarray, tol: float, max_cycles: int, newton: bool
) -> int:
    """Descend from ``w`` (in place) until a cycle gains less than ``tol``; the cycles done.

    Between cycles of coordinate descent it jumps: to the stationary point of the support once
    that has settled (``newton``, where the model has its Gram matrix), else along the
    extrapolation of the last iterates. A jump is taken only if it lowers the objective, so that
    descent is monotone.
    """
    cycle = _compiled_cycle(model, working)
    done = jumps = next_newton = 0
    pause = 1
    while done < max_cycles:
        trail = [w.copy()]
        for _ in range(_CYCLES):
            largest = cycle(w, tol)
            trail.append(w.copy())
            done += 1
            if largest <= tol:
                return done
        jumps += 1
        settled = np.array_equal(np.sign(trail[0]), np.sign(trail[-1])) or jumps % _PATIENCE == 0
        if newton and settled and jumps >= next_newton and model.gram is not None:
            # each one that does not end the descent makes the next wait twice as long
            pause = 2 * pause
            next_newton = jumps + pause
            if newton_move(model, working, w):
                continue
        _jump(model, working, w, extrapolated(trail))
    return done


def _compiled_cycle(model: Model, working: WorkingUnits) -> Callable[[np.ndarray, float], float]:
    """One cycle: updates the coefficients in place and returns its largest gain."""
    form = working.form
    single = working.is_single
    kernel = bind(
        element_cycles if single else block_cycles, prox=form.prox, dot=model.dot, axpy=model.axpy
    )
    place = (model.feature, model.output)
    trial = np.empty(working.size)

    def cycle(w: np.ndarray, tol: float) -> float:
        start = (model.columns, model.state, w, *place)
        if single:
            last = kernel(*start, model.curvature, working.weights, working.lower, form.par, tol, 1)
        else:
            last = kernel(
                *start, working.starts, model.curvature, working.weights, working.inner,
                working.lower, form.par, tol, 1, trial,
            )  # fmt: skip
        return float(last[1])

    return cycle


def extrapolated(trail: list[np.ndarray]) -> np.ndarray:
    """Anderson extrapolation of successive iterates.

    The affine combination of the iterates whose combined step is smallest; Bertrand and Massias
    (2021), Anderson acceleration of coordinate descent.
    """
    steps = np.diff(np.array(trail), axis=0)
    gram = steps @ steps.T
    gram += 1e-14 * np.trace(gram) * np.eye(len(gram))
    try:
        c = np.linalg.solve(gram, np.ones(len(gram)))
    except np.linalg.LinAlgError:
        return trail[-1]
    total = c.sum()
    if not np.isfinite(total) or abs(total) < 1e-300:
        return trail[-1]
    return (c / total) @ np.array(trail[1:])


def _jump(model: Model, working: WorkingUnits, w: np.ndarray, target: np.ndarray) -> bool:
    """Move ``w`` to ``target`` if that lowers the objective."""
    target = np.maximum(target, working.lower)
    change = target - w
    if not np.isfinite(change).all() or not change.any():
        return False
    moved = model.push(change)
    # exact for a quadratic: the mean of the gradients at both ends, along the change
    gain = (model.gradient() + 0.5 * model.pull(moved)) @ change
    if gain + working.penalty(target) - working.penalty(w) >= 0:
        return False
    w[:] = target
    model.state += moved
    return True
