"""GQSA: groups of weights go, those that stay become four-bit numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gossamer.core.structure import Structure
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.methods.sparsegpt import swept
from gossamer.nn.language.quantisation import Grid, GroupQuantiser, Quantised
from gossamer.nn.pruning.registries import piece_of
from gossamer.structures import Blocks


@METHODS.register
@dataclass
class GQSA(Method):
    r"""Groups of inputs of an output, pruned whole and quantised each to a grid of its own.

    A group matters by the rise of the error when it goes and all other weights of its output make
    up for it,

    .. math:: w_g^\top \left( [H^{-1}]_{gg} \right)^{-1} w_g .

    Then, group after group, weights are set to zero or rounded, and those that follow make up for
    what that changes. Another method may choose the groups and the weights that are rounded:
    ``start="admm"`` takes longer and is far nearer to the dense model. This is the start; the
    published accuracy comes from two further stages: ``compress(..., refine=BlockTuning())`` trains
    the weights of each block through the rounding, and :class:`gossamer.nn.language.GridScales`
    tunes scales and zero points in the whole model.

    Parameters
    ----------
    bits : int from 2 to 8, default 4
        Of a weight that stays.
    group : int, default 16
        Inputs that live or die together and share a scale and a zero point of half precision.
    damping : float > 0, default 0.01
        Added to the diagonal of H, as a share of its mean.
    start : str or Method, optional
        The method whose sparse weights are rounded, and whose outputs are kept; by default the
        rises above choose among the dense ones.

    References
    ----------
    Zeng, Liu, Yang, Chen, Mei and Fu (2025), GQSA: group quantization and sparsity for accelerating
    large language model inference.

    Examples
    --------
    >>> from gossamer.nn.language import InputStatistics
    >>> seen = InputStatistics(4)
    >>> seen.add(torch.eye(4))
    >>> layer = Layer("fc", torch.tensor([[0.1, 0.2, 7.5, -3.75]]), seen, Blocks((1, 2)), 0.5)
    >>> GQSA(group=2).solve(layer).weight
    tensor([[ 0.0000,  0.0000,  7.5000, -3.7500]])
    """

    bits: int = 4
    group: int = 16
    damping: float = 0.01
    start: str | Method | None = None

    def __post_init__(self) -> None:
        self.quantiser = GroupQuantiser(self.bits, self.group)
        if not self.damping > 0:
            raise ValueError(f"GQSA: damping must be > 0, got {self.damping!r}.")
        if self.start is not None and isinstance(piece_of(METHODS, self.start, Method), GQSA):
            raise ValueError(f"GQSA: start must not round by itself, got {self.start!r}.")

    @property
    def on(self) -> Structure:
        return Blocks((1, self.group))

    def solve(self, layer: Layer) -> Solved:
        if layer.structure != self.on:
            raise ValueError(
                f"GQSA of group={self.group} prunes {self.on!r}, got {layer.structure!r} for "
                f"{layer.name!r}: leave on= out."
            )
        root = layer.statistics.inverse_root(self.damping)
        sparse = self._begun(layer, root)
        rounding = _Rounding(self.quantiser, sparse.mask)
        group = self.group
        swept(sparse.weight, root, rounding.choose, group * max(1, 128 // group), group, rounding)
        quantised = Quantised(self.quantiser, rounding.grid, rounding.codes, sparse.mask)
        facts = {"bits": self.bits, "bytes": quantised.bytes}
        return Solved(quantised.weight(), sparse.mask, facts=facts, quantised=quantised)

    def _begun(self, layer: Layer, root: Tensor) -> Solved:
        """The weights to be rounded, and which of them stay."""
        if self.start is None:
            return Solved(layer.weight, layer.mask(self._rises(layer.weight, root.T @ root)))
        found: Solved = piece_of(METHODS, self.start, Method).solve(layer)
        groups = found.mask.reshape(len(found.mask), -1, self.group)
        if bool((groups.any(2) != groups.all(2)).any()):
            raise ValueError(f"GQSA: start={self.start!r} keeps parts of groups of {self.group}.")
        return found

    def _rises(self, weight: Tensor, inverse: Tensor) -> Tensor:
        """(m, p) the rise of the error by each group, spread evenly over its weights."""
        rises = torch.empty_like(weight)
        for start in range(0, weight.shape[1], self.group):
            at = slice(start, start + self.group)
            part = weight[:, at].double()
            rise = (torch.linalg.solve(inverse[at, at].double(), part.T) * part.T).sum(0)
            rises[:, at] = (rise / self.group).float()[:, None]
        return rises


class _Rounding:
    """Rounds column after column; each group has the grid of what its weights are by then."""

    def __init__(self, quantiser: GroupQuantiser, mask: Tensor) -> None:
        m, p = mask.shape
        self.quantiser, self.mask = quantiser, mask
        self.grid = Grid(torch.ones(m, p // quantiser.group), torch.zeros(m, p // quantiser.group))
        self.codes = torch.zeros(m, p, dtype=torch.uint8)
        self._column = replace(quantiser, group=1)

    def choose(self, first: int, columns: Tensor) -> Tensor:
        """Which of a group's weights stay; their grid is made here."""
        at = slice(first // self.quantiser.group, first // self.quantiser.group + 1)
        own = self.quantiser.grid(columns.T)
        self.grid.scales[:, at], self.grid.zeros[:, at] = own.scales, own.zeros
        return self.mask[:, first : first + len(columns)].T

    def __call__(self, number: int, column: Tensor) -> Tensor:
        """The column on the grid."""
        at = number // self.quantiser.group
        own = Grid(self.grid.scales[:, at : at + 1], self.grid.zeros[:, at : at + 1])
        codes = self._column.codes(column[:, None], own)
        self.codes[:, number : number + 1] = codes
        return self._column.decoded(codes, own)[:, 0]
