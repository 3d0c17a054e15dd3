"""Perplexity: how well a language model expects a text."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.channels import evaluating


@torch.no_grad()
def perplexity(model: nn.Module, tokens: Tensor, batch_size: int = 1) -> float:
    r"""The exponential of the mean negative log-likelihood of each next token,

    .. math:: \exp\left( -\frac{1}{n (L - 1)} \sum_{i=1}^n \sum_{t=2}^L
        \log p(w_{it} \mid w_{i1}, \ldots, w_{i,t-1}) \right).

    Parameters
    ----------
    model : nn.Module
        Of tokens (batch, length) to logits (batch, length, vocabulary), or to an output that has
        these as ``logits``.
    tokens : (n, L) integer tensor
        Windows of text, each read from its own beginning.
    batch_size : int, default 1
        Windows at a time.

    Raises
    ------
    ValueError, TypeError
        For tokens that are no windows of two tokens or more.

    Examples
    --------
    >>> uniform = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5, bias=False))
    >>> _ = nn.init.zeros_(uniform[1].weight)
    >>> round(perplexity(uniform, torch.tensor([[0, 1, 2, 3]])), 4)
    5.0
    """
    check_tokens("tokens", tokens)
    total = 0.0
    device = next(model.parameters()).device
    with evaluating(model):
        for batch in tokens.split(batch_size):
            batch = batch.to(device)
            logits = logits_of(model, batch)[:, :-1].float()
            total += float(
                F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum")
            )
    return math.exp(total / (tokens.shape[0] * (tokens.shape[1] - 1)))


def logits_of(model: nn.Module, tokens: Tensor) -> Tensor:
    """(batch, length, vocabulary) of a model's answer, whatever its form."""
    answer = model(tokens, **without_cache(model))
    logits = getattr(answer, "logits", answer)
    return logits[0] if isinstance(logits, tuple) else logits


def without_cache(model: nn.Module) -> dict[str, Any]:
    """The keyword arguments by which a decoder keeps nothing for the next token."""
    known = inspect.signature(model.forward).parameters
    return {"use_cache": False} if "use_cache" in known else {}


def check_tokens(name: str, tokens: Any) -> None:
    """Raise unless these are windows of tokens."""
    if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.dtype == torch.bool:
        raise TypeError(
            f"{name} must be an integer tensor (windows, length), got {_shown(tokens)}: "
            "gs.nn.language.tokens_of makes one of a text."
        )
    if tokens.ndim != 2 or len(tokens) == 0 or tokens.shape[1] < 2:
        raise ValueError(
            f"{name} must be one window or more of two tokens or more, (windows, length), got "
            f"shape {tuple(tokens.shape)}."
        )


def _shown(value: Any) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
