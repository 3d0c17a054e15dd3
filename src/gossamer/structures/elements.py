"""Elements: every coefficient on its own."""

from dataclasses import dataclass

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.units import Units


@STRUCTURES.register
@dataclass(frozen=True)
class Elements(Structure):
    """Every coefficient is a unit of its own (the default structure).

    >>> import numpy as np
    >>> Elements().sizes(np.array([3.0, -4.0]))
    array([3., 4.])
    """

    def partition(self, shape: tuple[int, int]) -> Units:
        return Units.singletons(shape[0] * shape[1])
