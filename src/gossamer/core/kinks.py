"""Losses with kinks: which subgradient they are judged by, and how it is made feasible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import lsq_linear

from gossamer.core.unit_form import gradient_of_form

if TYPE_CHECKING:
    from gossamer.core.problem import Problem

# a sample this near to its kink, relative to the largest prediction, lies on it
_NEAR = 1e-6
# rounds of a correction that comes to the ends of slopes
_ROUNDS = 20
# samples on kinks beyond which the least squares would cost more than they are worth
_MOST = 1000


def nearest_subgradient(problem: Problem, w: np.ndarray, z: np.ndarray) -> np.ndarray:
    """(n, K) slopes of the samples that make the coefficients ``w`` as nearly stationary as kinks
    allow: in the intercepts, and in the coefficients that are not zero or not penalised."""
    kink, left, right = _lines(problem)
    size = np.abs(z).max(initial=0.0) + np.abs(kink).max(initial=0.0)
    on_kink = (np.abs(z - kink) <= _NEAR * size) & (problem.sample_weight > 0)[:, None]
    u = np.where(on_kink, (left + right) / 2, np.where(z > kink, right, left))
    form = problem.penalty.unit_form(w.shape)
    # a budget is flat on its support
    alive = (w != 0) & (form is not None or problem.penalty.is_budget)
    if form is None or not form.nonnegative:
        alive |= problem.penalty.free(w.shape)
    slopes = np.zeros(w.shape) if form is None else gradient_of_form(form, w)
    for k in range(w.shape[1]):
        at, features = np.flatnonzero(on_kink[:, k]), np.flatnonzero(alive[:, k])
        if not 0 < len(at) <= _MOST or problem.design.is_operator:
            continue
        block = _weighted_columns(problem, features)
        missing = -np.append(slopes[features, k], np.zeros(int(problem.fit_intercept)))
        missing = missing - block.T @ u[:, k]
        room = (right - left)[at, k] / 2
        u[at, k] += _within(block[at].T, missing, room)
    return u


def _within(matrix: np.ndarray, right: np.ndarray, room: np.ndarray) -> np.ndarray:
    """The smallest x with ``matrix x`` nearest to ``right``, each entry between -room and room."""
    if not len(right):
        return np.zeros(len(room))
    x = np.linalg.lstsq(matrix, right, rcond=None)[0]
    if (np.abs(x) <= room).all():
        return x
    return np.clip(lsq_linear(matrix, right, (-room, room), method="bvls").x, -room, room)


def feasible_on_kinks(problem: Problem, u: np.ndarray, free: np.ndarray) -> np.ndarray:
    """A dual point near ``u`` whose gradient is zero in the intercepts and in ``free`` coefficients
    (nonnegative, where these cannot be negative), changed only where slopes are between the lines.

    NaN for an output where there is none.
    """
    _, left, right = _lines(problem)
    u = np.clip(u, left, right)
    form = problem.penalty.unit_form(free.shape)
    signed = form is not None and form.nonnegative
    root = np.sqrt(problem.sample_weight)
    for k in range(u.shape[1]):
        block = _weighted_columns(problem, np.flatnonzero(free[:, k]))
        # what the rounding of a sum leaves
        least = 1e-15 * np.abs(block).T @ np.abs(right - left)[:, k]
        for _ in range(_ROUNDS):
            slope = block.T @ u[:, k]
            broken = np.abs(slope) > least
            if signed:
                broken &= (slope < 0) | (np.arange(len(slope)) >= free[:, k].sum())
            if not broken.any():
                break
            inside = np.flatnonzero((u[:, k] > left[:, k]) & (u[:, k] < right[:, k]) & (root > 0))
            matrix = (block[inside][:, broken] / root[inside, None]).T
            change = np.linalg.lstsq(matrix, -slope[broken], rcond=None)[0] / root[inside]
            u[inside, k] = np.clip(u[inside, k] + change, left[inside, k], right[inside, k])
        else:
            u[:, k] = np.nan
    return u


def _lines(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lines = problem.loss.lines(problem.y)
    assert lines is not None
    return lines


def _weighted_columns(problem: Problem, features: np.ndarray) -> np.ndarray:
    """(n, m) the columns times the sample weights, and those themselves for an intercept."""
    block = problem.design.columns(features)
    block = block.toarray() if hasattr(block, "toarray") else block
    if problem.fit_intercept:
        block = np.column_stack([block, np.ones(len(block))])
    return np.asarray(block * problem.sample_weight[:, None])
