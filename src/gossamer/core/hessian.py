"""Second derivatives of a mean loss in the coefficients: columns and diagonal blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gossamer.core.design import Design
from gossamer.core.units import Units

if TYPE_CHECKING:
    from gossamer.core.point import Point
    from gossamer.core.problem import Problem


@dataclass(frozen=True, eq=False)
class Hessian:
    """Second derivatives of a mean loss in the coefficients, the intercept fitted along.

    design : columns (n, p).
    h : (n, K) curvature of every sample's loss times its weight.
    centred : the intercept does not enter, or the columns' weighted means are zero.
    ridge : added to the diagonal.
    """

    design: Design
    h: np.ndarray
    centred: bool
    ridge: float = 0.0

    @classmethod
    def at(cls, problem: Problem, point: Point, ridge: float) -> Hessian:
        """Of a problem's loss at a point; where outputs interact, its diagonal."""
        s = problem.sample_weight[:, None]
        if problem.loss.is_quadratic:
            h = np.broadcast_to(s, (len(s), problem.shape[1]))
        else:
            h = np.where(s > 0, problem.loss.curvature(point.z, problem.y) * s, 0.0)
        centred = not problem.fit_intercept or problem.loss.is_quadratic
        return cls(problem.design, h, centred, ridge)

    def columns(self, at: np.ndarray) -> np.ndarray:
        """(p K, a) the columns of the flat positions ``at``; outputs do not interact."""
        p, K = self.design.shape[1], self.h.shape[1]
        found = np.zeros((p * K, len(at)))
        for c in range(K):
            mine = np.flatnonzero(at % K == c)
            if mine.size:
                h = self.h[:, c : c + 1]
                block = h * self.design.dense(at[mine] // K)
                product = self.design.rmatvec(block)
                if not self.centred:
                    product -= np.outer(self._means(c), block.sum(axis=0) / h.sum())
                found[c::K, mine] = product
        found[at, np.arange(len(at))] += self.ridge
        return found

    def diagonal(self) -> np.ndarray:
        """(p K,) the diagonal."""
        design = self.design
        own = design.sample_weight[:, None]
        known = self.h.shape[1] == 1 and np.array_equal(self.h, own)
        squares = design.squares if known else design.weighted_squares(self.h)
        if not self.centred:
            means = np.stack([self._means(c) for c in range(self.h.shape[1])], axis=1)
            squares = squares - means**2 / self.h.sum(axis=0)
        return np.maximum(squares, 0.0).ravel() + self.ridge

    def blocks(self, units: Units) -> np.ndarray:
        """The diagonal where units are single, else their padded (n_units, m, m) Hessians."""
        if units.are_single:
            return self.diagonal()
        slots, real = units.slots
        K, m = self.h.shape[1], slots.shape[1]
        blocks = np.zeros((units.count, m, m))
        if _one_an_output(slots, real, K):
            diagonal = self.diagonal()
            blocks[:, np.arange(m), np.arange(m)] = np.where(real, diagonal[slots], 0.0)
            return _padded(blocks, real)
        for u in range(units.count):
            at = slots[u, real[u]]
            local = self.among(at)
            blocks[u, : len(at), : len(at)] = local
        blocks[:, np.arange(m), np.arange(m)] += np.where(real, self.ridge, 0.0)
        return _padded(blocks, real)

    def among(self, at: np.ndarray) -> np.ndarray:
        """(a, a) of the flat positions ``at``, without the ridge; outputs do not interact."""
        features, outputs = at // self.h.shape[1], at % self.h.shape[1]
        block = self.design.dense(features)
        weighted = block * self.h[:, outputs]
        local = block.T @ weighted
        if not self.centred:
            sums = weighted.sum(axis=0)
            local = local - np.outer(sums, sums) / self.h.sum(axis=0)[outputs]
        return np.where(outputs[:, None] == outputs, local, 0.0)

    def _means(self, c: int) -> np.ndarray:
        return self.design.rmatvec(self.h[:, c : c + 1])[:, 0]


def _padded(blocks: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Empty places get the mean of the real ones on the diagonal."""
    places = np.arange(real.shape[1])
    means = np.einsum("umm->u", blocks) / real.sum(axis=1)
    blocks[:, places, places] = np.where(real, blocks[:, places, places], means[:, None])
    return blocks


def _one_an_output(slots: np.ndarray, real: np.ndarray, n_outputs: int) -> bool:
    """Whether no two coefficients of a unit belong to one output, which alone would interact."""
    if slots.shape[1] > n_outputs:
        return False
    outputs = np.sort(np.where(real, slots % n_outputs, n_outputs + np.arange(slots.shape[1])))
    return bool((np.diff(outputs, axis=1) > 0).all())
