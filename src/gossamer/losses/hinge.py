"""Hinge: two classes with a margin, the support vector machine's loss."""

from typing import Any, ClassVar

import numpy as np

from gossamer.core.loss import binary_target
from gossamer.core.registry import LOSSES
from gossamer.losses.kinked import Kinked


@LOSSES.register
class Hinge(Kinked):
    """``max(0, 1 - t z)`` with t = 2 y - 1 in {-1, 1}.

    It decides, and says nothing of probabilities: :meth:`mean` is the margin z itself.

    References
    ----------
    Zhu, Rosset, Hastie and Tibshirani (2003), 1-norm support vector machines.

    Examples
    --------
    >>> import numpy as np
    >>> Hinge().value(np.array([[2.0], [0.0]]), np.array([[1.0], [1.0]]))
    array([0., 1.])
    """

    classifies: ClassVar[bool] = True
    is_likelihood: ClassVar[bool] = False

    def encode(self, y: Any) -> np.ndarray:
        return binary_target(y, "hinge")

    def lines(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return 2 * y - 1, -y, 1 - y

    def mean(self, z: np.ndarray) -> np.ndarray:
        return z
