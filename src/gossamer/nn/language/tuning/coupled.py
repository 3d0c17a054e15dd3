"""What belongs together in a transformer: the heads of an attention, the channels of an MLP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.language.architectures import architecture_of, matrix_of


@dataclass(frozen=True, eq=False)
class Mlp:
    """The MLP of one block: its channels are what ``makers`` compute and ``reader`` reads.

    Attributes
    ----------
    makers : dict from names to layers
        The gate first, where there is one.
    name : str
        Of the reader.
    reader : nn.Module
    """

    makers: dict[str, Any]
    name: str
    reader: Any

    @property
    def width(self) -> int:
        """How many channels there are."""
        return int(matrix_of(self.reader).shape[1])


@dataclass(frozen=True, eq=False)
class Attention(Mlp):
    """The attention of one block: ``makers`` are those of queries, keys and values.

    Attributes
    ----------
    heads, shared : int
        Heads of queries, and of the keys and values that groups of them share.
    """

    heads: int
    shared: int

    @property
    def size(self) -> int:
        """Channels of one head."""
        return self.width // self.heads


def mlps(model: nn.Module) -> list[Mlp]:
    """The MLP of each block.

    Raises
    ------
    ValueError
        For a model whose blocks are not known.
    """
    found, blocks = _blocks(model)
    if not found.widening:
        raise ValueError(f"{type(model).__name__} has no MLP that is known: leave it out.")
    return [Mlp(*_parts(model, block, found.widening, found.narrowing)) for block in blocks]


def attentions(model: nn.Module) -> list[Attention]:
    """The attention of each block.

    Raises
    ------
    ValueError
        For a model without separate layers for queries, keys and values, or whose configuration
        does not say how many heads there are.
    """
    found, blocks = _blocks(model)
    if len(found.queries_keys_values) != 3:
        raise ValueError(
            f"{type(model).__name__} has no separate layers of queries, keys and values: leave its "
            "attention out."
        )
    config = getattr(model, "config", None)
    heads = getattr(config, "num_attention_heads", None)
    if heads is None:
        raise ValueError(
            f"{type(model).__name__} does not say how many heads it has: give it a config with "
            "num_attention_heads (and num_key_value_heads), or leave its attention out."
        )
    shared = getattr(config, "num_key_value_heads", None) or heads
    return [
        Attention(*_parts(model, block, found.queries_keys_values, found.mixing), heads, shared)
        for block in blocks
    ]


@torch.no_grad()
def permute_(layer: Any, axis: int, order: Tensor) -> None:
    """Put a linear layer's outputs (axis 0) or inputs (axis 1) in another order."""
    matrix = matrix_of(layer)
    matrix.copy_(matrix.index_select(axis, order))
    if axis == 0 and layer.bias is not None:
        layer.bias.copy_(layer.bias[order])


def _blocks(model: nn.Module) -> tuple[Any, list[str]]:
    found = architecture_of(model)
    count = len(model.get_submodule(found.blocks))  # type: ignore[arg-type]
    return found, [f"{found.blocks}.{i}" for i in range(count)]


def _parts(
    model: nn.Module, block: str, makers: Sequence[str], reader: str
) -> tuple[dict[str, Any], str, Any]:
    names = [f"{block}.{name}" for name in makers]
    layers = {name: model.get_submodule(name) for name in names}
    return layers, f"{block}.{reader}", model.get_submodule(f"{block}.{reader}")
