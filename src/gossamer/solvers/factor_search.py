"""Any smooth loss: quasi-Newton steps on the factors themselves, Newton's on the support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from gossamer.core.certificate import Evaluation
from gossamer.core.point import Point
from gossamer.solvers.varpro import CLOSED
from gossamer.solvers.working_gates import WorkingGates

# steps that L-BFGS remembers, and takes at most
_MEMORY, _STEPS = 20, 300


@dataclass(eq=False)
class FactorSearch(WorkingGates):
    """``min loss(X w + b) + 1/2 |u|^2 + 1/2 |v|^2`` with ``w_u = sqrt(tau_u(v_u)) u_u``."""

    def improve(self, evaluation: Evaluation) -> Point:
        chosen, point = self.choose(evaluation), evaluation.point
        is_new = len(chosen) > len(evaluation.certificate.support)
        if is_new and self.problem.penalty.convex:
            point = self._by_factors(evaluation, chosen)
            chosen = np.flatnonzero(self.form.units.norms(point.w))
        return self.polished(point, chosen)

    def _by_factors(self, evaluation: Evaluation, chosen: np.ndarray) -> Point:
        problem, point, columns = self.problem, evaluation.point, self.columns
        features = np.flatnonzero(np.isin(self.labels, chosen).any(axis=1))
        columns.keep(features)
        columns.extend(features)
        slots = columns.slot_of[features]
        here = np.isin(self.labels[features], chosen)
        unit = np.searchsorted(chosen, self.labels[features][here])
        gates, size = self.gates.take(chosen), int(here.sum())
        s = problem.sample_weight[:, None]
        fixed = 0.0 if columns.has_intercept else problem.null_intercept
        fixed = fixed if problem.offset is None else fixed + problem.offset

        def unfold(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return x[:size], x[size : size + len(chosen)], x[size + len(chosen) :]

        def weights(u: np.ndarray, root: np.ndarray, b: np.ndarray) -> np.ndarray:
            w = np.zeros((columns.count, problem.shape[1]))
            w[slots] = _filled(here, root[unit] * u)
            if columns.has_intercept:
                w[0] = b
            return w

        def value(x: np.ndarray) -> tuple[float, np.ndarray]:
            u, v, b = unfold(x)
            tau, slope, _ = gates.variances(v)
            root = np.sqrt(tau)
            z = columns.times(weights(u, root, b)) + fixed
            pulls = columns.transpose_times(s * problem.loss.gradient(z, problem.y))
            pull = pulls[slots][here]
            turn = np.divide(slope, 2 * root, out=np.zeros_like(root), where=root > 0)
            along_v = v + turn * np.bincount(unit, pull * u, len(chosen))
            along_b = pulls[0] if columns.has_intercept else np.array([])
            total = problem.mean_loss(z) + 0.5 * float(u @ u + v @ v)
            return total, np.concatenate([u + root[unit] * pull, along_v, along_b])

        v = self.start(evaluation, chosen)
        w, down = point.w[features][here], -point.gradient[features][here]
        # a unit at zero starts along its own pull
        length = np.sqrt(np.bincount(unit, down * down, len(chosen)))
        seeds = down / np.maximum(length, 1e-300)[unit] * v[unit]
        fresh = self.form.units.norms(point.w)[chosen] == 0
        u = np.where(fresh[unit], seeds, w / np.sqrt(gates.variances(v)[0])[unit])
        b = point.b if columns.has_intercept else np.array([])
        with np.errstate(over="ignore", invalid="ignore"):
            found = minimize(
                value, np.concatenate([u, v, b]), jac=True, method="L-BFGS-B",
                options={"maxcor": _MEMORY, "maxiter": _STEPS, "ftol": 1e-9, "gtol": 0.0},
            )  # fmt: skip
        u, v, _ = unfold(found.x)
        v = np.where(np.abs(v) > CLOSED * np.abs(v).max(initial=0.0), v, 0.0)
        w = np.zeros(problem.shape)
        w[features] = _filled(here, np.sqrt(gates.variances(v)[0])[unit] * u)
        return self.point(w, point.b)


def _filled(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    array = np.zeros(mask.shape)
    array[mask] = values
    return array
