"""Variable projection: a smooth function of the gates alone, the ridge solved in closed form.

    f(v) = 1/2 |v|^2 + F(tau(v)),      F as in :mod:`gossamer.solvers.reduced`

Its gradient is exact, ``v_u - tau'_u |c_u|^2 / 2``, and so is its second derivative. Quasi-Newton
steps find the gates that are not zero, Newton's end the work at rounding.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack
from scipy.optimize import minimize, nnls

from gossamer.solvers.gates import Gates
from gossamer.solvers.reduced import Store

# steps that L-BFGS remembers, and takes before Newton's
_MEMORY, _STEPS = 20, 5
_NEWTON_STEPS = 50
# of gates beside the largest: below, a gate is closed, and the certificate opens it again
CLOSED = 1e-5
_HALVINGS = 40
_ROUNDING = 1e-14
# a relative gradient from which on no progress is rounding
_NEARLY = 1e-9


def evaluate(store: Store, gates: Gates, v: np.ndarray) -> tuple[float, np.ndarray]:
    """f and its gradient."""
    tau, slope, _ = gates.variances(v)
    reduced = store(tau)
    return 0.5 * float(v @ v) + reduced.value, v - 0.5 * slope * reduced.squares


def open_gates(store: Store, gates: Gates, v: np.ndarray) -> np.ndarray:
    """Gates after a few quasi-Newton steps."""
    found = minimize(
        lambda x: evaluate(store, gates, x), v, jac=True, method="L-BFGS-B",
        options={"maxcor": _MEMORY, "maxiter": _STEPS, "ftol": 0.0, "gtol": 0.0, "maxls": 30},
    )  # fmt: skip
    return np.abs(found.x)


def polish(store: Store, gates: Gates, v: np.ndarray) -> np.ndarray:
    """Gates at a stationary point nearby, but for rounding; closed ones are zero."""
    return _polish_squares(store, gates, v) if gates.depth == 2 else _polish_gates(store, gates, v)


def _polish_squares(store: Store, gates: Gates, v: np.ndarray) -> np.ndarray:
    """Depth two: convex in the squares ``x = v^2 >= 0``. Steps to the minimum of the quadratic
    model over nonnegative squares."""
    x, best = v * v, np.inf
    tau, slope, bend = gates.of_squares(x)
    reduced = store(tau)
    for _ in range(_NEWTON_STEPS):
        value = 0.5 * float(x.sum()) + reduced.value
        gradient = 0.5 - 0.5 * slope * reduced.squares
        left = np.abs(np.where(x > 0, gradient, np.minimum(gradient, 0.0))).max(initial=0.0)
        if left <= _ROUNDING or (left >= 0.5 * best and left <= _NEARLY):
            break
        best = left
        hessian = slope[:, None] * reduced.curvature() * slope
        hessian.flat[:: len(x) + 1] += -0.5 * bend * reduced.squares
        step = _nonnegative_minimum(hessian, gradient - hessian @ x) - x
        length, gain, start = 1.0, float(gradient @ step), x
        for _ in range(_HALVINGS):
            x = np.maximum(start + length * step, 0.0)
            tau, slope, bend = gates.of_squares(x)
            reduced = store(tau)
            reached = 0.5 * float(x.sum()) + reduced.value
            if reached <= value + 1e-4 * length * gain + 10 * _ROUNDING * abs(value):
                break
            length /= 2
    return np.sqrt(x)


def _nonnegative_minimum(hessian: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """argmin over ``y >= 0`` of ``1/2 y' H y + linear' y``."""
    scale = np.sqrt(np.maximum(np.diagonal(hessian), 1e-300))
    matrix = hessian / np.outer(scale, scale)
    ridge = 1e-14
    while True:
        matrix.flat[:: len(scale) + 1] = 1.0 + ridge
        factor, failed = lapack.dpotrf(matrix, lower=1)
        if not failed:
            break
        ridge *= 10
    right = -lapack.dtrtrs(factor, linear / scale, lower=1)[0]
    try:
        return nnls(np.ascontiguousarray(factor.T), right, maxiter=30 * len(scale))[0] / scale
    except RuntimeError as error:
        raise np.linalg.LinAlgError("nonnegative least squares did not end") from error


def _polish_gates(store: Store, gates: Gates, v: np.ndarray) -> np.ndarray:
    """Deeper: Newton's steps from positive gates.

    At a gate that belongs at zero the second derivative is positive, too, so that it arrives
    there as fast as the others at their values.
    """
    damping, value = 0.0, np.inf
    for _ in range(_NEWTON_STEPS):
        tau, slope, bend = gates.variances(v)
        reduced = store(tau)
        value = 0.5 * float(v @ v) + reduced.value
        gradient = v - 0.5 * slope * reduced.squares
        hessian = slope[:, None] * reduced.curvature() * slope
        hessian.flat[:: len(v) + 1] += 1.0 - 0.5 * bend * reduced.squares
        if np.abs(gradient).max(initial=0.0) <= _ROUNDING * np.abs(v).max(initial=0.0):
            break
        step, damping = _damped(hessian, gradient, damping)
        for _ in range(60):
            after, slopes = evaluate(store, gates, v + step)
            if after < value - 1e-4 * abs(gradient @ step):
                damping /= 10
                break
            if abs(after - value) <= 1e2 * _ROUNDING * abs(value) and (
                np.linalg.norm(slopes) < np.linalg.norm(gradient)
            ):
                break
            damping = max(10 * damping, 1e-3)
            step, damping = _damped(hessian, gradient, damping)
        else:
            break
        if damping > 1e12:
            break
        v = np.abs(v + step)
    return np.where(v > CLOSED * v.max(initial=0.0), v, 0.0)


def _damped(hessian: np.ndarray, gradient: np.ndarray, damping: float) -> tuple[np.ndarray, float]:
    """Newton's step, with as much added to the diagonal as makes it positive definite."""
    while True:
        matrix = hessian.copy(order="F")
        matrix.flat[:: len(gradient) + 1] += damping
        factor, failed = lapack.dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
        if not failed:
            return -lapack.dpotrs(factor, gradient, lower=1)[0], damping
        damping = max(10 * damping, 1e-3)
