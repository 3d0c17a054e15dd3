"""Gamma: positive amounts with a constant coefficient of variation, with a log link."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import xlogy

from gossamer.core.loss import ROUNDING, Loss, numeric_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class Gamma(Loss):
    """Half the Gamma deviance, ``y exp(-z) + z - (1 + log y)``, with y > 0.

    The last term makes a perfect prediction cost zero. Only ratios of the target and its
    prediction ``exp(z)`` count: the unit of y does not matter.

    References
    ----------
    McCullagh and Nelder (1989), Generalized linear models, section 8.3.

    Examples
    --------
    >>> import numpy as np
    >>> Gamma().value(np.log([[3.0], [6.0]]), np.array([[3.0], [3.0]])).round(4)
    array([0.    , 0.1931])
    """

    smoothness: ClassVar[float | None] = None
    takes_columns: ClassVar[bool] = True

    def encode(self, y: Any) -> np.ndarray:
        y = numeric_target(y, "Gamma")
        if (y <= 0).any():
            raise ValueError(
                f"y must be > 0 for the Gamma loss, got {y.min()}. Amounts that may be zero are "
                "the business of Tweedie()."
            )
        return y

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        excess = z - np.log(y)
        with np.errstate(over="ignore"):
            return (np.expm1(-excess) + excess).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return -np.expm1(np.log(y) - z)

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(np.log(y) - z)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        ratio = 1 - theta  # of the target and its prediction
        inside = ratio >= -ROUNDING
        ratio = np.maximum(ratio, 0.0)
        return np.where(inside, xlogy(ratio, ratio) + theta * (1 + np.log(y)), np.inf).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z)
