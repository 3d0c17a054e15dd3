"""The Moreau envelope: a loss with kinks, made smooth."""

from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.losses.kinked import Kinked, best_shift_of_envelope


class MoreauEnvelope(Loss):
    """``min_x loss(x, y) + |x - z|^2 / (2 step)``: smooth, below the loss, and with its minimum.

    Its gradient at z is a subgradient of the loss at the minimiser. For an encoded target.

    Parameters
    ----------
    loss : Kinked
    step : float > 0
        The smaller, the nearer the envelope is to the loss.

    References
    ----------
    Moreau (1965), Proximity and duality in a Hilbert space (in French).

    Examples
    --------
    >>> import numpy as np
    >>> from gossamer.losses import LeastAbsolute
    >>> MoreauEnvelope(LeastAbsolute(), 1.0).value(np.array([[0.5], [3.0]]), np.zeros((2, 1)))
    array([0.125, 2.5  ])
    """

    def __init__(self, loss: Kinked, step: float) -> None:
        self.loss, self.step = loss, float(step)

    @property
    def smoothness(self) -> float:  # type: ignore[override]
        return 1 / self.step

    def encode(self, y: Any) -> np.ndarray:
        return self.loss.encode(y)

    def value(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        x = self.loss.prox(z, self.step, y)
        return self.loss.value(x, y) + np.square(z - x).sum(axis=1) / (2 * self.step)

    def gradient(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        kink, left, right = self.loss.lines(y)
        # rounding of a short step must not leave the slopes that there are
        return np.clip((z - kink) / self.step, left, right)

    def curvature(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """That of the parabola round the kinks, zero beside it."""
        return (self.loss.prox(z, self.step, y) == self.loss.lines(y)[0]) / self.step

    def conjugate(self, theta: np.ndarray, y: np.ndarray) -> np.ndarray:
        return self.loss.conjugate(theta, y) + self.step / 2 * np.square(theta).sum(axis=1)

    def best_shift(self, z: np.ndarray, y: np.ndarray, s: np.ndarray) -> np.ndarray:
        return best_shift_of_envelope(z, *self.loss.lines(y), self.step, s)

    def mean(self, z: np.ndarray) -> np.ndarray:
        return self.loss.mean(z)
