"""The problem on a working set: quadratic models of the loss, minimised one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.solvers.descend import descend
from gossamer.solvers.model import (
    Model,
    coupled_gram_model,
    gram_model,
    pays_coupled_gram,
    pays_gram,
    pays_joint_gram,
    residual_model,
)
from gossamer.solvers.working_columns import WorkingColumns
from gossamer.solvers.working_units import WorkingUnits

_MAX_MODELS = 25
_MAX_CYCLES = 2000
_ROUNDING = 16 * np.finfo(float).eps


@dataclass(frozen=True, eq=False)
class Block:
    """The working columns of a problem and the units made of them."""

    problem: Problem
    columns: WorkingColumns
    working: WorkingUnits

    def times(self, local: np.ndarray) -> np.ndarray:
        """(n, K) change of the prediction for a change of the local coefficients."""
        w = np.zeros((self.columns.count, self.problem.shape[1]))
        w[self.working.feature, self.working.output] = local
        moved = self.columns.times(w)
        # without weight a sample is not there: its prediction might overflow, and stays
        moved[self.problem.sample_weight == 0] = 0.0
        return moved

    def quadratic_model(self, point: Point) -> Model:
        """The quadratic loss itself."""
        columns, s = self.columns, self.problem.sample_weight[:, None]
        if pays_gram(columns, kept=True):
            gradient = point.gradient[columns.features]
            return gram_model(columns.quadratic_gram(), gradient, self.working)
        h = np.broadcast_to(s, point.z.shape)
        return residual_model(columns, self.working, s * point.residual, h, None, s[:, 0])

    def joint_model(self, z: np.ndarray, u: np.ndarray, h: np.ndarray) -> Model | None:
        """The same for a loss whose samples interact, exact, or ``None``."""
        columns, problem = self.columns, self.problem
        if not pays_joint_gram(columns):
            return None
        crossed = problem.loss.interaction(z, problem.y, columns.dense())
        if crossed is None:
            return None
        gram = columns.gram(h[:, 0]) - crossed.T @ crossed
        return gram_model(gram, columns.transpose_times(u), self.working)

    def model(self, u: np.ndarray, h: np.ndarray, chance: np.ndarray | None) -> Model:
        """The model with gradient ``u`` and curvature ``h`` (n, K) of the weighted samples.

        ``chance`` (n, K) are the class probabilities of a loss whose outputs interact: a sample's
        curvature is then ``s (diag(p) - p p')``, and ``h`` is added to its diagonal.
        """
        columns, working, s = self.columns, self.working, self.problem.sample_weight
        if chance is not None and pays_coupled_gram(working):
            return coupled_gram_model(columns, working, columns.transpose_times(u), h, chance, s)
        # outputs of one curvature share a Gram matrix
        if chance is None and (h == h[:, :1]).all() and pays_gram(columns, kept=False):
            return gram_model(columns.gram(h[:, 0]), columns.transpose_times(u), working)
        return residual_model(columns, working, u, h, chance, s)


def minimise(block: Block, point: Point, target: float, newton: bool, finish: bool) -> np.ndarray:
    """Local coefficients that minimise the problem on the block, from those of ``point``.

    Ends when a cycle gains less than ``target``; with ``finish`` at rounding, if that is cheap.
    """
    if not block.problem.loss.is_quadratic:
        return _minimise_models(block, point, target, newton, finish)
    local = block.working.gather(point.w, point.b)
    model = block.quadratic_model(point)
    _clear_dead(model.curvature, block.working, local)
    descend(model, block.working, local, target, _MAX_CYCLES, newton, finish)
    return local


def _minimise_models(
    block: Block, point: Point, target: float, newton: bool, finish: bool
) -> np.ndarray:
    """Proximal Newton: minimise a model of the loss, search along the line, repeat."""
    problem, working = block.problem, block.working
    loss, y, s = problem.loss, problem.y, problem.sample_weight[:, None]
    z = np.where(s > 0, point.z, 0.0)
    local = working.gather(point.w, point.b)
    objective = problem.mean_loss(z) + working.penalty(local)
    # the first models are far from the loss: solving them exactly would be lost work
    damping, inner = 0.0, max(target, 1e-4 * abs(objective))
    for _ in range(_MAX_MODELS):
        h = loss.curvature(z, y)
        # keeps the model strictly convex where the loss is flat, and damps it when asked
        # (no curvature at all says nothing of the scale: the loss's bound then does)
        floor = 1e-3 * loss.smoothness if damping and loss.smoothness else 1e-10
        extra = (damping + 1e-6) * max(float(h.mean()), floor)
        h = s * (extra + (0.0 if loss.coupled else h))
        h = np.broadcast_to(h, z.shape)
        chance = loss.mean(z) if loss.coupled else None
        u = s * loss.gradient(z, y)
        model = block.joint_model(z, u, h) if loss.joint else None
        model = block.model(u, h, chance) if model is None else model
        _clear_dead(model.curvature, working, local)
        target_point = local.copy()
        gradient = model.gradient()
        last = finish and inner <= target
        descend(model, working, target_point, inner, _MAX_CYCLES, newton, last)
        change = target_point - local
        gain = float(gradient @ change) + working.penalty(target_point) - working.penalty(local)
        is_tiny = abs(gain) <= _ROUNDING * abs(objective)
        if (is_tiny or -gain <= target) and inner > target:
            inner = target
            continue
        if is_tiny:
            # too small for a line search to see: the model's word is taken
            local = target_point
            break
        if -gain <= target:
            break
        inner = max(target, min(inner, -1e-4 * gain))
        step, value = _line_search(block, z, local, change, objective, gain)
        if step == 0.0:
            damping = max(10 * damping, 1.0)
            if damping > 1e8:
                break
            continue
        local, objective = local + step * change, value
        z = z + block.times(step * change)
        damping /= 10 if step == 1.0 else 1
    return local


def _line_search(
    block: Block, z: np.ndarray, local: np.ndarray, change: np.ndarray,
    objective: float, gain: float,
) -> tuple[float, float]:  # fmt: skip
    """The longest of a few steps with a sufficient decrease, zero when there is none."""
    moved = block.times(change)
    step = 1.0
    for _ in range(6):
        value = block.problem.mean_loss(z + step * moved)
        value += block.working.penalty(local + step * change)
        if value <= objective + 1e-4 * step * gain:
            return step, value
        step /= 2
    return 0.0, objective


def _clear_dead(curvature: np.ndarray, working: WorkingUnits, local: np.ndarray) -> None:
    """A column of zeros moves no prediction: its penalised coefficient is zero."""
    dead = working.units.spread((curvature == 0) & (working.weights > 0))
    local[dead] = 0.0
