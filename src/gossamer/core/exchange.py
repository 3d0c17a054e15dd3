"""What the exchange of units would gain, everything else fitted anew: exact for the quadratic loss.

Around a point that is optimal on its support A the loss is, to second order, a quadratic with
Hessian H. With ``M = H_uA inv(H_AA)`` the units outside see the curvature ``H_uu - M H_Au`` and,
once unit i has left, a gradient and a curvature that are rank-one (block) updates of those: all
``k (p - k)`` exchanges cost one product of X with the columns of the support.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gossamer.core.budget import Budget
from gossamer.core.hessian import Hessian
from gossamer.core.units import Units

if TYPE_CHECKING:
    from gossamer.core.point import Point
    from gossamer.core.problem import Problem

# share of a unit's curvature below which it lies in the span of the support, and of the largest
# curvature below which a unit is constant but for rounding
_DEPENDENT, _DEAD = 1e-10, 1e-14
# curvature whose inverse can still be squared
_LEAST = 1e-100


@dataclass(frozen=True, eq=False)
class Exchanges:
    """Changes of the objective under the quadratic model, with all coefficients fitted anew.

    chosen : (k,) the units in use.
    entry : (n_units,) decrease when a unit enters, zero for those in use.
    leaving : (k,) increase when a unit in use leaves.
    swap : (n_units, k) decrease when a unit enters in the place of one in use.
    """

    chosen: np.ndarray
    entry: np.ndarray
    leaving: np.ndarray
    swap: np.ndarray

    def best(self, places: int, price: np.ndarray | float = 0.0) -> float:
        """The largest decrease by one entry (with ``places`` left), departure or swap, when each
        unit costs its ``price``."""
        price = np.broadcast_to(price, self.entry.shape)
        mine = price[self.chosen]
        found = [0.0, (mine - self.leaving).max(initial=0.0)]
        if places > 0:
            found.append((self.entry - price).max(initial=0.0))
        found.append((self.swap - price[:, None] + mine).max(initial=0.0))
        return float(max(found))


def exchanges_at(problem: Problem, point: Point) -> Exchanges:
    """Those of a problem with a budget, at a point that is optimal on its support."""
    penalty = problem.penalty
    assert isinstance(penalty, Budget)
    units = penalty.units(problem.shape)
    chosen = np.flatnonzero(units.norms(point.w))
    hessian = Hessian.at(problem, point, penalty.ridge)
    gradient = (point.gradient + penalty.ridge * point.w).ravel()
    columns = hessian.columns(units.positions(chosen)[0])
    blocks = hessian.blocks(units)
    return exchanges(units, chosen, point.w.ravel(), gradient, columns, blocks, penalty.nonnegative)


def exchanges(
    units: Units, chosen: np.ndarray, w: np.ndarray, gradient: np.ndarray,
    columns: np.ndarray, blocks: np.ndarray, nonnegative: bool = False,
) -> Exchanges:  # fmt: skip
    """All exchanges at a point that is optimal on the units ``chosen``.

    Parameters
    ----------
    w, gradient : (size,) coefficients, and the gradient of the smooth part of the objective
    columns : (size, a) of the Hessian, those of the positions of ``chosen``, unit after unit
    blocks : (size,) diagonal of the Hessian where units are single, else (n_units, m, m)
        Hessians of the units, padded on the diagonal
    """
    at, starts = units.positions(chosen)
    inverse = _inverse(columns[at])
    outside = columns @ inverse
    if units.are_single:
        return _of_single(chosen, w[at], gradient, columns, blocks, inverse, outside, nonnegative)
    slots, real = units.slots
    pull = np.where(real, gradient[slots], 0.0)
    m_of = np.where(real[:, :, None], outside[slots], 0.0)
    c_of = np.where(real[:, :, None], columns[slots], 0.0)
    rest = blocks - m_of @ c_of.transpose(0, 2, 1)
    entry = _block_gains(pull, rest, blocks, nonnegative)
    swap, leaving = np.empty((units.count, len(chosen))), np.empty(len(chosen))
    for i in range(len(chosen)):
        mine = slice(starts[i], starts[i + 1])
        stiff = _inverse(inverse[mine, mine])
        leaving[i] = 0.5 * w[at[mine]] @ stiff @ w[at[mine]]
        m_i = m_of[:, :, mine]
        bent = rest + m_i @ stiff @ m_i.transpose(0, 2, 1)
        gains = _block_gains(pull - m_i @ (stiff @ w[at[mine]]), bent, blocks, nonnegative)
        swap[:, i] = gains - leaving[i]
    return _without_chosen(chosen, entry, leaving, swap)


def _of_single(
    chosen: np.ndarray, w: np.ndarray, gradient: np.ndarray, columns: np.ndarray,
    diagonal: np.ndarray, inverse: np.ndarray, outside: np.ndarray, nonnegative: bool,
) -> Exchanges:  # fmt: skip
    stiff = 1 / np.diag(inverse) if len(chosen) else np.empty(0)
    rest = diagonal - np.einsum("ja,ja->j", outside, columns)
    pull = np.minimum(gradient, 0.0) if nonnegative else gradient
    entry = _gains(pull, rest, diagonal)
    leaving = 0.5 * stiff * w * w
    pulls = gradient[:, None] - outside * (stiff * w)
    pulls = np.minimum(pulls, 0.0) if nonnegative else pulls
    bent = np.maximum(rest, 0.0)[:, None] + outside * outside * stiff
    swap = _gains(pulls, bent, diagonal[:, None]) - leaving
    return _without_chosen(chosen, entry, leaving, swap)


def _without_chosen(
    chosen: np.ndarray, entry: np.ndarray, leaving: np.ndarray, swap: np.ndarray
) -> Exchanges:
    entry[chosen] = 0.0
    swap[chosen] = -np.inf
    return Exchanges(chosen, entry, leaving, swap)


def _gains(pull: np.ndarray, curvature: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Half the square of the pull over the curvature, zero in the span of the support."""
    independent = curvature > np.maximum(_DEPENDENT * whole, _DEAD * whole.max(initial=0.0))
    return np.where(independent, 0.5 * pull * pull / np.where(independent, curvature, 1.0), 0.0)


def _block_gains(
    pull: np.ndarray, curvature: np.ndarray, whole: np.ndarray, nonnegative: bool
) -> np.ndarray:
    if nonnegative:  # what a step with the curvature's largest value gains: a lower bound
        pull = np.minimum(pull, 0.0)
    scale = np.einsum("umm->u", whole)[:, None]
    floor = _DEPENDENT * scale + _LEAST
    padded = curvature + floor[:, :, None] * np.eye(whole.shape[1])
    gains = 0.5 * np.einsum("um,um->u", pull, np.linalg.solve(padded, pull[:, :, None])[:, :, 0])
    return np.where(scale[:, 0] > _DEAD * scale.max(initial=0.0), gains, 0.0)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a positive semidefinite matrix, of a floored one where it is singular."""
    if len(matrix) == 0:
        return matrix
    floor = 1e-13 * np.trace(matrix) + _LEAST
    return np.asarray(np.linalg.inv(matrix + floor * np.eye(len(matrix))))
