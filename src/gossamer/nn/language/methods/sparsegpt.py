"""SparseGPT: weights go one column after the other, and the columns after it make up for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gossamer.core.structure import Structure
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.pruning.registries import piece_of
from gossamer.structures import Elements


@METHODS.register
@dataclass
class SparseGPT(Method):
    r"""Columns from left to right: weights go, and those to the right of them take their part.

    With the upper triangular U of :math:`U^\top U = (H + \lambda I)^{-1}`, the best that weights
    right of column j can do when :math:`w_{ij}` goes is

    .. math:: w_{ik} \leftarrow w_{ik} - \frac{w_{ij}}{U_{jj}} U_{jk}, \qquad k > j,

    and the error of the outputs grows by :math:`w_{ij}^2 / U_{jj}^2`, which is the score. Weights
    are chosen when all those left of their block are done: in blocks of columns that each keep the
    same share, or tile by tile in patterns such as 2:4. Where units reach over more columns than a
    block has, as whole rows do, all are chosen at the start as :class:`Wanda` does.

    Parameters
    ----------
    damping : float > 0, default 0.01
        :math:`\lambda` relative to the mean of H's diagonal; the authors'.
    block_size : int >= 1, default 128
        Columns of a block; the authors'.
    start : str or Method, optional
        Another method that chooses which weights stay; these then make up for the others.

    References
    ----------
    Frantar and Alistarh (2023), SparseGPT: massive language models can be accurately pruned in
    one-shot.

    Examples
    --------
    Two inputs that are always the same: one weight does the work of both.

    >>> import torch
    >>> from gossamer.nn.language import InputStatistics
    >>> from gossamer.structures import Elements
    >>> seen = InputStatistics(2)
    >>> seen.add(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
    >>> layer = Layer("fc", torch.tensor([[1.0, 2.0]]), seen, Elements(), 0.5)
    >>> SparseGPT(damping=1e-6).solve(layer).weight
    tensor([[0.0000, 3.0000]])
    """

    damping: float = 0.01
    block_size: int = 128
    start: str | Method | None = None

    def __post_init__(self) -> None:
        if not self.damping > 0:
            raise ValueError(f"SparseGPT: damping must be > 0, got {self.damping!r}.")
        size = self.block_size
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"SparseGPT: block_size must be an integer >= 1, got {size!r}.")
        if self.start is not None:
            piece_of(METHODS, self.start, Method)

    @property
    def on(self) -> Structure:
        return Elements() if self.start is None else piece_of(METHODS, self.start, Method).on

    def solve(self, layer: Layer) -> Solved:
        root = layer.statistics.inverse_root(self.damping)
        width = _narrowest(layer, self.block_size)
        if self.start is not None or width is None:
            first = piece_of(METHODS, "wanda" if self.start is None else self.start, Method)
            mask = first.solve(layer).mask
            return Solved(*swept(layer.weight, root, _given(mask), self.block_size))
        block = self.block_size // width * width
        step = block if layer.part.fixed is None else width
        return Solved(*swept(layer.weight, root, _chooser(layer, root), block, step))


# Of the first column's number and some columns (width, m): which of their weights stay.
Choose = Callable[[int, Tensor], Tensor]
# Of a column's number and the column (m,): what its weights become if they stay.
Rounded = Callable[[int, Tensor], Tensor]


def swept(
    weight: Tensor,
    root: Tensor,
    choose: Choose,
    block_size: int,
    step: int | None = None,
    rounded: Rounded | None = None,
) -> tuple[Tensor, Tensor]:
    """The weight (m, p) after all columns are done, and its mask.

    Weights are chosen ``step`` columns at a time, by default a block; those that stay may be
    rounded, which later ones make up for too. Within a block each column
    changes the others at once; those right of it are changed by one product of matrices.
    """
    left = weight.T.clone(memory_format=torch.contiguous_format)  # a row of it is a column
    alive = torch.ones_like(left, dtype=torch.bool)
    changes = root / root.diagonal()[:, None]
    for start in range(0, len(left), block_size):
        end = min(start + block_size, len(left))
        block, gone = left[start:end], torch.zeros_like(left[start:end])
        for i in range(end - start):
            if i % (step or block_size) == 0:
                at = slice(i, i + (step or block_size))
                alive[start:end][at] = choose(start + i, block[at])
            stays = block[i] if rounded is None else rounded(start + i, block[i])
            gone[i] = block[i] - stays * alive[start + i]
            block[i:].addr_(changes[start + i, start + i : end], gone[i], alpha=-1)
        left[end:].addmm_(changes[start:end, end:].T, gone, alpha=-1)
    return (left * alive).T.contiguous(), alive.T.contiguous()


def _given(mask: Tensor) -> Choose:
    """What a mask (m, p) says."""
    return lambda first, columns: mask[:, first : first + len(columns)].T


def _chooser(layer: Layer, root: Tensor) -> Choose:
    """The largest scores among some columns: of a layer's units, the share that falls to them.

    Inputs that are always zero have no score: damping alone would give them one.
    """
    total = layer.weight.shape[1]
    importance = root.diagonal() ** -2 * (layer.hessian.diagonal() > 0)
    slices: dict[int, Layer] = {}

    def choose(first: int, columns: Tensor) -> Tensor:
        width = len(columns)
        if width not in slices:
            slices[width] = replace(layer, weight=layer.weight[:, :width])
        grain = slices[width].part.grain
        before, after = (round(layer.count * at / total / grain) for at in (first, first + width))
        scores = (columns.square() * importance[first : first + width, None]).T.contiguous()
        return slices[width].mask(scores, (after - before) * grain).T

    return choose


def _narrowest(layer: Layer, most: int) -> int | None:
    """The fewest columns that are patterned as the whole weight is; None if that is too many."""
    total = layer.weight.shape[1]
    for width in range(1, min(most, total) + 1):
        if total % width == 0 and _is_slice(layer, width):
            return width
    return None


def _is_slice(layer: Layer, width: int) -> bool:
    """Whether so many columns hold their share of the units, and as many are free to stay."""
    try:
        part = replace(layer, weight=layer.weight[:, :width]).part
    except ValueError:
        return False
    times = layer.weight.shape[1] // width
    fixed = part.fixed is None or part.fixed * times == layer.part.fixed
    return fixed and part.count * times == layer.part.count
