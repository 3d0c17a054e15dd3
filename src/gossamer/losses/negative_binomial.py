"""Negative binomial: counts that scatter more than Poisson's, with a log link."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, xlog1py, xlogy

from gossamer.core.loss import ROUNDING, Loss, nonnegative_target
from gossamer.core.registry import LOSSES


@LOSSES.register
class NegativeBinomial(Loss):
    r"""Half the deviance of counts y >= 0 with variance ``mean + dispersion mean^2`` (NB2).

    .. math:: (y + 1/\alpha) \log(1 + \alpha e^z) - y z - \text{its least value}

    for the dispersion :math:`\alpha`. It is convex in z, and tends to the loss of
    :class:`Poisson` as the dispersion tends to zero.

    Parameters
    ----------
    dispersion : float > 0, default 1.0
        One over what R calls theta or size.

    References
    ----------
    Hilbe (2011), Negative binomial regression. Venables and Ripley (2002), section 7.4.

    Examples
    --------
    >>> import numpy as np
    >>> NegativeBinomial(0.5).value(np.log([[2.0], [4.0]]), np.full((2, 1), 2.0)).round(4)
    array([0.    , 0.2356])
    """

    smoothness: ClassVar[float | None] = None
    takes_columns: ClassVar[bool] = True

    def __init__(self, dispersion: float = 1.0) -> None:
        if not (np.isfinite(dispersion) and dispersion > 0):
            raise ValueError(
                f"NegativeBinomial: dispersion must be a finite number > 0, got {dispersion}. "
                "Without any it is Poisson()."
            )
        self.dispersion = float(dispersion)

    def encode(self, y: Any) -> np.ndarray:
        return nonnegative_target(y, "negative binomial")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        trials = y + 1 / self.dispersion
        excess = np.logaddexp(0.0, z + np.log(self.dispersion)) - np.log1p(self.dispersion * y)
        return (trials * excess - y * z + xlogy(y, y)).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        log_odds = z + np.log(self.dispersion)
        return expit(log_odds) / self.dispersion - y * expit(-log_odds)

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        log_odds = z + np.log(self.dispersion)
        return (y + 1 / self.dispersion) * expit(log_odds) * expit(-log_odds)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        rate, room = theta + y, 1 - self.dispersion * theta
        inside = (rate >= -ROUNDING * (1 + y)) & (room >= -ROUNDING)
        rate, room = np.maximum(rate, 0.0), np.maximum(room, 0.0)
        value = xlogy(rate, rate) - xlogy(y, y) + xlog1py(room, room - 1) / self.dispersion
        return np.where(inside, value, np.inf).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z)
