"""Square root: the standard deviation of the residual, whose best strength needs no noise level."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import ROUNDING, Loss, single_target
from gossamer.core.registry import LOSSES

# below this share of the target's own deviation the loss turns quadratic: a perfect fit has a
# gradient, and is known by it, at the price of half of this share in the objective
_PERFECT = 1e-6


@LOSSES.register
class SquareRoot(Loss):
    r"""``sigma = sqrt(sum_i s_i r_i^2)``, r = z - y: the residual's standard deviation.

    Samples interact: the gradient is ``r / sigma``, free of the unit of y, so that the strength
    at which pure noise selects nothing is known before the noise is. Below a millionth of the
    deviation of y, ``sigma_0``, it is ``(sigma^2 / sigma_0 + sigma_0) / 2``, so that a perfect fit
    has a gradient as well.

    References
    ----------
    Belloni, Chernozhukov and Wang (2011), Square-root lasso: pivotal recovery of sparse signals
    via conic programming.
    Sun and Zhang (2012), Scaled sparse linear regression.
    Ndiaye et al. (2017), Efficient smoothed concomitant lasso estimation for high dimensional
    regression.

    Examples
    --------
    >>> import numpy as np
    >>> z, y = np.zeros((2, 1)), np.array([[3.0], [4.0]])
    >>> s = np.array([0.5, 0.5])
    >>> round(float(s @ SquareRoot().bind(y, s).value(z, y)) ** 2, 9)
    12.5
    """

    smoothness: ClassVar[float | None] = None
    joint: ClassVar[bool] = True

    def __init__(self) -> None:
        self._weight = np.zeros(0)
        self._least = 0.0

    def encode(self, y: Any) -> np.ndarray:
        return single_target(y, "square-root")

    def bind(self, y: np.ndarray, sample_weight: np.ndarray) -> SquareRoot:
        bound = copy.copy(self)
        bound._weight = sample_weight
        mean = float(sample_weight @ y[:, 0])
        own = _norm(y - mean, sample_weight) or _norm(y, sample_weight) or 1.0
        bound._least = _PERFECT * own
        return bound

    def _residual(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float, float]:
        """Residuals, their deviation sigma, and the larger of it and sigma_0."""
        if len(self._weight) != len(y):
            raise ValueError("SquareRoot: samples interact, bind(y, sample_weight) comes first.")
        r = z - y
        sigma = _norm(r, self._weight)
        return r, sigma, max(sigma, self._least)

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        r, sigma, divisor = self._residual(z, y)
        shares: np.ndarray = np.square(r[:, 0] / divisor) * divisor
        return shares if sigma >= self._least else 0.5 * (shares + self._least)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        r, _, divisor = self._residual(z, y)
        return r / divisor

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.full(z.shape, 1 / self._residual(z, y)[2])

    def interaction(self, z: np.ndarray, y: np.ndarray, columns: np.ndarray) -> np.ndarray | None:
        r, sigma, divisor = self._residual(z, y)
        direction = self._weight * r[:, 0] / divisor * (sigma >= self._least)
        return (direction @ columns)[None, :] / np.sqrt(divisor)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        size = _norm(theta, self._weight)
        if size > 1 + ROUNDING:
            return np.full(len(y), np.inf)
        return (theta * y)[:, 0] - 0.5 * self._least * max(1 - size**2, 0.0)

    def mean(self, z: np.ndarray) -> np.ndarray:
        return z


def _norm(x: np.ndarray, weight: np.ndarray) -> float:
    used = weight > 0
    top = float(np.abs(x[used]).max(initial=0.0))
    if top == 0.0 or not np.isfinite(top):
        return top
    return top * float(np.sqrt(weight[used] @ np.square(x[used, 0] / top)))
