"""Least absolute deviations."""

from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import numeric_target
from gossamer.core.registry import LOSSES
from gossamer.losses.kinked import Kinked


@LOSSES.register
class LeastAbsolute(Kinked):
    """``|z - y|``: the median, which outliers of any size leave where it is.

    Twice ``Quantile(0.5)``, so that a strength counts half as much beside it.

    References
    ----------
    Wang, Li and Jiang (2007), Robust regression shrinkage and consistent variable selection
    through the LAD-lasso.

    Examples
    --------
    >>> import numpy as np
    >>> LeastAbsolute().value(np.array([[1.0], [1.0]]), np.array([[3.0], [0.0]]))
    array([2., 1.])
    """

    takes_columns: ClassVar[bool] = True

    def encode(self, y: Any) -> np.ndarray:
        return numeric_target(y, "least absolute")

    def lines(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return y, -np.ones_like(y), np.ones_like(y)

    def mean(self, z: np.ndarray) -> np.ndarray:
        """The prediction is a median: z itself."""
        return z
