"""Refits for the quadratic loss, from columns of its Hessian that are computed once."""

from __future__ import annotations

import numpy as np

from gossamer.core.hessian import Hessian
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.solvers.refit import solved

# numbers kept, a gigabyte of them
_MOST = 2**27
# share of the null model's gradient that a refit may leave, and attempts to get there
_PRECISION, _ATTEMPTS = 1e-12, 3


class GramRefits:
    """Columns of the Hessian of loss and ridge, which give a refit and its gradient without X.

    columns : (size, count) those known so far.
    """

    def __init__(self, problem: Problem, ridge: float) -> None:
        self.problem, self.ridge = problem, ridge
        w = np.zeros(problem.shape)
        self._null = Point(problem, w, problem.null_intercept, problem.null_gradient)
        self.hessian = Hessian.at(problem, self._null, ridge)
        self._slot = np.full(w.size, -1)
        self._room = self.columns = np.empty((w.size, 0), order="F")

    def missing(self, at: np.ndarray) -> np.ndarray:
        """Those of some flat positions whose columns are not known."""
        return at[self._slot[at] < 0]

    def read(self, at: np.ndarray) -> bool:
        """Compute columns that are missing, in one pass over X, if there is room."""
        size, known = self.columns.shape
        count = known + len(at)
        if size * count > _MOST:
            return False
        if count > self._room.shape[1]:
            self._room = np.empty((size, max(count, 2 * known)), order="F")
            self._room[:, :known] = self.columns
        self._room[:, known:count] = self.hessian.columns(at)
        self.columns, self._slot[at] = self._room[:, :count], np.arange(known, count)
        return True

    def columns_of(self, at: np.ndarray) -> np.ndarray:
        """(size, a) the known columns of some positions."""
        return self.columns[:, self._slot[at]]

    def refit(self, at: np.ndarray) -> Point | None:
        """The optimum in the known positions ``at``, ``None`` where rounding keeps from it."""
        null, slots = self.problem.null_gradient.ravel(), self._slot[at]
        gram = self.columns[at[:, None], slots]
        limit = _PRECISION * (np.abs(null).max(initial=0.0) + 1e-300)
        x, left = np.zeros(len(at)), null[at]
        for _ in range(_ATTEMPTS):
            x = x - solved(gram, left)
            left = null[at] + gram @ x
            if np.abs(left).max(initial=0.0) <= limit:
                return self._point(at, slots, x)
        return None

    def _point(self, at: np.ndarray, slots: np.ndarray, x: np.ndarray) -> Point:
        w, local = np.zeros(self.problem.shape), np.zeros(self.columns.shape[1])
        w.flat[at], local[slots] = x, x
        pull = (self.columns @ local).reshape(w.shape) - self.ridge * w
        return Point(self.problem, w, self._null.b, self.problem.null_gradient + pull)
