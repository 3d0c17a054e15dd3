"""Blocks: rectangular tiles of a weight."""

from dataclasses import dataclass
from math import prod

from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.tiling import Tiling


@STRUCTURES.register
@dataclass(frozen=True)
class Blocks(Structure):
    """Tiles of ``rows`` x ``columns`` of the weight seen as a matrix (outputs, everything else).

    Parameters
    ----------
    shape : (rows, columns)
        Of a block; each must divide the weight's. (16, 1) suits vector instructions.

    Examples
    --------
    >>> import numpy as np
    >>> Blocks((2, 2)).sizes(np.arange(8.0).reshape(2, 4)).round(2)
    array([6.48, 9.9 ])
    """

    shape: tuple[int, int]

    def __post_init__(self) -> None:
        block = tuple(self.shape)
        if len(block) != 2 or not all(isinstance(size, int) and size > 0 for size in block):
            raise ValueError(f"Blocks: shape must be two integers > 0, got {self.shape!r}.")
        object.__setattr__(self, "shape", block)

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        p, K = shape[0], prod(shape[1:])
        rows, columns = self.shape
        if p % rows or K % columns:
            raise ValueError(
                f"Blocks: {rows} x {columns} blocks do not tile coefficients of shape {shape}: "
                f"{rows} must divide {p} and {columns} must divide {K}."
            )
        view = (p // rows, rows, K // columns, columns)
        return Tiling(shape, view, (p // rows, 1, K // columns, 1))
