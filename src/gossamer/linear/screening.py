"""Screening by mutual information: the features that tell of the target, linearly or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from scipy.special import ndtri, xlogy
from scipy.stats import rankdata

from gossamer.linear.inference.base import Selection, checked_count

# numbers at a time, so that a batch of features stays in the cache
_BATCH = 2**18
# values of a numeric target up to which "auto" takes them for labels
_LABELS = 10


@dataclass(eq=False, repr=False)
class MutualInformationScreening(Selection):
    r"""Keep the features with the largest mutual information with the target.

    .. math:: I(x_j, y) = \int p(x_j, y) \log \frac{p(x_j, y)}{p(x_j)\, p(y)}

    is zero only for independence, so that features count whose effect no correlation sees. Ranks
    are turned into normal scores, which leaves it as it is, makes outliers harmless, and gives all
    features without ties the same distribution, hence the same bandwidth and the same bias. The
    densities are Gaussian kernel estimates on a grid: samples are shared between the grid points
    next to them, and the counts are smoothed for many features in one product.

    Scores are in nats. They are biased, upwards for independent and downwards for strongly
    dependent pairs: they rank. Features are scored one by one, so that an effect which two features
    have only together is not seen.

    Parameters
    ----------
    n_features : int >= 1, default None
        How many to keep; by default ``n / log(n)``, as sure independence screening does, or all
        if there are fewer.
    discrete_target : bool or "auto", default "auto"
        Whether the values of y are labels. "auto" takes text, booleans and at most ten different
        numbers for labels.

    Attributes
    ----------
    scores_ : (p,)
        Mutual information in nats, never below zero.
    selected_ : (n_features,)
        Numbers of the kept features, ascending.

    Raises
    ------
    ValueError
        For a constant y, text where numbers are asked for, or more features than there are.

    References
    ----------
    Yang, Asgharian, Bhagwat, Poline and Greenwood (2024), fastHDMI: fast mutual information
    estimation for high-dimensional data.
    Fan and Lv (2008), Sure independence screening for ultrahigh dimensional feature space.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 2000))
    >>> y = X[:, 3] ** 2 + 2 * np.sin(3 * X[:, 7]) + X[:, 11] + 0.3 * rng.standard_normal(300)
    >>> screening = gs.linear.MutualInformationScreening(n_features=3).fit(X, y)
    >>> screening.selected_
    array([ 3,  7, 11])
    >>> screening.transform(X).shape
    (300, 3)
    """

    n_features: int | None = None
    discrete_target: bool | Literal["auto"] = "auto"

    def fit(self, X: Any, y: Any) -> Self:
        """Score all features of X (n, p) by y (n,), numbers or labels, and select."""
        X, y = self._table(X, y, numeric=False)
        n, p = X.shape
        size = self._size(n, p)
        self.scores_ = _information(X, *self._target(y))
        self.selected_ = np.sort(np.argsort(-self.scores_, kind="stable")[:size])
        return self

    def _size(self, n: int, p: int) -> int:
        if self.n_features is None:
            return min(p, max(1, int(n / np.log(n))))
        size = checked_count(self.n_features, "n_features")
        if size > p:
            raise ValueError(f"n_features is {size}, but X has n_features = {p} columns.")
        return size

    def _target(self, y: np.ndarray) -> tuple[np.ndarray, _Grid]:
        """(n, m) what each sample gives to the points of y, and the grid for the features."""
        if y.dtype.kind == "O":
            y = np.asarray(y.tolist())
        values, labels = np.unique(y, return_inverse=True)
        if len(values) == 1:
            raise ValueError(f"y is constant, {values[0]}: there is nothing to explain.")
        discrete = self.discrete_target
        if not (isinstance(discrete, bool | np.bool_) or discrete == "auto"):
            raise ValueError(f'discrete_target must be a bool or "auto", got {discrete!r}.')
        if discrete == "auto":
            discrete = y.dtype.kind not in "iuf" or len(values) <= _LABELS
        if discrete:
            return np.eye(len(values))[labels], _Grid.of(len(y), 1)
        if y.dtype.kind not in "iufb":
            raise ValueError(
                f"y holds {y.dtype} values, no numbers: leave discrete_target at 'auto'."
            )
        grid = _Grid.of(len(y), 2)
        return grid.kernel(_normal_scores(y)), grid


@dataclass(frozen=True, eq=False)
class _Grid:
    """Points from the least to the largest normal score, half a bandwidth apart."""

    points: np.ndarray
    bandwidth: float

    @classmethod
    def of(cls, n: int, dimension: int) -> _Grid:
        bandwidth = n ** (-1 / (dimension + 4))  # Scott's rule
        end = ndtri(n / (n + 1))
        return cls(np.linspace(-end, end, int(np.ceil(4 * end / bandwidth)) + 1), bandwidth)

    def kernel(self, z: np.ndarray) -> np.ndarray:
        """(n, m) shares of the grid's points in samples at ``z`` (n,), adding up to one."""
        K = np.exp(-0.5 * ((z[:, None] - self.points) / self.bandwidth) ** 2)
        return np.asarray(K / K.sum(axis=1, keepdims=True))

    def bins(self, Z: np.ndarray) -> sparse.csr_array:
        """(n, k * m) each of ``Z`` (n, k) shared between the two points beside it."""
        (n, k), m = Z.shape, len(self.points)
        position = (Z - self.points[0]) / (self.points[1] - self.points[0])
        low = np.clip(position.astype(np.int32), 0, m - 2)
        share = position - low
        at = low + m * np.arange(k, dtype=np.int32)
        ends = np.arange(0, 2 * n * k + 1, 2 * k, dtype=np.int32)
        both = np.stack([1 - share, share], axis=2), np.stack([at, at + 1], axis=2)
        return sparse.csr_array((both[0].ravel(), both[1].ravel(), ends), shape=(n, k * m))


def _information(X: np.ndarray, target: np.ndarray, grid: _Grid) -> np.ndarray:
    """(p,) mutual information of the columns of X with a target (n, m) spread over its points."""
    (n, p), m = X.shape, len(grid.points)
    smooth = grid.kernel(grid.points).T
    at_once = max(1, _BATCH // max(n, m * target.shape[1]))
    scores = np.empty(p)
    for first in range(0, p, at_once):
        batch = slice(first, first + at_once)
        counts = grid.bins(_normal_scores(X[:, batch])).T @ target
        joint = smooth @ counts.reshape(-1, m, target.shape[1]) / n
        parts = (joint.reshape(len(joint), -1), joint.sum(axis=2), joint.sum(axis=1))
        both, feature, outcome = (xlogy(part, part).sum(axis=1) for part in parts)
        scores[batch] = both - feature - outcome
    return np.maximum(scores, 0.0)


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Ranks along the first axis, equal values sharing theirs, as quantiles of the normal."""
    return np.asarray(ndtri(rankdata(values, axis=0) / (len(values) + 1)))
