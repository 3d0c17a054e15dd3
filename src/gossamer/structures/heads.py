"""Heads: equal consecutive slices of a layer, such as attention heads."""

from dataclasses import dataclass
from math import prod

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.tiling import Tiling


@STRUCTURES.register
@dataclass(frozen=True)
class Heads(Structure):
    """``n`` equal slices of consecutive channels, each one unit.

    Parameters
    ----------
    n : int
        Number of heads; must divide the size of the axis.
    axis : int, default 0
        0 for the projections into heads (queries, keys, values), 1 for the one out of them.

    Examples
    --------
    >>> import numpy as np
    >>> Heads(2).sizes(np.ones((4, 8)))
    array([4., 4.])
    """

    n: int
    axis: int = 0

    def __post_init__(self) -> None:
        for name in ("n", "axis"):
            value, least = getattr(self, name), int(name == "n")
            if not isinstance(value, int) or value < least:
                raise ValueError(f"Heads: {name} must be an integer >= {least}, got {value!r}.")

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        if self.axis >= len(shape) or shape[self.axis] % self.n:
            raise ValueError(
                f"Heads: axis {self.axis} of coefficients of shape {shape} does not split into "
                f"{self.n} equal heads."
            )
        before, after = prod(shape[: self.axis]), prod(shape[self.axis + 1 :])
        length = shape[self.axis] // self.n
        return Tiling(shape, (before, self.n, length, after), (1, self.n, 1, 1))
