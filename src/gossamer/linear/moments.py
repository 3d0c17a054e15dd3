"""Moments: the quadratic loss sees rows only through their weighted mean and covariance.

A tall table is thereby replaced by a small one of the same moments, for which every objective,
gradient and certificate is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from scipy import sparse
from scipy.linalg.lapack import dpstrf

from gossamer.core import validation
from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.losses import Quadratic

# rows read at a time: such a block of 50 columns stays in a core's own cache
_BLOCK = 4096
# share of a column's squares below which its deviations are not told from its mean well enough
_CANCELLED = 1e-2
_MANY = 10  # solutions that pay for the moments of any number of columns
_ROUNDING = 8 * np.finfo(float).eps


@dataclass(eq=False)
class Moments:
    r"""Weighted mean and scatter of the rows :math:`v_i = (x_i, y_i)`, from one pass over them.

    .. math:: m = \frac{1}{W} \sum_i s_i v_i, \qquad
        S = \sum_i s_i (v_i - m)(v_i - m)^\top, \qquad W = \sum_i s_i

    Sums run in float64 over blocks of rows, each centred at its own mean where squares would
    cancel, and are merged pairwise: a large mean costs no digits of the deviations, and no copy of
    X larger than a block is made.

    Attributes
    ----------
    weight : float
        Sum of the sample weights.
    count : int
        Rows with a weight above zero.
    n_features : int
        Columns of X; the others are targets.
    mean : (p + K,) array
    scatter : (p + K, p + K) array

    References
    ----------
    Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> moments = gs.linear.Moments()
    >>> for _ in range(3):  # batches
    ...     X = rng.standard_normal((1000, 4))
    ...     _ = moments.update(X, 2 * X[:, 1] + rng.standard_normal(1000))
    >>> moments.count
    3000
    >>> result = moments.problem(gs.L1(0.1)).solve()
    >>> result.certificate.support, result.certificate.holds
    (array([1]), True)
    """

    weight: float = 0.0
    count: int = 0
    n_features: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scatter: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    def update(self, X: Any, y: Any, sample_weight: Any = None, *, offset: Any = None) -> Self:
        """Add rows; all of them, or none where an argument is refused.

        Parameters
        ----------
        X : (n, p) array, sparse array or DataFrame
        y : (n,) or (n, K)
        sample_weight : (n,), default None
            On one scale in all updates; one for every row by default.
        offset : (n,) or (n, K), default None
            Subtracted from ``y``.
        """
        n = len(y)
        (added,) = moments_by_part(X, y, sample_weight, offset, np.zeros(n, dtype=np.intp), 1)
        return self.merge(added)

    def merge(self, other: Moments) -> Self:
        """Add the rows of other moments."""
        if not other.weight:
            return self
        if not self.weight:
            self.n_features, self.mean = other.n_features, other.mean.copy()
            self.scatter, self.weight, self.count = other.scatter.copy(), other.weight, other.count
            return self
        mine, given = self._shape, other._shape
        if mine != given:
            raise ValueError(
                f"rows have {given[0]} features and {given[1]} targets, but the rows before had "
                f"{mine[0]} and {mine[1]}: moments are of one table."
            )
        weight = self.weight + other.weight
        apart = other.mean - self.mean
        self.mean += apart * (other.weight / weight)
        self.scatter += other.scatter
        self.scatter += np.outer(apart, apart * (self.weight * other.weight / weight))
        self.weight, self.count = weight, self.count + other.count
        return self

    @property
    def _shape(self) -> tuple[int, int]:
        return self.n_features, len(self.mean) - self.n_features

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        r"""(r + 1, p) features and (r + 1, K) targets of the same mean and covariance.

        With :math:`R^\top R = S / W` of rank r, the rows are
        :math:`m + \sqrt{r + 1}\, H \binom{0}{R}`, for the reflection :math:`H` that maps the first
        axis to the diagonal; their weights are equal.
        """
        if not self.weight:
            raise ValueError("moments hold no rows of positive weight: call update first.")
        root = self._root()
        size = np.sqrt(len(root) + 1)
        total = root.sum(axis=0)
        rows = np.tile(self.mean, (len(root) + 1, 1))
        rows[0] += total
        if len(root):
            rows[1:] += size * root - total / (size - 1)
        return rows[:, : self.n_features].copy(order="F"), rows[:, self.n_features :]

    def _root(self) -> np.ndarray:
        """(r, p + K) root of the covariance by a Cholesky factor that stops at its rank.

        Columns are scaled first, so that none is lost beside a larger one.
        """
        variance = np.diag(self.scatter) / self.weight
        constant = variance <= np.square(_ROUNDING * self.mean)
        scale = np.sqrt(np.where(constant, 1.0, variance))
        correlation = self.scatter / self.weight / scale / scale[:, None]
        correlation[constant] = 0.0
        correlation[:, constant] = 0.0
        factor, order, rank, _ = dpstrf(correlation)
        root = np.empty((rank, len(scale)))
        root[:, order - 1] = np.triu(factor)[:rank]
        return root * scale

    def problem(
        self, penalty: Penalty, *, fit_intercept: bool = True, standardise: bool = False
    ) -> Problem:
        """The problem of all rows, with the quadratic loss, stated with the small table."""
        return Problem(
            *self.table(), Quadratic(), penalty, fit_intercept=fit_intercept,
            standardise=standardise,
        )  # fmt: skip


def is_tall(n_samples: int, n_columns: int, n_strengths: int) -> bool:
    """Whether so many solutions come faster from moments than from the rows.

    Measured on dense designs: the moments cost ``n d^2`` once for d columns, targets among them,
    a solution from the rows some ``10 n d``. One solution at a strong penalty is cheap from the
    rows where columns are many; ten are not.
    """
    if n_strengths < _MANY:
        return n_columns <= 100 and n_samples >= 10_000
    return n_columns <= 2000 and n_samples >= max(1000, 5 * n_columns)


def merged(parts: list[Moments]) -> Moments:
    """The moments of all parts together."""
    total = Moments()
    for part in parts:
        total.merge(part)
    return total


def moments_by_part(
    X: Any, y: Any, sample_weight: Any, offset: Any, part_of: np.ndarray, n_parts: int
) -> list[Moments]:
    """The moments of each part of the rows, in one pass over all; ``part_of`` numbers them."""
    # rows of a CSC matrix would be searched for in all of it, block by block
    X = sparse.csr_array(X) if sparse.issparse(X) else validation.design_matrix(X)
    y = Quadratic().encode(y)
    offset = validation.offsets(offset, y.shape)
    y = y if offset is None else y - offset
    if len(y) != X.shape[0]:
        raise ValueError(f"y has {len(y)} samples, but X has {X.shape[0]}.")
    weights = None if sample_weight is None else _weights(sample_weight, len(y))
    parts = [Moments() for _ in range(n_parts)]
    reader = _Reader(X)
    for part, rows in _blocks(part_of, n_parts):
        parts[part].merge(reader.moments(rows, y[rows], None if weights is None else weights[rows]))
    return parts


def _weights(sample_weight: Any, n: int) -> np.ndarray:
    weights = validation.float_array(sample_weight, "sample_weight")
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {weights.shape}.")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("sample_weight must be finite and >= 0.")
    return weights


def _blocks(part_of: np.ndarray, n_parts: int) -> Iterator[tuple[int, Any]]:
    """Each part of every block of rows: a slice where the block is of one part."""
    size = _BLOCK * min(n_parts, 8)
    for start in range(0, len(part_of), size):
        block = part_of[start : start + size]
        present = np.flatnonzero(np.bincount(block, minlength=n_parts))
        if len(present) == 1:
            yield int(present[0]), slice(start, start + len(block))
        else:
            yield from ((int(part), start + np.flatnonzero(block == part)) for part in present)


class _Reader:
    """Moments of blocks of rows; remembers a shift of the columns once one was needed."""

    def __init__(self, X: Any) -> None:
        self.X = X
        self.shift: np.ndarray | None = None

    def moments(self, rows: Any, y: np.ndarray, weights: np.ndarray | None) -> Moments:
        """The moments of some rows, with their targets and weights."""
        X = self.X[rows]
        X = X.toarray() if sparse.issparse(X) else X
        if weights is not None and not weights.any():
            return Moments()
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            found, squares = _moments(X, y, weights, self.shift)
            if self._is_cancelled(found, squares):
                self.shift = found.mean[: X.shape[1]]
                found, _ = _moments(X, y, weights, self.shift)
        if not np.isfinite(found.scatter).all():
            validation.check_finite(X)
            raise ValueError("X or y has values whose squares overflow: rescale its columns.")
        return found

    def _is_cancelled(self, found: Moments, squares: np.ndarray) -> bool:
        """Whether a column's mean has eaten digits of its deviations."""
        left = np.diag(found.scatter)[: len(squares)]
        constant = 0.0 if self.shift is None else np.square(_ROUNDING * self.shift) * found.weight
        return bool(((left < _CANCELLED * squares) & (squares > constant)).any())


