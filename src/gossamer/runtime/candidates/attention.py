"""Attention: projections as layers of their own, so that each can be replaced."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.fewer_heads import FewerHeadsAttention


class ProjectedAttention(FewerHeadsAttention):
    """:class:`torch.nn.MultiheadAttention` that calls its projections.

    torch's class computes with its projections' weights and never calls a module. Here they are
    modules: ``in_proj``, which makes queries, keys and values of one source at once, or ``q_proj``,
    ``k_proj`` and ``v_proj``; and ``out_proj``. Arguments and results are those of torch's class.

    Parameters
    ----------
    attention : nn.MultiheadAttention
        Without ``add_bias_kv`` and ``add_zero_attn``.
    at_once : bool
        Whether one module projects queries, keys and values. It also does where these come from
        different sources, but computes more than is needed then.

    Examples
    --------
    >>> attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    >>> x = torch.randn(2, 5, 8)
    >>> projected = ProjectedAttention(attention)
    >>> bool(torch.allclose(projected(x, x, x)[0], attention(x, x, x)[0], atol=1e-6))
    True
    """

    in_proj: nn.Module
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module

    def __init__(self, attention: nn.MultiheadAttention, at_once: bool = True) -> None:
        nn.Module.__init__(self)
        if attention.bias_k is not None or attention.add_zero_attn:
            raise ValueError("attention must not have add_bias_kv or add_zero_attn.")
        for name in ("embed_dim", "num_heads", "kdim", "vdim", "dropout", "batch_first"):
            setattr(self, name, getattr(attention, name))
        self.head_dim = attention.head_dim
        # what torch's encoder layers ask for before they take another way
        self._parameters |= {"in_proj_weight": None, "in_proj_bias": None}
        self._qkv_same_embed_dim = False
        weights, biases = _projections(attention)
        self.at_once = at_once and len({weight.shape[1] for weight in weights}) == 1
        if self.at_once:
            bias = None if biases[0] is None else torch.cat([b for b in biases if b is not None])
            self.in_proj = _linear(torch.cat(weights), bias)
        else:
            for name, weight, bias in zip("qkv", weights, biases, strict=True):
                self.add_module(f"{name}_proj", _linear(weight, bias))
        self.add_module("out_proj", _linear(attention.out_proj.weight, attention.out_proj.bias))
        self.train(attention.training)

    def _projected(self, *sources: Tensor) -> list[Tensor]:
        if not self.at_once:
            query, key, value = sources
            return [self.q_proj(query), self.k_proj(key), self.v_proj(value)]
        each = {id(source): source for source in sources}
        made = {key: self.in_proj(source).chunk(3, -1) for key, source in each.items()}
        return [made[id(source)][place] for place, source in enumerate(sources)]

    def _mask(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, query: Tensor
    ) -> Tensor | None:
        if attn_mask is None or attn_mask.dim() == 2:
            return super()._mask(attn_mask, key_padding_mask, query)
        flat = super()._mask(attn_mask.flatten(0, 1), None, query)
        assert flat is not None
        own = flat.view(*query.shape[:-2], *attn_mask.shape[1:])
        padding = super()._mask(None, key_padding_mask, query)
        return own if padding is None else own + padding


def opened(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> ProjectedAttention | None:
    """An attention module with its projections in the open, for such arguments; None for others."""
    if type(module) not in (nn.MultiheadAttention, FewerHeadsAttention):
        return None
    assert isinstance(module, nn.MultiheadAttention)
    if module.bias_k is not None or module.add_zero_attn:
        return None
    named = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
    return ProjectedAttention(module, named["query"] is named["key"] is named["value"])


def _projections(attention: nn.MultiheadAttention) -> tuple[list[Tensor], list[Tensor | None]]:
    """Weights and biases of queries, keys and values."""
    if attention.in_proj_weight is not None:
        weights = list(attention.in_proj_weight.chunk(3))
    else:
        weights = [attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight]
    if attention.in_proj_bias is None:
        return weights, [None] * 3
    return weights, list(attention.in_proj_bias.chunk(3))


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        if bias is not None:
            linear.bias.copy_(bias)
    return linear
