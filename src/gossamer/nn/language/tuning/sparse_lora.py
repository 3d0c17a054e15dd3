"""SparseLoRA: low-rank fine-tuning that computes few channels of the frozen weights."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.language.architectures import is_transposed, matrix_of
from gossamer.nn.language.tuning.adapter import Adapted, Adapter
from gossamer.nn.language.tuning.channel_choices import (
    Choice,
    MlpChoice,
    QueryKeyChoice,
    ValueChoice,
)
from gossamer.nn.language.tuning.coupled import attentions, mlps
from gossamer.nn.language.tuning.registry import ADAPTERS

_UNLABELLED = -100


@ADAPTERS.register
class SparseLoRA(Adapter):
    r"""Low-rank adapters on frozen weights of which each batch computes the channels it needs.

    .. math:: y = P_C (W x + b) + B A x, \qquad
        C = \text{the largest of } \|\sigma(\hat G X)_c \odot (\hat U X)_c\|_2

    for the layers that make the channels of an MLP, and :math:`W P_C` for the one that reads them;
    :math:`\hat G, \hat U` are the frozen weights at low rank, by singular values, once at the
    start. In attention, channels of queries and keys are chosen together, by the product of their
    norms, and those of values with the inputs of the output layer. Both passes skip what is not
    chosen. In evaluation everything is computed; merging gives a dense model.

    Parameters
    ----------
    model : nn.Module
        A transformer of a known architecture, with separate layers of queries, keys and values.
    rank : int >= 1, default 8
        Of the adapters, which are on all layers of attention and MLP.
    channels : float in (0, 1], default 0.5
        Share of the MLP's channels that is computed.
    attention : float in (0, 1], default 1
        Share of the channels of queries, keys and values.
    blocks : collection of int, optional
        Which blocks are sparse. By default all but the first tenth (at least one) and the last,
        which the authors found to be sensitive.
    start : float in [0, 1], default 0.05
        Share of the steps before which everything is computed.
    scale : float, default 2
        Multiplies :math:`B A`.
    estimator_rank : int >= 1, default 8
    activation : function, default SiLU
        :math:`\sigma`, of the MLP.
    seed : int, default 0
        Of A; B starts at zero.

    Attributes
    ----------
    choices : list of Choice
        Of all sparse blocks.
    extent : Extent
        Which tokens are sparse. Its ``context`` is how many of those that each row begins with;
        the others, which the loss is about, are computed whole. ``None``, the default, is all of
        them. Where the model is called with ``labels`` it is set to as many as have a label of
        -100 in all rows.

    Raises
    ------
    ValueError
        For shares and ranks out of range, blocks that are not there, models of other shapes.

    Notes
    -----
    The choice costs ``estimator_rank`` (inputs + outputs) multiplications a token and layer. Chosen
    rows of a weight are copied, in both passes, so that few tokens gain nothing. Move the model to
    its device first: the weights at low rank stay where they were made.

    References
    ----------
    Khaki, Li, Guo, Zhu, Xu, Plataniotis, Yazdanbakhsh, Keutzer, Han and Liu (2025), SparseLoRA:
    accelerating LLM fine-tuning with contextual sparsity.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> sizes = dict(hidden_size=16, intermediate_size=40, num_hidden_layers=3, vocab_size=9)
    >>> model = LlamaForCausalLM(LlamaConfig(num_attention_heads=4, **sizes))
    >>> adapter = SparseLoRA(model, rank=2, channels=0.25)
    >>> len(adapter.choices), adapter.trained
    (1, 1776)
    """

    def __init__(
        self,
        model: nn.Module,
        rank: int = 8,
        *,
        channels: float = 0.5,
        attention: float = 1.0,
        blocks: Collection[int] | None = None,
        start: float = 0.05,
        scale: float = 2.0,
        estimator_rank: int = 8,
        activation: Callable[[Tensor], Tensor] = F.silu,
        seed: int = 0,
    ) -> None:
        _check(rank, estimator_rank, channels, attention, start)
        self.start, self.extent = start, Extent()
        self._rank, self._scale = rank, scale
        self._draws = torch.Generator().manual_seed(seed)
        coupled = list(zip(mlps(model), attentions(model), strict=True))
        self.choices: list[Choice] = []
        for i in _sparse(blocks, len(coupled)):
            mlp, attends = coupled[i]
            if channels < 1:
                self.choices.append(MlpChoice(mlp, channels, estimator_rank, activation))
            if attention < 1:
                self.choices.append(QueryKeyChoice(attends, attention, estimator_rank))
                self.choices.append(ValueChoice(attends, attention, estimator_rank))
        names = [name for pair in coupled for part in pair for name in (*part.makers, part.name)]
        super().__init__(model, dict.fromkeys(names, True))
        for choice in self.choices:
            self._share(choice)
        self._handle = model.register_forward_pre_hook(self._look, with_kwargs=True)

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        return ContextualLoRA(name, layer, self._rank, self._scale, self._draws, self.extent)

    def at(self, progress: float) -> None:
        self.extent.is_on = progress >= self.start

    def remove(self) -> nn.Module:
        self._handle.remove()
        return super().remove()

    def _share(self, choice: Choice) -> None:
        """Give a choice to the layers that it is about."""
        for names, role in ((choice.makers, "outputs_of"), (choice.readers, "inputs_of")):
            for name in names:
                setattr(self.layers[name], role, choice)

    def _look(self, model: nn.Module, args: Any, named: dict[str, Any]) -> None:
        """Tell from the labels which tokens are context."""
        labels = named.get("labels")
        if labels is not None:
            unlabelled = (labels == _UNLABELLED).long().cumprod(1).sum(1)
            self.extent.context = int(unlabelled.min())


@dataclass
class Extent:
    """Which tokens are sparse.

    Attributes
    ----------
    is_on : bool
        Whether any are.
    context : int or None
        How many of those that each row begins with; None for all.
    """

    is_on: bool = True
    context: int | None = None


class ContextualLoRA(Adapted):
    """A frozen layer of which few outputs or inputs are computed, and a low-rank change of it.

    Attributes
    ----------
    outputs_of, inputs_of : Choice or None
        What says which channels the layer makes, and which it reads.
    """

    outputs_of: Choice | None
    inputs_of: Choice | None

    def __init__(
        self,
        name: str,
        layer: Any,
        rank: int,
        scale: float,
        draws: torch.Generator,
        extent: Extent,
    ) -> None:
        super().__init__(layer)
        self.name, self.scale, self.extent = name, scale, extent
        self.outputs_of = self.inputs_of = None
        matrix = matrix_of(layer)
        outputs, inputs = matrix.shape
        first = (torch.rand(rank, inputs, generator=draws) * 2 - 1) / inputs**0.5
        self.first = nn.Parameter(first.to(matrix))
        self.second = nn.Parameter(matrix.new_zeros(outputs, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        change = F.linear(F.linear(inputs, self.first), self.second)
        return self._frozen(inputs) + self.scale * change

    def changed_weight(self) -> Tensor:
        changed = matrix_of(self.layer) + self.scale * (self.second @ self.first)
        return changed.T if is_transposed(self.layer) else changed

    def _frozen(self, inputs: Tensor) -> Tensor:
        """What the layer computes, without the channels of the context that are not chosen."""
        choice = self.outputs_of or self.inputs_of
        if choice is None or not (self.training and self.extent.is_on):
            return self.layer(inputs)
        split = inputs.shape[-2] if self.extent.context is None else self.extent.context
        if split == 0:
            return self.layer(inputs)
        context, others = inputs[..., :split, :], inputs[..., split:, :]
        if choice.makers[0] == self.name:
            choice.choose(context)
        made = self._sparse(context, choice.places[self.name])
        return made if not others.shape[-2] else torch.cat([made, self.layer(others)], -2)

    def _sparse(self, inputs: Tensor, places: Tensor) -> Tensor:
        few = _FewOutputs if self.inputs_of is None else _FewInputs
        made: Tensor = few.apply(inputs, matrix_of(self.layer), self.bias, places)
        return made


class _FewOutputs(torch.autograd.Function):
    """Some outputs of a frozen layer, the others zero. The rows of the weight are taken again in
    the backward pass rather than kept."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, places: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weight, places)
        offset = None if bias is None else bias[places]
        return _spread(
            F.linear(inputs, weight.index_select(0, places), offset), places, len(weight)
        )

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, places = ctx.saved_tensors
        taken = weight.index_select(0, places).to(gradient.dtype)
        return gradient.index_select(-1, places) @ taken, None, None, None


