"""SPP: multipliers of rows and columns tune what is left of a pruned weight."""

from __future__ import annotations

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.language.architectures import is_transposed
from gossamer.nn.language.tuning.adapter import Adapted, Adapter, On
from gossamer.nn.language.tuning.registry import ADAPTERS
from gossamer.nn.language.tuning.remade import remade_linear


@ADAPTERS.register
class SPP(Adapter):
    r"""Weights multiplied by what is learnt of rows and columns, so that zeros stay zero.

    .. math:: W'_{ij} = W_{ij} \, (1 + s \, A_{b(i) j} \, \beta_i)

    for an output i, an input j and the block b(i) of neighbouring outputs. A is drawn at random,
    :math:`\beta` starts at zero and with it the change. A layer of m outputs and n inputs trains
    r n + m numbers. The pass back makes the gradient of a weight for a moment, as full training
    does, and keeps the layer's inputs only.

    Parameters
    ----------
    model : nn.Module
        With zeros in its weights, or dense. Changed in place, as every :class:`Adapter`.
    on : rules, default "*"
        Which linear layers are adapted.
    blocks : int >= 1, default 16
        r, the rows of A: 16 is the authors'. A layer of fewer outputs has as many as these.
    scale : float > 0, default 2.0
        s, of the authors' settings.
    dropout : float in [0, 1), default 0.0
        Of the inputs that the change sees, in training; it costs a second product with the weight.
        The authors take 0.05, for many epochs.
    seed : int, default 0
        Of A.

    Raises
    ------
    ValueError
        For settings out of their ranges, and as every adapter.

    References
    ----------
    Lu, Zhou, Xu, Zhang, Gao and Li (2024), SPP: Sparsity-preserved parameter-efficient fine-tuning
    for large language models.

    Examples
    --------
    >>> import gossamer as gs
    >>> model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4))
    >>> masks = gs.nn.prune(model, keep=0.5, on={"1": gs.Elements()})
    >>> adapter = SPP(model, blocks=2)
    >>> adapter
    SPP(1 layers, 20 trained entries, 29.41% of the model's)
    >>> tokens = torch.arange(4).repeat(2, 5)
    >>> tuned = gs.nn.language.fine_tune(model, [tokens], adapter, steps=50, lr=0.1)
    >>> tuned.losses[-1] < tuned.losses[0] / 2
    True
    >>> int((adapter.merge()[1].weight != 0).sum())
    16
    """

    def __init__(
        self,
        model: nn.Module,
        on: On = "*",
        *,
        blocks: int = 16,
        scale: float = 2.0,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 1:
            raise ValueError(f"SPP: blocks must be an integer >= 1, got {blocks!r}.")
        if not scale > 0:
            raise ValueError(f"SPP: scale must be > 0, got {scale!r}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"SPP: dropout must be in [0, 1), got {dropout!r}.")
        self.blocks, self.scale, self.dropout = blocks, scale, dropout
        self._generator = torch.Generator().manual_seed(seed)
        super().__init__(model, on)

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        return Multiplied(layer, self.blocks, self.scale, self.dropout, self._generator)


class Multiplied(Adapted):
    """A layer whose weight is multiplied by one plus scale times A of a row's block times beta.

    Attributes
    ----------
    columns : parameter (blocks, inputs)
        A, of single precision at least, as the optimiser's small steps need.
    rows : parameter (outputs,)
        Beta.
    """

    block_of: Tensor

    def __init__(
        self, layer: Any, blocks: int, scale: float, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__(layer)
        self.scale, self.dropout = scale, dropout
        outputs, inputs = self._outputs_first(layer.weight).shape
        blocks = min(blocks, outputs)
        exact = torch.promote_types(layer.weight.dtype, torch.float32)
        drawn = (2 * torch.rand(blocks, inputs, generator=generator) - 1) / sqrt(inputs)
        device = layer.weight.device
        self.columns = nn.Parameter(drawn.to(device, exact))
        self.rows = nn.Parameter(torch.zeros(outputs, dtype=exact, device=device))
        block_of = torch.arange(outputs, device=device) * blocks // outputs
        self.register_buffer("block_of", block_of, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        parameters = (self.columns, self.rows)
        if self.training and self.dropout:
            dropped = F.dropout(inputs, self.dropout)
            outputs: Tensor = self.layer(inputs) + remade_linear(dropped, self._change, parameters)
            return outputs
        return remade_linear(inputs, self._changed, parameters, self.layer.bias)

    def changed_weight(self) -> Tensor:
        return self._outputs_first(self._changed())

    def _changed(self) -> Tensor:
        weight = self._outputs_first(self.layer.weight)
        return torch.addcmul(weight, weight, self._factors())

    def _change(self) -> Tensor:
        return self._outputs_first(self.layer.weight) * self._factors()

    def _factors(self) -> Tensor:
        """By what the weight (outputs, inputs) is multiplied beside one."""
        factors = self.columns.index_select(0, self.block_of) * (self.scale * self.rows)[:, None]
        return factors.to(self.layer.weight.dtype)

    def _outputs_first(self, weight: Tensor) -> Tensor:
        return weight.t() if is_transposed(self.layer) else weight
