"""Squared hinge: two classes with a margin, smoothly."""

from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import ROUNDING, Loss, binary_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class SquaredHinge(Loss):
    """``max(0, 1 - t z)^2 / 2`` with t = 2 y - 1 in {-1, 1}: the L2 support vector machine.

    It decides, and says nothing of probabilities: :meth:`mean` is the margin z itself.

    References
    ----------
    Fan, Chang, Hsieh, Wang and Lin (2008), LIBLINEAR: a library for large linear classification.

    Examples
    --------
    >>> import numpy as np
    >>> SquaredHinge().value(np.array([[2.0], [0.0]]), np.array([[1.0], [1.0]]))
    array([0. , 0.5])
    """

    smoothness: ClassVar[float | None] = 1.0
    classifies: ClassVar[bool] = True
    is_likelihood: ClassVar[bool] = False

    def encode(self, y: Any) -> np.ndarray:
        return binary_target(y, "squared hinge")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 0.5 * np.square(_shortfall(z, y)).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (1 - 2 * y) * _shortfall(z, y)

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (_shortfall(z, y) > 0).astype(float)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        shortfall = (1 - 2 * y) * theta
        value = shortfall * (0.5 * shortfall - 1)
        return np.where(shortfall >= -ROUNDING, value, np.inf).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        return z


def _shortfall(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n, 1) how much each sample's margin lacks of one."""
    return np.maximum(1 - (2 * y - 1) * z, 0.0)
