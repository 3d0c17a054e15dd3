"""Gradients of a loss in the weights that factors make, not in the factors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.utils import parametrize

from gossamer.nn.factorised import FactorisedWeight


def weight_gradients(
    weights: Sequence[FactorisedWeight], loss: Callable[[], torch.Tensor]
) -> list[torch.Tensor]:
    """The gradient of ``loss()`` in each weight, summed over the places that share it.

    Raises
    ------
    TypeError
        When ``loss`` does not return a single number with a gradient.
    """
    with torch.enable_grad(), parametrize.cached():
        # computed once each and kept for the forward passes inside
        made = [[getattr(*place) for place in weight.places] for weight in weights]
        value = loss()
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
            raise TypeError(
                f"loss must return the task's loss as one number with a gradient, got {value!r}."
            )
        flat = [tensor for tensors in made for tensor in tensors]
        found = iter(torch.autograd.grad(value, flat, allow_unused=True))
    gradients = []
    for tensors in made:
        parts = [part for part in (next(found) for _ in tensors) if part is not None]
        gradients.append(sum(parts[1:], parts[0]) if parts else torch.zeros_like(tensors[0]))
    return gradients