class _FewInputs(torch.autograd.Function):
    """A frozen layer as if its other inputs were zero."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, places: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weight, places)
        return F.linear(inputs.index_select(-1, places), weight.index_select(1, places), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, places = ctx.saved_tensors
        taken = weight.index_select(1, places).to(gradient.dtype)
        return _spread(gradient @ taken, places, weight.shape[1]), None, None, None


def _spread(few: Tensor, places: Tensor, width: int) -> Tensor:
    """(..., width) with few channels in their places, and zeros."""
    return few.new_zeros((*few.shape[:-1], width)).scatter_(-1, places.expand_as(few), few)


def _sparse(blocks: Collection[int] | None, count: int) -> list[int]:
    """The blocks that are sparse."""
    if blocks is None:
        return list(range(max(1, round(count / 10)), count - 1))
    odd = sorted(set(blocks) - set(range(count)))
    if odd:
        raise ValueError(f"blocks: the model has blocks 0 to {count - 1}, not {odd}.")
    return sorted(set(blocks))


def _check(rank: int, estimator_rank: int, channels: float, attention: float, start: float) -> None:
    for name, number in (("rank", rank), ("estimator_rank", estimator_rank)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {number!r}.")
    for name, share in (("channels", channels), ("attention", attention)):
        if not 0 < share <= 1:
            raise ValueError(f"{name} must be a share in (0, 1], got {share!r}.")
    if not 0 <= start <= 1:
        raise ValueError(f"start must be a share in [0, 1], got {start!r}.")