def _moments(
    X: np.ndarray, y: np.ndarray, weights: np.ndarray | None, shift: np.ndarray | None
) -> tuple[Moments, np.ndarray]:
    """Moments from sums about a shift of X, and (p,) the sums of X's squares about it.

    A float64 block without weights and shift is multiplied where it lies.
    """
    p, middle = X.shape[1], y.mean(axis=0)
    side = np.column_stack([y - middle, np.ones(len(y))])
    if shift is not None:
        X = X - shift
    if weights is not None:
        root = np.sqrt(weights)[:, None]
        X, side = X * root, side * root
    X = X.astype(float, copy=False)
    if min(X.strides) != X.itemsize:  # BLAS would not take it, and numpy's own loop is slow
        X = np.ascontiguousarray(X)
    across, ends = X.T @ side, side.T @ side
    raw = np.empty((p + y.shape[1],) * 2)
    raw[:p, :p] = X.T @ X
    raw[:p, p:] = across[:, :-1]
    raw[p:, :p] = across[:, :-1].T
    raw[p:, p:] = ends[:-1, :-1]
    weight = float(ends[-1, -1])
    mean = np.concatenate([across[:, -1], ends[:-1, -1]]) / weight
    squares = np.diag(raw)[:p].copy()
    raw -= np.outer(mean, mean * weight)
    mean[:p] += 0.0 if shift is None else shift
    mean[p:] += middle
    count = len(y) if weights is None else int((weights > 0).sum())
    return Moments(weight, count, p, mean, raw), squares
