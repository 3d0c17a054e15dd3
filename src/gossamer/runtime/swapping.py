"""Swapping: a copy of a model with other modules in some places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy

from torch import Tensor, nn

from gossamer.runtime.padded_encoder import PaddedEncoder

Make = Callable[[str, nn.Module], nn.Module | None]


def copied(model: nn.Module) -> nn.Module:
    """A copy of the model, also where hooks compute weights, which torch does not copy."""
    computed = {
        id(value): value.detach().clone()
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return deepcopy(model, computed)


def swapped(model: nn.Module, make: Make) -> nn.Module:
    """A copy of the model in which ``make(name, module)`` has replaced modules.

    Parameters
    ----------
    make : (name, module) -> module or None
        Called for every module, parents first, once for each even where it has several places; None
        leaves it. What it was given may be used in what it returns.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    >>> swapped(model, lambda name, module: nn.Tanh() if name == "1" else None)[1]
    Tanh()
    """
    model = copied(model)
    made = {module: make(name, module) for name, module in model.named_modules()}
    return put_in(model, {old: new for old, new in made.items() if new is not None})


def put_in(model: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Put modules in the places of others, in all of them; returns the model, or what replaces it.

    torch's encoder layers have a way of their own to compute from the weights of their parts,
    without calling them: it is switched off where a part has changed, and
    :class:`~gossamer.runtime.padded_encoder.PaddedEncoder` gives the same at padded positions.
    """
    parents = list(model.modules())
    for old, new in replacements.items():
        new.train(old.training)
    for parent in parents:
        for name, child in parent._modules.items():
            if child is not None and child in replacements:
                parent._modules[name] = replacements[child]
    made = set(replacements.values())
    for parent in parents:
        if isinstance(parent, nn.TransformerEncoderLayer) and not made.isdisjoint(parent.modules()):
            parent.activation_relu_or_gelu = 0
        if isinstance(parent, nn.TransformerEncoder) and not made.isdisjoint(parent.modules()):
            if type(parent) is nn.TransformerEncoder and parent.use_nested_tensor:
                parent.__class__ = PaddedEncoder
            parent.use_nested_tensor = False
    return replacements.get(model, model)
