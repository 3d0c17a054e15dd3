"""Multinomial: several classes, one coefficient vector for each."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import xlogy

from gossamer.core.loss import ROUNDING, Loss, numeric_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class Multinomial(Loss):
    """``logsumexp(z) - z_y``: minus the log-likelihood of K classes, all on an equal footing.

    :meth:`encode` takes class numbers 0 .. K-1 or a one-hot array (n, K); for other labels use
    ``SparseLogistic``. Coefficients have shape (p, K); the penalty makes them unique, and the
    intercepts sum to zero.

    >>> import numpy as np
    >>> Multinomial().value(np.zeros((1, 4)), np.array([[0.0, 1, 0, 0]])).round(4)
    array([1.3863])
    """

    smoothness: ClassVar[float | None] = 0.5
    classifies: ClassVar[bool] = True
    coupled: ClassVar[bool] = True

    def encode(self, y: Any) -> np.ndarray:
        y = numeric_target(y, "multinomial")
        if y.shape[1] > 1:
            if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
                raise ValueError("y with several columns must be one-hot for the multinomial loss.")
            return y
        codes = y[:, 0].astype(int)
        if (codes != y[:, 0]).any() or (codes < 0).any():
            raise ValueError(
                f"y must hold class numbers 0 .. K-1 for the multinomial loss, got {y[:5, 0]}. "
                "For other labels use SparseLogistic."
            )
        if codes.max() > len(codes):
            raise ValueError(f"y has class number {codes.max()} but only {len(codes)} samples.")
        return np.eye(max(int(codes.max()) + 1, 2))[codes]

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        top = z.max(axis=1)
        return top + np.log(np.exp(z - top[:, None]).sum(axis=1)) - (y * z).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.mean(z) - y

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        p = self.mean(z)
        return p * (1 - p)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        chance = theta + y
        inside = (chance >= -ROUNDING).all(axis=1) & (np.abs(theta.sum(axis=1)) <= ROUNDING)
        chance = np.maximum(chance, 0.0)
        return np.where(inside, xlogy(chance, chance).sum(axis=1), np.inf)

    def mean(self, z: np.ndarray) -> np.ndarray:
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)
