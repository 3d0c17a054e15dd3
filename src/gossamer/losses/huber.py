"""Huber: squared error that turns linear for outliers."""

from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import ROUNDING, Loss, numeric_target
from gossamer.core.registry import LOSSES
from gossamer.losses.kinked import best_shift_of_envelope


@LOSSES.register
class Huber(Loss):
    """``r^2 / 2`` for ``|r| <= delta``, ``delta |r| - delta^2 / 2`` beyond, with r = z - y.

    Parameters
    ----------
    delta : float > 0, default 1.35
        In the unit of y: residuals beyond it count linearly. 1.35 times the noise's standard
        deviation keeps 95 % of the efficiency of least squares under Gaussian noise.

    References
    ----------
    Huber (1964), Robust estimation of a location parameter.

    Examples
    --------
    >>> import numpy as np
    >>> Huber(1.0).value(np.array([[0.5], [3.0]]), np.zeros((2, 1)))
    array([0.125, 2.5  ])
    """

    smoothness: ClassVar[float | None] = 1.0
    takes_columns: ClassVar[bool] = True

    def __init__(self, delta: float = 1.35) -> None:
        if not (np.isfinite(delta) and delta > 0):
            raise ValueError(f"Huber: delta must be a finite number > 0, got {delta}.")
        self.delta = float(delta)

    def encode(self, y: Any) -> np.ndarray:
        return numeric_target(y, "Huber")

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        r = np.abs(z - y)
        inside = np.minimum(r, self.delta)
        return (inside * (r - 0.5 * inside)).sum(axis=1)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.clip(z - y, -self.delta, self.delta)

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (np.abs(z - y) <= self.delta).astype(float)

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        inside = np.abs(theta) <= self.delta * (1 + ROUNDING)
        return np.where(inside, theta * (0.5 * theta + y), np.inf).sum(axis=1)

    def best_shift(self, z: np.ndarray, y: np.ndarray, s: np.ndarray) -> np.ndarray:
        steepest = np.full_like(y, self.delta)
        return best_shift_of_envelope(z, y, -steepest, steepest, 1.0, s)

    def mean(self, z: np.ndarray) -> np.ndarray:
        return z
