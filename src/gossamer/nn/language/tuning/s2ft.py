"""S2FT: a few heads and channels are tuned, as dense sub-matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.language.architectures import is_transposed, matrix_of
from gossamer.nn.language.tuning.adapter import Adapted, Adapter
from gossamer.nn.language.tuning.coupled import Attention, attentions, mlps, permute_
from gossamer.nn.language.tuning.registry import ADAPTERS


@ADAPTERS.register
class S2FT(Adapter):
    r"""Structured sparse fine-tuning: heads and channels drawn at random, all else frozen.

    .. math:: y = W x + \Delta x_{1:k}

    for the layers that read heads (the output of the attention) and channels (the second layer of
    the MLP); :math:`\Delta` is (outputs, k). The selected heads and channels are brought to the
    front by permuting the layers that make them and those that read them alike, which leaves the
    model's function what it is. Only k inputs of these layers are kept for the backward pass, and
    nothing of all the others: less than low-rank adapters need, which keep all inputs of each layer
    that they are on.

    Parameters
    ----------
    model : nn.Module
        A transformer of a known architecture.
    heads : float in [0, 1], default 0.05
        Share of the heads, over all blocks, that is tuned.
    channels : float in [0, 1], default 0.02
        Share of the MLPs' channels. Both defaults are the authors', who found outputs of attention
        and MLP to be the layers to tune.
    seed : int, default 0
        Of the selection.

    Attributes
    ----------
    selected : dict from names of layers to integer tensors
        Which of a layer's inputs are tuned, in the order of the model as it was made.

    Raises
    ------
    ValueError
        For shares that are out of range or select nothing, and models of other shapes.

    Notes
    -----
    How many heads a block tunes is drawn at random over all blocks; which of them, block by block:
    where groups of heads share keys and values, heads stay with their group, and groups are filled
    one after the other. :meth:`merge` and :meth:`remove` put the order back. Weights that are zero,
    as those of a pruned model, stay zero.

    References
    ----------
    Yang, Leng, Guo, Zhao, Nakada, Zhang, Yao and Chen (2024), S2FT: efficient, scalable and
    generalizable LLM fine-tuning by structured sparsity.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> sizes = dict(hidden_size=16, intermediate_size=40, num_hidden_layers=2, vocab_size=9)
    >>> model = LlamaForCausalLM(LlamaConfig(num_attention_heads=4, **sizes))
    >>> S2FT(model, heads=0.25, channels=0.1).trained  # 2 of 8 heads of 4, 8 of 80 channels
    256
    """

    def __init__(
        self, model: nn.Module, heads: float = 0.05, channels: float = 0.02, *, seed: int = 0
    ) -> None:
        for name, share in (("heads", heads), ("channels", channels)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be a share in [0, 1], got {share!r}.")
        draws = torch.Generator().manual_seed(seed)
        moves = _moves_of_heads(model, heads, draws) if heads else []
        moves += _moves_of_channels(model, channels, draws) if channels else []
        if not moves:
            raise ValueError(
                f"heads={heads!r} and channels={channels!r} select nothing: ask for larger shares."
            )
        self._moves = {move.name: move for move in moves}
        super().__init__(model, {name: True for name in self._moves})
        for move in moves:
            move.make()
        for layer in self.layers.values():
            assert isinstance(layer, FirstInputs)
            layer.hold_zeros()

    @property
    def selected(self) -> dict[str, Tensor]:
        """Which inputs of the layers are tuned."""
        return {name: move.order[: move.count] for name, move in self._moves.items()}

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        return FirstInputs(layer, self._moves[name].count)

    def remove(self) -> nn.Module:
        model = super().remove()
        for move in self._moves.values():
            move.undo()
        return model

    def state_dict(self) -> dict[str, Tensor]:
        """The change alone, and which inputs it is of."""
        return super().state_dict() | {
            f"{name}.selected": chosen for name, chosen in self.selected.items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        own = {f"{name}.selected": chosen for name, chosen in self.selected.items()}
        if any(not torch.equal(state.get(name, torch.empty(0)), own[name]) for name in own):
            raise ValueError("The state has other heads or channels: make the adapter by its seed.")
        super().load_state_dict({name: v for name, v in state.items() if name not in own})


class FirstInputs(Adapted):
    """A frozen layer, and a change of what its first inputs do."""

    alive: Tensor | None

    def __init__(self, layer: Any, count: int) -> None:
        super().__init__(layer)
        matrix = matrix_of(layer)
        self.delta = nn.Parameter(matrix.new_zeros(len(matrix), count))
        self.register_buffer("alive", None, persistent=False)

    def hold_zeros(self) -> None:
        """Leave what is zero in the layer at zero."""
        alive = matrix_of(self.layer)[:, : self.delta.shape[1]] != 0
        self.alive = None if alive.all() else alive

    @property
    def change(self) -> Tensor:
        """(outputs, k) what is added to the first columns."""
        return self.delta if self.alive is None else self.delta * self.alive

    def forward(self, inputs: Tensor) -> Tensor:
        # a copy: a view would keep all inputs for the backward pass
        first = inputs[..., : self.delta.shape[1]].contiguous()
        return self.layer(inputs) + F.linear(first, self.change)

    def changed_weight(self) -> Tensor:
        changed = matrix_of(self.layer).clone()
        changed[:, : self.delta.shape[1]] += self.change
        return changed.T if is_transposed(self.layer) else changed


@dataclass(frozen=True, eq=False)
class _Move:
    """The order in which a reader's inputs come, and those of its makers' outputs."""

    name: str
    reader: Any
    order: Tensor
    makers: list[tuple[Any, Tensor]]
    count: int

    def make(self) -> None:
        permute_(self.reader, 1, self.order)
        for layer, order in self.makers:
            permute_(layer, 0, order)

    def undo(self) -> None:
        permute_(self.reader, 1, self.order.argsort())
        for layer, order in self.makers:
            permute_(layer, 0, order.argsort())


def _moves_of_channels(model: nn.Module, share: float, draws: torch.Generator) -> list[_Move]:
    found = mlps(model)
    moves = []
    for mlp, count in zip(found, _counts(found, found[0].width, share, draws), strict=True):
        order = torch.randperm(mlp.width, generator=draws)
        makers = [(layer, order) for layer in mlp.makers.values()]
        moves.append(_Move(mlp.name, mlp.reader, order, makers, count))
    return [move for move in moves if move.count]


def _moves_of_heads(model: nn.Module, share: float, draws: torch.Generator) -> list[_Move]:
    found = attentions(model)
    moves = []
    for attention, count in zip(found, _counts(found, found[0].heads, share, draws), strict=True):
        each = attention.heads // attention.shared
        groups = torch.randperm(attention.shared, generator=draws)
        heads = torch.cat([g * each + torch.randperm(each, generator=draws) for g in groups])
        of_heads, of_groups = _channels(heads, attention), _channels(groups, attention)
        orders = (of_heads, of_groups, of_groups)
        makers = list(zip(attention.makers.values(), orders, strict=True))
        size = count * attention.size
        moves.append(_Move(attention.name, attention.reader, of_heads, makers, size))
    return [move for move in moves if move.count]


def _counts(blocks: list[Any], each: int, share: float, draws: torch.Generator) -> list[int]:
    """How many of each block's units are among those drawn from all of them."""
    total = len(blocks) * each
    drawn = torch.randperm(total, generator=draws)[: round(share * total)]
    return torch.bincount(drawn // each, minlength=len(blocks)).tolist()


def _channels(heads: Tensor, attention: Attention) -> Tensor:
    """The channels of heads, in their order."""
    return (heads[:, None] * attention.size + torch.arange(attention.size)).flatten()
