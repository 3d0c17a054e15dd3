"""Tweedie: amounts that are often exactly zero, with a log link."""

from typing import Any, ClassVar

import numpy as np
from scipy.special import xlogy

from gossamer.core.loss import ROUNDING, Loss, nonnegative_target
from gossamer.core.registry import LOSSES

_ELSEWHERE = {0.0: "Quadratic()", 1.0: "Poisson()", 2.0: "Gamma()"}


@LOSSES.register
class Tweedie(Loss):
    r"""Half the Tweedie deviance of amounts y >= 0 whose variance grows as ``mean^power``.

    .. math:: \frac{e^{(2-p) z}}{2-p} + \frac{y\, e^{-(p-1) z}}{p-1}
        - \frac{y^{2-p}}{(p-1)(2-p)}, \qquad 1 < p < 2

    A sum of Poisson many Gamma amounts: claims, rainfall, expenses. As the power tends to one the
    loss tends to that of :class:`Poisson`, as it tends to two (and y > 0) to that of
    :class:`Gamma`.

    Parameters
    ----------
    power : float in (1, 2), default 1.5

    References
    ----------
    Jorgensen (1987), Exponential dispersion models.

    Examples
    --------
    >>> import numpy as np
    >>> Tweedie().value(np.log([[4.0], [4.0]]), np.array([[4.0], [0.0]]))
    array([0., 4.])
    """

    smoothness: ClassVar[float | None] = None
    takes_columns: ClassVar[bool] = True

    def __init__(self, power: float = 1.5) -> None:
        if power in _ELSEWHERE:
            raise ValueError(f"Tweedie: power {power:g} is {_ELSEWHERE[power]}, use that.")
        if not 1 < power < 2:
            raise ValueError(f"Tweedie: power must be in (1, 2), got {power}.")
        self.power = float(power)

    def encode(self, y: Any) -> np.ndarray:
        return nonnegative_target(y, "Tweedie")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        rise, fall = 2 - self.power, self.power - 1
        some = y > 0
        log_y = np.log(np.where(some, y, 1.0))
        excess = np.where(some, z - log_y, 0.0)
        with np.errstate(over="ignore"):
            # in units of y^(2-p) a function of the ratio, zero where the prediction is perfect
            above = np.expm1(rise * excess) / rise + np.expm1(-fall * excess) / fall
            alone = np.exp(rise * z) / rise
            return np.where(some, np.exp(rise * log_y) * above, alone).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        rise, fall = self._terms(z, y)
        return rise - fall

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        rise, fall = self._terms(z, y)
        return (2 - self.power) * rise + (self.power - 1) * fall

    def _terms(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(over="ignore"):
            fall = np.where(y > 0, y, 0.0) * np.exp(np.where(y > 0, (1 - self.power) * z, 0.0))
            return np.exp((2 - self.power) * z), fall

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        rise = 2 - self.power
        some = y > 0
        # without a target the rising term is alone
        inside = some | (theta >= -ROUNDING)
        alone = np.maximum(theta, 0.0)
        alone = (xlogy(alone, alone) - alone) / rise
        log_y = np.log(np.where(some, y, 1.0))
        unit = np.exp(rise * log_y)
        slope = theta / unit
        excess = _log_ratio(slope, rise)
        above = np.expm1(rise * excess) / rise + np.expm1((rise - 1) * excess) / (1 - rise)
        amounts = theta * log_y + unit * (slope * excess - above)
        return np.where(inside, np.where(some, amounts, alone), np.inf).sum(axis=1)

    def mean(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.exp(z)


def _log_ratio(slope: np.ndarray, rise: float) -> np.ndarray:
    """The root r of ``exp(a r) - exp(-(1 - a) r) = slope`` for a = rise, to rounding.

    For a positive slope it is the root of ``a r - log(slope + exp(-(1 - a) r))``, which is concave
    and increasing: Newton's method converges from everywhere, from below after one step. Mirrored,
    a negative slope is the same.
    """
    size = np.abs(slope)
    a = np.where(slope >= 0, rise, 1 - rise)
    r = np.log1p(size)
    for _ in range(60):
        decay = np.exp((a - 1) * r)
        step = (a * r - np.log(size + decay)) / (a + (1 - a) * decay / (size + decay))
        r = r - step
        if (np.abs(step) <= 1e-15 * np.abs(r)).all():
            break
    return np.sign(slope) * r
