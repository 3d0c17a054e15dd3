"""Quadratic: half the squared error."""

from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import Loss, numeric_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class Quadratic(Loss):
    """``1/2 |z - y|^2``, summed over outputs when y has several columns.

    >>> import numpy as np
    >>> Quadratic().value(np.array([[3.0]]), np.array([[1.0]]))
    array([2.])
    """

    smoothness: ClassVar[float | None] = 1.0
    is_quadratic: ClassVar[bool] = True
    takes_columns: ClassVar[bool] = True

    def encode(self, y: Any) -> np.ndarray:
        return numeric_target(y, "quadratic")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 0.5 * np.square(z - y).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return z - y

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.ones_like(z)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (theta * (0.5 * theta + y)).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        return z
