"""Quantile: the pinball loss."""

from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import numeric_target
from gossamer.core.registry import LOSSES
from gossamer.losses.kinked import Kinked


@LOSSES.register
class Quantile(Kinked):
    """``level r`` for r = y - z above zero, ``(level - 1) r`` below: its least is the quantile.

    Parameters
    ----------
    level : float in (0, 1), default 0.5
        The share of samples that shall lie below the prediction; 0.5 is the median.

    References
    ----------
    Koenker and Bassett (1978), Regression quantiles.

    Examples
    --------
    >>> import numpy as np
    >>> Quantile(0.9).value(np.array([[1.0], [1.0]]), np.array([[3.0], [0.0]]))
    array([1.8, 0.1])
    """

    takes_columns: ClassVar[bool] = True

    def __init__(self, level: float = 0.5) -> None:
        if not 0 < level < 1:
            raise ValueError(f"Quantile: level must be a number in (0, 1), got {level}.")
        self.level = float(level)

    def encode(self, y: Any) -> np.ndarray:
        return numeric_target(y, "quantile")

    def lines(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return y, np.full_like(y, -self.level), np.full_like(y, 1 - self.level)

    def mean(self, z: np.ndarray) -> np.ndarray:
        """The prediction is a quantile, not a mean: z itself."""
        return z
