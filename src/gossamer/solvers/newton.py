"""Newton's step on the support: the linear system of the active set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from gossamer.core.unit_form import smooth_part
from gossamer.solvers.model import Model
from gossamer.solvers.working_units import WorkingUnits

# steps before coordinate descent takes over again
_MAX_STEPS = 100


def newton_move(model: Model, working: WorkingUnits, w: np.ndarray) -> float:
    """Move ``w`` towards the stationary point of its own support and signs; by how much the
    objective fell.

    On the support the objective is smooth. Units (and coordinates with a kink of their own) that
    would pass through zero on the way leave the support; how far to go is decided by the
    objective. Every step lowers it, so that the chain is finite and cannot cycle.
    """
    assert model.gram_of is not None
    gained = 0.0
    known = np.flatnonzero(w)
    gram = model.gram_of(known)
    system: _System | None = None
    for _ in range(_MAX_STEPS):
        alive = np.flatnonzero(w[known])
        if not alive.size:
            return gained
        support = known[alive]
        slope, bend = smooth_part(
            working.form, working.units, working.weights, working.inner, w, support
        )
        if system is None or not system.holds_for(alive, bend):
            # of every pair once: the support only shrinks
            if len(alive) < len(known):
                known, gram = support, gram.take(alive, axis=0).take(alive, axis=1)
                alive = np.arange(len(known))
            system = _System.of(gram, bend)
            if system is None:
                return gained
        gradient = model.gradient()[support]
        step = system.solve(alive, -(gradient + slope))
        if not np.isfinite(step).all():
            return gained
        x = w[support]
        reach = _reach(working, support, x, step)
        change, gain = _best_change(working, support, w, step, reach, gradient, gram, alive)
        if change is None:
            return gained
        _move(model, w, support, change)
        gained += gain
        if reach.min(initial=np.inf) > 1.0 and (
            working.is_single or np.abs(step).max() <= 1e-10 * np.abs(x).max()
        ):
            return gained
    return gained


def _move(model: Model, w: np.ndarray, support: np.ndarray, change: np.ndarray) -> None:
    moved = np.zeros_like(w)
    moved[support] = change
    # what leaves the support has to be zero, not nearly
    w[support] = np.where(w[support] == -change, 0.0, w[support] + change)
    model.state += model.push(moved)


def _best_change(
    working: WorkingUnits, support: np.ndarray, w: np.ndarray, step: np.ndarray,
    reach: np.ndarray, gradient: np.ndarray, gram: np.ndarray, alive: np.ndarray,
) -> tuple[np.ndarray | None, float]:  # fmt: skip
    """The change of the support that lowers the objective most, of a few along the step, and by
    how much."""
    x = w[support]
    crossings = np.sort(reach[reach < 1.0])
    places = np.unique(len(crossings) // 2 ** np.arange(1, 8))
    lengths = np.concatenate([[1.0], crossings[places[places < len(crossings)]], [0.05]])
    before, trial, moved = working.penalty(w), w.copy(), np.zeros(len(gram))
    best, chosen = 0.0, None
    for length in lengths:
        target = np.where(reach <= length, 0.0, x + length * step)
        change = target - x
        trial[support] = target
        moved[alive] = change
        bend = 0.5 * moved @ (gram @ moved)
        gain = gradient @ change + bend + working.penalty(trial) - before
        if gain < best or (gain == 0.0 and chosen is None):
            best, chosen = gain, change
            if length == 1.0 and not crossings.size:
                break
    return chosen, -best


def _reach(
    working: WorkingUnits, support: np.ndarray, x: np.ndarray, step: np.ndarray
) -> np.ndarray:
    """Share of the step after which each coordinate's unit, or the coordinate itself where it has
    a kink of its own, passes through zero; infinite where it does not."""
    label, count = working.units.labels[support], working.units.count
    squares = np.bincount(label, x * x, count)
    towards = -np.bincount(label, x * step, count)
    towards[working.weights == 0] = 0.0
    unit = np.divide(squares, towards, out=np.full(count, np.inf), where=towards > 0)[label]
    kinked = working.has_kink[support] & (x * step < 0)
    own = np.divide(-x, step, out=np.full(len(x), np.inf), where=kinked)
    return np.minimum(unit, own)


@dataclass(eq=False)
class _System:
    """A factorised positive definite system, which stays good while coordinates leave it.

    With the inverse ``H^-1`` at hand, the system without the coordinates D is solved by
    ``x = H^-1 (r - E u)``, where E has the columns of the identity in D and u makes x vanish there.
    """

    factor: np.ndarray
    bend: np.ndarray
    gone: np.ndarray  # D, in the order in which they left
    inverse: np.ndarray  # H^-1 E, one column a coordinate of D

    @classmethod
    def of(cls, gram: np.ndarray, bend: np.ndarray) -> _System | None:
        """``None`` where the matrix is not (nearly) positive definite."""
        matrix = gram + bend if bend.ndim == 2 else gram.copy()
        diagonal = np.einsum("ii->i", matrix)
        if bend.ndim == 1:
            diagonal += bend
        scale = float(diagonal.mean())
        if not (np.isfinite(scale) and scale > 0):
            return None
        for ridge in (0.0, 1e-12):
            diagonal += ridge * scale
            # the transpose of a symmetric matrix is itself, in the memory order LAPACK reads
            factor, failed = lapack.dpotrf(matrix.T, lower=1, clean=0)
            if not failed:
                return cls(factor, bend, np.array([], dtype=np.intp), np.empty((len(gram), 0)))
        return None

    def holds_for(self, alive: np.ndarray, bend: np.ndarray) -> bool:
        """Whether the same matrix, without those that have left, is asked for again."""
        few_left = len(self.factor) - len(alive) <= len(self.factor) // 8
        return few_left and bend.ndim == 1 and np.array_equal(self.bend[alive], bend)

    def solve(self, alive: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(len(alive),) solution of the part that is still there."""
        full = np.zeros(len(self.factor))
        full[alive] = right
        x, _ = lapack.dpotrs(self.factor, full, lower=1)
        new = np.setdiff1d(np.arange(len(full)), np.union1d(alive, self.gone))
        if new.size:
            columns = np.zeros((len(full), len(new)), order="F")
            columns[new, np.arange(len(new))] = 1.0
            solved, _ = lapack.dpotrs(self.factor, columns, lower=1)
            self.inverse = np.hstack([self.inverse, solved])
            self.gone = np.append(self.gone, new)
        if self.gone.size:
            u = np.linalg.lstsq(self.inverse[self.gone], x[self.gone], rcond=None)[0]
            x = x - self.inverse @ u
        return x[alive]
