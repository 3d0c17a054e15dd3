"""Rows: a feature is kept or dropped for all outputs at once."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.units import Units


@STRUCTURES.register
@dataclass(frozen=True)
class Rows(Structure):
    """Row ``j`` of a (p, K) coefficient array, feature ``j`` in all K outputs, is one unit.

    With one output it is :class:`Elements`.

    >>> import numpy as np
    >>> Rows().sizes(np.array([[3.0, -4.0], [0.0, 1.0]]))
    array([5., 1.])
    """

    def partition(self, shape: tuple[int, int]) -> Units:
        p, n_outputs = shape
        return Units(np.arange(p * n_outputs), np.arange(p + 1) * n_outputs)
