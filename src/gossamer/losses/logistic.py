"""Logistic: two classes."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from gossamer.core.loss import ROUNDING, Loss, binary_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class Logistic(Loss):
    """``log(1 + exp(z)) - y z`` with y in {0, 1}: minus the log-likelihood of two classes.

    :meth:`encode` takes {0, 1}, {-1, 1} or booleans; for other labels use ``SparseLogistic``.

    >>> import numpy as np
    >>> Logistic().value(np.array([[0.0]]), np.array([[1.0]])).round(4)
    array([0.6931])
    """

    smoothness: ClassVar[float | None] = 0.25
    classifies: ClassVar[bool] = True

    def encode(self, y: Any) -> np.ndarray:
        return binary_target(y, "logistic")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (np.logaddexp(0.0, z) - y * z).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        # for y = 1 written as -expit(-z): 1 - expit(z) would cancel
        return np.where(y > 0, -expit(-z), expit(z))

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return expit(z) * expit(-z)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        chance = np.where(y > 0, -theta, theta)  # probability of the other class
        inside = (chance >= -ROUNDING) & (chance <= 1 + ROUNDING)
        chance = np.clip(chance, 0.0, 1.0)
        entropy = xlogy(chance, chance) + xlog1py(1 - chance, -chance)
        return np.where(inside, entropy, np.inf).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        return expit(z)
