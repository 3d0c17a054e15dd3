"""Elements: every coefficient on its own."""

from dataclasses import dataclass
from math import prod

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.tiling import Tiling
from gossamer.core.units import Units


@STRUCTURES.register
@dataclass(frozen=True)
class Elements(Structure):
    """Every coefficient is a unit of its own (the default structure).

    >>> import numpy as np
    >>> Elements().sizes(np.array([3.0, -4.0]))
    array([3., 4.])
    """

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        return Tiling(shape, shape, shape)

    def partition(self, shape: tuple[int, ...]) -> Units:
        return Units.singletons(prod(shape))
