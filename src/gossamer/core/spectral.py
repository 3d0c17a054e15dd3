"""Spectral calculus: a scalar shape on the singular values of a matrix.

A function of the singular values alone has the prox, the conjugate and the subdifferential of the
same function on a vector, turned into the frame of the matrix (Lewis 1995, The convex analysis of
unitarily invariant matrix functions). Coefficients of any shape count as the matrix (first axis,
everything else).
"""

from __future__ import annotations

from math import prod

import numpy as np

from gossamer.core.unit_form import UnitForm
from gossamer.core.units import Units


def as_matrix(w: np.ndarray) -> np.ndarray:
    """The coefficients as (first axis, everything else)."""
    return w.reshape(w.shape[0], prod(w.shape[1:]))


def decompose(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``U, s, V'`` of the coefficients as a matrix; what is zero but for rounding is zero."""
    left, values, right = np.linalg.svd(as_matrix(w), full_matrices=False)
    return left, _cleaned(values, w), right


def singular_values(w: np.ndarray) -> np.ndarray:
    """(min(p, K),) singular values, largest first; NaN where the coefficients are not finite."""
    matrix = as_matrix(w)
    if not np.isfinite(matrix).all():
        return np.full(min(matrix.shape), np.nan)
    return _cleaned(np.linalg.svd(matrix, compute_uv=False), w)


def _cleaned(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    rounding = np.finfo(float).eps * max(as_matrix(w).shape) * values.max(initial=0.0)
    return np.where(values > rounding, values, 0.0)


def units(shape: tuple[int, ...]) -> Units:
    """The singular values of coefficients of ``shape``, each a unit."""
    return Units.singletons(min(shape[0], prod(shape[1:])))


def prox(form: UnitForm, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """Prox of the shape on the singular values: their own prox, in the frame of ``v``."""
    left, values, right = decompose(v)
    kept = form.prox(values, step * form.weights, form.par)
    return ((left * kept) @ right).reshape(v.shape)


def distance(form: UnitForm, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
    """(min(p, K),) singular values of what ``-grad`` is away from the subdifferential at ``w``.

    With ``w = U diag(s) V'`` that is ``U diag(shape'(s)) V' + W``, where W is orthogonal to U and
    V and its singular values are subgradients of the shape at zero (Watson 1992 for L1).
    """
    left, values, right = decompose(w)
    alive = values > 0
    left, values, right = left[:, alive], values[alive], right[alive]
    rest = as_matrix(grad)
    outside = rest - left @ (left.T @ rest)
    outside -= (outside @ right.T) @ right
    pull_left, pulls, pull_right = np.linalg.svd(outside, full_matrices=False)
    left_over = form.dist(np.zeros_like(pulls), pulls, form.par)
    slopes = form.dist(values, np.zeros_like(values), form.par)
    rest = rest - outside + (pull_left * left_over) @ pull_right + (left * slopes) @ right
    return np.linalg.svd(rest, compute_uv=False)
