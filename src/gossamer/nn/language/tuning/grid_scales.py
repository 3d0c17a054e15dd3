"""GridScales: scales and zero points of a quantised model are tuned, its integers stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.language.architectures import is_transposed
from gossamer.nn.language.quantisation import Quantised
from gossamer.nn.language.tuning.adapter import Adapted, Adapter


class GridScales(Adapter):
    r"""Tunes the scale s and the zero point z of each living group of a quantised model,

    .. math:: w = s \, (c - z),

    while the integers c, and what is pruned, stay as they are: the second stage of GQSA. The whole
    model's loss sees them, where the first stage saw one block at a time.

    Parameters
    ----------
    model : nn.Module
        Compressed by a method that rounds.
    quantised : mapping from layers' names to Quantised
        ``compress(...).quantised``. :meth:`merge` changes their grids too.

    Raises
    ------
    ValueError
        Where nothing is quantised, or a name is no linear layer of the model.

    References
    ----------
    Zeng, Liu, Yang, Chen, Mei and Fu (2025), GQSA: group quantization and sparsity for accelerating
    large language model inference.

    Examples
    --------
    >>> from gossamer.nn.language import GroupQuantiser
    >>> model = nn.Sequential(nn.Linear(4, 2))
    >>> quantiser, weight = GroupQuantiser(2, 4), model[0].weight.detach()
    >>> grid = quantiser.grid(weight)
    >>> mask = torch.tensor([[True], [False]]).expand(2, 4)
    >>> GridScales(model, {"0": Quantised(quantiser, grid, quantiser.codes(weight, grid), mask)})
    GridScales(1 layers, 2 trained entries, 20.00% of the model's)
    """

    def __init__(self, model: nn.Module, quantised: Mapping[str, Quantised]) -> None:
        if not quantised:
            raise ValueError(
                "quantised is empty: compress the model by a method that rounds, such as "
                "gs.nn.language.methods.GQSA()."
            )
        self.quantised = quantised
        super().__init__(model, dict.fromkeys(quantised, True))

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        return Rescaled(layer, self.quantised[name])


class Rescaled(Adapted):
    """A layer of integers with trainable scales and zero points, of the groups that live."""

    codes: Tensor
    places: Tensor

    def __init__(self, layer: Any, quantised: Quantised) -> None:
        super().__init__(layer)
        self.quantised = quantised
        m, p = quantised.mask.shape
        alive = quantised.mask.view(m, -1, quantised.quantiser.group)[:, :, 0]
        self.scales = nn.Parameter(quantised.grid.scales[alive].clone())
        self.zeros = nn.Parameter(quantised.grid.zeros[alive].clone())
        self.register_buffer("places", alive.reshape(-1).nonzero()[:, 0], persistent=False)
        groups = quantised.codes.view(-1, quantised.quantiser.group)
        self.register_buffer("codes", groups[self.places], persistent=False)
        self.shape = (m, p)

    def forward(self, inputs: Tensor) -> Tensor:
        weight = self._matrix().to(self.layer.weight.dtype)
        return F.linear(inputs, weight, self.layer.bias)

    def changed_weight(self) -> Tensor:
        weight = self._matrix().to(self.layer.weight.dtype)
        return weight.t() if is_transposed(self.layer) else weight

    @torch.no_grad()
    def merge_(self) -> None:
        grid = self.quantised.grid
        for whole, own in ((grid.scales, self.scales), (grid.zeros, self.zeros)):
            whole.view(-1)[self.places] = own.half().float()
        weight = self.quantised.weight()
        self.layer.weight.copy_(weight.t() if is_transposed(self.layer) else weight)

    def _matrix(self) -> Tensor:
        """(outputs, inputs), zero but for living groups."""
        living = self.scales[:, None] * (self.codes.float() - self.zeros[:, None])
        whole = living.new_zeros(self.shape[0] * self.shape[1] // living.shape[1], living.shape[1])
        return whole.index_copy(0, self.places, living).view(self.shape)
