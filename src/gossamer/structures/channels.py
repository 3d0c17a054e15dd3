"""Channels: a neuron, filter or input of a network's layer."""

from dataclasses import dataclass
from math import prod

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.tiling import Tiling


@STRUCTURES.register
@dataclass(frozen=True)
class Channels(Structure):
    """All weights of one channel of a layer: what is removed when the layer gets narrower.

    Parameters
    ----------
    axis : int, default 0
        Of the weight. PyTorch's linear and convolutional layers have outputs (neurons, filters)
        on axis 0 and inputs on axis 1; transposed convolutions the other way round.

    Examples
    --------
    >>> import numpy as np
    >>> weight = np.ones((2, 3, 5, 5))
    >>> Channels().sizes(weight).shape, Channels(axis=1).sizes(weight).shape
    ((2,), (3,))
    """

    axis: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.axis, int) or self.axis < 0:
            raise ValueError(f"Channels: axis must be an integer >= 0, got {self.axis!r}.")

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        if self.axis >= len(shape):
            raise ValueError(
                f"Channels: axis {self.axis} is not there in coefficients of shape {shape}."
            )
        before, after = prod(shape[: self.axis]), prod(shape[self.axis + 1 :])
        count = shape[self.axis]
        return Tiling(shape, (before, count, after), (1, count, 1))
