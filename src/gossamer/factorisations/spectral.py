"""Matrix products: low rank as the sparsity of singular values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

import numpy as np

from gossamer.core.factorisation import Factorisation, Factors
from gossamer.core.validation import finite_number
from gossamer.factorisations.cells import sum_of_squares


@dataclass(frozen=True, eq=False)
class MatrixProduct(Factorisation):
    r"""A weight as a product of k matrices, few of whose singular values are not zero.

    ``W = U_1 U_2 ... U_k`` with ``R = strength / k * sum_d |U_d|_F^2`` induces
    ``sum_i sigma_i^{2/k}`` of the singular values: the nuclear norm for k = 2. A weight of more
    than two axes counts as a matrix (first axis, all others).

    Parameters
    ----------
    strength : float
    shape : of the weight
    depth : k >= 2
    rank : int, default None
        Largest rank of the product; by default that of the weight's shape. What exceeds it is cut
        off by ``balanced`` and ``start``, and of infinite value.

    References
    ----------
    Srebro, Rennie and Jaakkola (2005), Maximum-margin matrix factorization. Shang, Liu and Cheng
    (2016), Scalable algorithms for tractable Schatten quasi-norm minimization.

    Examples
    --------
    >>> form = MatrixProduct(1.0, (2, 2))
    >>> round(form.value(np.array([[3.0, 0.0], [0.0, -4.0]])), 6)
    7.0
    """

    strength: float
    shape: tuple[int, ...]
    depth: int = 2
    rank: int | None = None

    def __post_init__(self) -> None:
        if self.depth < 2 or int(self.depth) != self.depth:
            raise ValueError(f"MatrixProduct: depth must be an integer >= 2, got {self.depth}.")
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"MatrixProduct: rank must be >= 1, got {self.rank}.")
        finite_number(self.strength, "MatrixProduct: strength", 0.0)

    @property
    def _sizes(self) -> tuple[int, int, int]:
        rows, columns = self.shape[0], prod(self.shape[1:])
        full = min(rows, columns)
        return rows, columns, full if self.rank is None else min(self.rank, full)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        rows, columns, rank = self._sizes
        inner = ((rank, rank),) * (int(self.depth) - 2)
        return ((rows, rank), *inner, (rank, columns))

    def expand(self, factors: Factors) -> Any:
        w, *others = self.as_factors(factors)
        for factor in others:
            w = w @ factor
        return w.reshape(self.shape)

    def penalty(self, factors: Factors) -> Any:
        return self.strength / self.depth * sum(map(sum_of_squares, self.as_factors(factors)))

    @property
    def decay(self) -> tuple[float, ...]:
        return (2 * self.strength / self.depth,) * int(self.depth)

    def value(self, w: np.ndarray) -> float:
        singular = np.linalg.svd(self._matrix(w), compute_uv=False)
        rank = self._sizes[2]
        if singular[rank:].sum() > 1e-10 * singular.sum():
            return np.inf
        return float(self.strength * (singular ** (2 / self.depth)).sum())

    def balanced(self, w: np.ndarray) -> Factors:
        return self.start(w, 0.0)

    def start(self, w: np.ndarray, spread: float | None = None) -> Factors:
        rows, columns, rank = self._sizes
        left, singular, right = np.linalg.svd(self._matrix(w), full_matrices=False)
        left, singular, right = left[:, :rank], singular[:rank], right[:rank]
        mean = float(singular.mean()) if singular.size else 0.0
        root = (mean or 1.0) ** (1 / self.depth)
        roots = singular ** (1 / self.depth)
        spread = root if spread is None else spread
        # one factor has what the others, which carry the spread, leave of the weight; a square one
        # must carry it, for every entry to feel it through a weight of zero
        carried = np.sqrt(roots * roots + spread * spread)
        gain = carried ** (self.depth - 1)
        rest = np.divide(singular, gain, out=np.zeros_like(singular), where=gain > 0)
        first, last = (carried, rest) if columns > rows else (rest, carried)
        inner = (np.diag(carried),) * (int(self.depth) - 2)
        return (left * first, *inner, last[:, None] * right)

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))

    def _matrix(self, w: np.ndarray) -> np.ndarray:
        return self.as_weight(w).reshape(self._sizes[:2])
