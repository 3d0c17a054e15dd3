"""Squared error on columns of unit length, as branch and bound sees it: a Gram matrix by rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh, lstsq

from gossamer.core.problem import Problem
from gossamer.kernels import bind, perspective
from gossamer.penalties import AtMost

_MAX_ROWS_BYTES = 400e6
# eigenvalues of more columns take longer than they save
_MAX_SPECTRUM = 2000


@dataclass(eq=False)
class SubsetModel:
    """``total - c'w + w'(G - lift I)w / 2 + sum_j (ridge_j + lift) w_j^2 / 2`` of few ``w_j``.

    A : (n, p) columns of length one; G = A'A. ``lift`` is curvature that all directions have, taken
    out of G: where it counts only for what is selected, the relaxation is tighter.
    bounds : (p,) no optimal coefficient is larger.
    """

    A: np.ndarray
    right: np.ndarray
    total: float
    ridge: np.ndarray
    features: np.ndarray
    scale: np.ndarray
    lift: float = 0.0
    bounds: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        p = self.A.shape[1]
        self._slot = np.full(p, -1)
        self._rows = np.empty((min(64, p), p))
        self._count = 0
        self.bounds = self.bounds if len(self.bounds) else np.full(p, np.inf)

    @classmethod
    def of(cls, problem: Problem) -> SubsetModel:
        assert isinstance(problem.penalty, AtMost)
        root = np.sqrt(problem.sample_weight)
        A = problem.design.dense(np.arange(problem.shape[0])) * root[:, None]
        z = problem.linear(np.zeros(problem.shape), problem.null_intercept)
        residual = (root[:, None] * (problem.y - z))[:, 0]
        scale = np.sqrt(np.einsum("ij,ij->j", A, A))
        features = np.flatnonzero(scale > 1e-7 * scale.max(initial=0.0))
        scale = scale[features]
        A = A[:, features] / scale
        return cls(
            A, A.T @ residual, 0.5 * float(residual @ residual),
            problem.penalty.ridge / scale**2, features, scale,
        )  # fmt: skip

    @property
    def shape(self) -> tuple[int, int]:
        return self.A.shape

    def gram(self, chosen: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(m, l) entries of ``A'A``."""
        slots = self._slots(chosen)  # may make room for more rows
        return self._rows[np.ix_(slots, others)]

    def gram_times(self, chosen: np.ndarray, w: np.ndarray) -> np.ndarray:
        """(p,) ``A'A`` times a vector that is ``w`` in the chosen places and zero elsewhere."""
        product = np.zeros(self.shape[1])
        slots = self._slots(chosen)
        bind(perspective.add_rows)(self._rows, slots, w, product)
        return product

    def _slots(self, chosen: np.ndarray) -> np.ndarray:
        """Where the rows of ``A'A`` lie; each is computed once, as long as there is room."""
        missing = chosen[self._slot[chosen] < 0]
        if len(missing):
            if (self._count + len(missing)) * self.shape[1] * 8 > _MAX_ROWS_BYTES:
                self._slot[:], self._count, missing = -1, 0, chosen
            need = self._count + len(missing)
            if need > len(self._rows):
                grown = np.empty((max(need, 2 * len(self._rows)), self.shape[1]))
                grown[: self._count] = self._rows[: self._count]
                self._rows = grown
            self._rows[self._count : need] = self.A[:, missing].T @ self.A
            self._slot[missing] = np.arange(self._count, need)
            self._count = need
        return self._slot[chosen]

    def best(self, chosen: np.ndarray) -> tuple[float, np.ndarray]:
        """The least value with the chosen columns, and their coefficients."""
        if not len(chosen):
            return self.total, np.empty(0)
        gram = self.gram(chosen, chosen) + np.diag(self.ridge[chosen])
        w = _solved(gram, self.right[chosen])
        return self.total - 0.5 * float(self.right[chosen] @ w), w

    def best_with_one_more(self, chosen: np.ndarray, free: np.ndarray) -> np.ndarray:
        """The chosen columns and the one of the free ones that lowers the value most."""
        w, seen = self.best(chosen)[1], self.gram(chosen, free)
        pull = self.right[free] - w @ seen
        gram = self.gram(chosen, chosen) + np.diag(self.ridge[chosen])
        explained = (seen * _solved(gram, seen)).sum(axis=0)
        left = 1.0 + self.ridge[free] - explained
        # what is left of a duplicate is rounding
        gains = np.where(left > 1e-10, pull**2 / np.maximum(left, 1e-10), 0.0) / 2
        return np.append(chosen, free[int(np.argmax(gains))])

    def restricted(self, kept: np.ndarray) -> SubsetModel:
        return SubsetModel(
            self.A[:, kept], self.right[kept], self.total, self.ridge[kept], self.features[kept],
            self.scale[kept], self.lift, self.bounds[kept],
        )  # fmt: skip

    def tighten(self, value: float) -> None:
        """Take out the curvature that all directions have, and bound what any solution as good as
        ``value`` can have as coefficients: where the columns are independent."""
        n, p = self.shape
        if p > min(n, _MAX_SPECTRUM):
            return
        spectrum, vectors = eigh(self.A.T @ self.A)
        if spectrum[0] <= 1e-8 * spectrum[-1]:
            return
        # short of the smallest eigenvalue by more than its rounding
        self.lift = spectrum[0] * (1 - 1e-6) - 1e-12 * spectrum[-1]
        # from here on without the ridge: it can only make the region smaller
        centre = vectors @ ((vectors.T @ self.right) / spectrum)
        slack = max(value - (self.total - 0.5 * float(self.right @ centre)), 0.0)
        reach = np.sqrt(2 * slack * (vectors**2 / spectrum).sum(axis=1))
        self.bounds = np.minimum(self.bounds, (np.abs(centre) + reach) * (1 + 1e-6))


def _solved(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The least-norm solution: duplicates share."""
    return lstsq(gram, right, cond=1e-12)[0] if len(gram) else np.empty_like(right)
