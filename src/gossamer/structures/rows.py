"""Rows: a feature is kept or dropped for all outputs at once."""

from dataclasses import dataclass
from math import prod

import numpy as np

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.tiling import Tiling
from gossamer.core.units import Units


@STRUCTURES.register
@dataclass(frozen=True)
class Rows(Structure):
    """Row ``j`` of the array is one unit: of (p, K) coefficients, feature ``j`` in all K outputs.

    With one output it is :class:`Elements`. In the weight of a network, whose first axis is the
    outputs, a row is a neuron.

    >>> import numpy as np
    >>> Rows().sizes(np.array([[3.0, -4.0], [0.0, 1.0]]))
    array([5., 1.])
    """

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        rest = prod(shape[1:])
        return Tiling(shape, (shape[0], rest), (shape[0], 1))

    def partition(self, shape: tuple[int, ...]) -> Units:
        p, length = shape[0], prod(shape[1:])
        return Units(np.arange(p * length), np.arange(p + 1) * length)
