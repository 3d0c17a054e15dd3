"""A dual point: the loss gradient, made feasible for what the penalty leaves free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import lsq_linear

if TYPE_CHECKING:
    from gossamer.core.problem import Problem


@dataclass(frozen=True, eq=False)
class Dual:
    """The dual is ``- sum_i s_i [loss*(u_i) - o_i u_i] - Omega*(-X' S u)`` over u whose weighted
    sum vanishes where there is an intercept (Ndiaye, Fercoq, Gramfort and Salmon 2017).

    gradient : (p, K) ``X' S u``.
    conjugate : the sum of the conjugates at a multiple of u.
    """

    gradient: np.ndarray
    conjugate: Callable[[float], float]


def conjugate_sum(problem: Problem, u: np.ndarray, scale: float) -> float:
    """``sum_i s_i [loss*(scale u_i) - o_i scale u_i]``."""
    s = problem.sample_weight
    conjugate = problem.loss.conjugate(scale * u, problem.y)
    if problem.offset is not None:
        conjugate = conjugate - (scale * u * problem.offset).sum(axis=1)
    return float(s @ np.where(s > 0, conjugate, 0.0))


def feasible_for_free(problem: Problem, u: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The nearest dual point for which unpenalised columns have the gradient they must.

    Zero, or nonnegative where the coefficient cannot be negative.
    """
    root = np.sqrt(problem.sample_weight)[:, None]
    form = problem.penalty.unit_form(free.shape)
    signed = form is not None and form.nonnegative
    feasible = u.copy()
    for k in range(u.shape[1]):
        block = problem.design.columns(np.flatnonzero(free[:, k]))
        block = block.toarray() if hasattr(block, "toarray") else block
        top = np.full(block.shape[1], 0.0 if signed else np.inf)
        if problem.fit_intercept:
            block = np.column_stack([block, np.ones(len(block))])
            top = np.append(top, np.inf)
        left, right = root * block, root[:, 0] * u[:, k]
        if signed:
            fitted = lsq_linear(left, right, (-np.inf, top), method="bvls").x
        else:
            fitted = np.linalg.lstsq(left, right, rcond=None)[0]
        feasible[:, k] -= block @ fitted
    return feasible
