"""Ordinal: ordered classes, by cumulative logits with thresholds between them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, xlogy

from gossamer.core.loss import Loss, single_target
from gossamer.core.registry import LOSSES
from gossamer.losses.thresholds import Cuts, best_cuts, dual_gaps


@LOSSES.register
class Ordinal(Loss):
    r"""Minus the log-likelihood of proportional odds, at the best thresholds.

    .. math:: \min_{\theta_1 < \ldots < \theta_{K-1}} -\sum_i s_i
        \log\left[\sigma(\theta_{y_i + 1} - z_i) - \sigma(\theta_{y_i} - z_i)\right],
        \quad P(y \le k) = \sigma(\theta_{k+1} - z)

    with the logistic function :math:`\sigma` and thresholds of minus and plus infinity at the ends.
    A large z means a high class. It is convex in z, and jointly so in the thresholds (Pratt 1981),
    which are found by Newton's method for every z: they take the intercept's part. Samples
    interact through them.

    :meth:`encode` takes whole numbers, whose order counts; for other labels use ``SparseOrdinal``.

    References
    ----------
    McCullagh (1980), Regression models for ordinal data.
    Pratt (1981), Concavity of the log likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> y, s = np.array([[0.0], [1.0], [2.0], [2.0]]), np.full(4, 0.25)
    >>> loss = Ordinal().bind(y, s)
    >>> loss.thresholds(np.zeros((4, 1)), y).round(3)
    array([-1.099,  0.   ])
    """

    smoothness: ClassVar[float | None] = 0.5
    classifies: ClassVar[bool] = True
    joint: ClassVar[bool] = True
    shift_invariant: ClassVar[bool] = True
    comparative: ClassVar[bool] = True

    def __init__(self) -> None:
        self._weight = np.zeros(0)
        self._present = np.zeros(0)  # classes with a weight, in order
        self._known: tuple[np.ndarray, np.ndarray] | None = None

    def encode(self, y: Any) -> np.ndarray:
        y = single_target(y, "ordinal")
        if (y != np.round(y)).any():
            raise ValueError(
                f"y must hold whole numbers, one a class, for the ordinal loss, got {y[:5, 0]}. "
                "For other labels use SparseOrdinal."
            )
        return np.unique(y, return_inverse=True)[1].reshape(-1, 1).astype(float)

    def bind(self, y: np.ndarray, sample_weight: np.ndarray) -> Ordinal:
        bound = copy.copy(self)
        bound._weight, bound._known = sample_weight, None
        bound._present = np.unique(y[sample_weight > 0])
        return bound

    def _rank(self, y: np.ndarray) -> np.ndarray:
        """(n,) number of each sample's class among those present."""
        if len(self._weight) != len(y):
            raise ValueError("Ordinal: samples interact, bind(y, sample_weight) comes first.")
        return np.minimum(np.searchsorted(self._present, y[:, 0]), len(self._present) - 1)

    def _cuts(self, z: np.ndarray, y: np.ndarray) -> Cuts:
        rank, z = self._rank(y), z[:, 0]
        if self._known is None or not np.array_equal(self._known[0], z):
            self._known = z.copy(), best_cuts(z, rank, self._weight)
        return Cuts.of(self._known[1], z, rank)

    def thresholds(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """(K-1,) the best thresholds between the K classes of ``y``, infinite beside classes that
        have no weight."""
        theta = np.concatenate([[-np.inf], self._cuts(z, y).theta, [np.inf]])
        below = np.searchsorted(self._present, np.unique(y)[:-1], side="right")
        return np.asarray(theta[below])

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self._cuts(z, y).value

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        cuts = self._cuts(z, y)
        return (expit(-cuts.upper) - expit(cuts.lower))[:, None]

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        bends = self._cuts(z, y).bends
        return (bends[0] + bends[1])[:, None]

    def interaction(self, z: np.ndarray, y: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
        cuts = self._cuts(z, y)
        hessian = cuts.hessian(self._weight)
        try:
            factor = np.linalg.cholesky(hessian)
        except np.linalg.LinAlgError:
            return None
        return np.linalg.solve(factor, np.asarray(cuts.mixed(self._weight) @ columns))

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        """At the gaps between thresholds that the slopes ``theta`` allow (none: infinite)."""
        rank, u = self._rank(y), theta[:, 0]
        found = dual_gaps(u, rank, self._weight)
        if found is None:
            return np.full(len(u), np.inf)
        gaps, upper, lower = found
        cut = np.concatenate([[0.0], np.cumsum(gaps), [np.inf]])
        top = len(self._present) - 1
        with np.errstate(invalid="ignore"):
            z = np.where(rank < top, cut[rank] - upper, cut[np.maximum(rank - 1, 0)] - lower)
        chance = np.clip(np.abs(u), 0.0, 1.0)
        entropy = xlogy(chance, chance) + xlogy(1 - chance, 1 - chance)
        # of an end the threshold alone, and the entropy of its one slope
        ends = u * np.where(rank == top, cut[max(top - 1, 0)], 0.0) + entropy
        inner = (rank > 0) & (rank < top)
        beside = np.logaddexp(0.0, -upper) + np.logaddexp(0.0, lower)
        width = np.concatenate([[1.0], gaps, [1.0]])[rank] if top > 0 else np.ones(len(u))
        inside = u * np.where(inner, z, 0.0) - beside + np.log(-np.expm1(-width))
        return np.where(self._weight > 0, np.where(inner, inside, ends), 0.0)

    def mean(self, z: np.ndarray) -> np.ndarray:
        """The prediction orders samples: z itself."""
        return z
