"""Poisson: counts, with a log link."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import xlogy

from gossamer.core.loss import ROUNDING, Loss, nonnegative_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class Poisson(Loss):
    """Half the Poisson deviance, ``exp(z) - y z - (y - y log y)``, with y >= 0.

    The last term does not depend on z: it makes a perfect prediction cost zero. Exposure goes
    into the problem's ``offset`` as its logarithm.

    >>> import numpy as np
    >>> Poisson().value(np.log([[3.0]]), np.array([[3.0]]))
    array([0.])
    """

    smoothness: ClassVar[float | None] = None
    takes_columns: ClassVar[bool] = True

    def encode(self, y: Any) -> np.ndarray:
        return nonnegative_target(y, "Poisson")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return (np.exp(z) - y * z - y + xlogy(y, y)).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z) - y

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        rate = theta + y
        inside = rate >= -ROUNDING * (1 + y)
        rate = np.maximum(rate, 0.0)
        return np.where(inside, xlogy(rate, rate) - rate + y - xlogy(y, y), np.inf).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z)
