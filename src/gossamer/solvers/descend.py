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
_UNSETTLED = 20
# share of the cost of a Newton move that cycles may take before the first one
_PATIENCE = 0.3
# a cost that does not matter
_LITTLE = 4e5


def descend(
    model: Model, working: WorkingUnits, w: np.ndarray, tol: float, max_cycles: int, newton: bool,
    finish: bool = False,
) -> int:  # fmt: skip
    """Descend from ``w`` (in place) until a cycle gains less than ``tol``; the cycles done.

    Between cycles of coordinate descent it jumps: to the stationary point of the support once
    that has settled (``newton``, where the model has its Gram matrix), else along the
    extrapolation of the last iterates. A jump is taken only if it lowers the objective, so that
    descent is monotone. With ``finish`` the last one goes to the stationary point, if that costs
    no more than what went before.
    """
    newton = newton and model.gram_of is not None
    finish = finish and newton
    run = _compiled_cycles(model, working, tol)
    trail = np.empty((_CYCLES + 1, working.size))
    done = jumps = 0
    gained, spent, patience, total = 0.0, 0.0, _PATIENCE, _LITTLE
    while done < max_cycles:
        trail[0] = w
        cycles, largest, gain = run(w, trail[1:])
        done += cycles
        cycle_cost, newton_cost = model.cost(int(np.count_nonzero(w)))
        spent, total = spent + cycles * cycle_cost, total + cycles * cycle_cost
        if largest <= tol:
            if finish and newton_cost <= total:
                newton_move(model, working, w)
            return done
        gained += gain
        if cycles < _CYCLES:
            continue  # those in the support have settled: look at all again
        jumps += 1
        settled = np.array_equal(np.sign(trail[0]), np.sign(w)) or jumps % _UNSETTLED == 0
        if newton and settled and spent >= patience * newton_cost:
            gain = newton_move(model, working, w)
            # one that gains less than the cycles did for the same cost makes the next wait longer
            pays = gain * spent > gained * newton_cost
            patience = _PATIENCE if pays else 2 * patience
            gained = spent = 0.0
            if gain > 0:
                continue
        _jump(model, working, w, extrapolated(trail))
    return done


def _compiled_cycles(
    model: Model, working: WorkingUnits, tol: float
) -> Callable[[np.ndarray, np.ndarray], tuple[int, float, float]]:
    """Cycles that update the coefficients in place, until one gains less than ``tol``; the
    coefficients after each go into the rows of the second argument."""
    form = working.form
    single = working.is_single
    kernel = bind(
        element_cycles if single else block_cycles, prox=form.prox, dot=model.dot, axpy=model.axpy
    )
    start = (model.columns, model.state)
    place = (model.feature, model.output)
    rest: tuple
    if single:
        rest = (model.curvature, working.weights, working.lower, form.par, tol)
    else:
        rest = (
            working.starts, model.curvature, working.weights, working.inner, working.lower,
            form.par, tol, np.empty(working.size),
        )  # fmt: skip

    def run(w: np.ndarray, trail: np.ndarray) -> tuple[int, float, float]:
        cycles, largest, gain = kernel(*start, w, *place, *rest, trail)
        return cycles, largest, gain

    return run


def extrapolated(trail: np.ndarray) -> np.ndarray:
    """Anderson extrapolation of successive iterates.

    The affine combination of the iterates whose combined step is smallest; Bertrand and Massias
    (2021), Anderson acceleration of coordinate descent.
    """
    steps = np.diff(trail, axis=0)
    gram = steps @ steps.T
    gram += 1e-14 * np.trace(gram) * np.eye(len(gram))
    try:
        c = np.linalg.solve(gram, np.ones(len(gram)))
    except np.linalg.LinAlgError:
        return trail[-1]
    total = c.sum()
    if not np.isfinite(total) or abs(total) < 1e-300:
        return trail[-1]
    return (c / total) @ trail[1:]


def _jump(model: Model, working: WorkingUnits, w: np.ndarray, target: np.ndarray) -> bool:
    """Move ``w`` to ``target`` if that lowers the objective."""
    target = np.maximum(target, working.lower)
    change = target - w
    if not np.isfinite(change).all() or not change.any():
        return False
    moved = model.push(change)
    # exact for a quadratic: the gradient half-way, along the change
    gain = model.pull(model.state + 0.5 * moved) @ change
    if gain + working.penalty(target) - working.penalty(w) >= 0:
        return False
    w[:] = target
    model.state += moved
    return True
