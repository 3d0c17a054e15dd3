"""Swapping: a copy of a model with other modules in some places."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

from torch import nn

Make = Callable[[str, nn.Module], nn.Module | None]


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
    model = deepcopy(model)
    made: dict[int, nn.Module] = {}
    # what was replaced is kept alive, so that no other module takes its place in memory
    originals = dict(model.named_modules())
    for name, module in originals.items():
        new = make(name, module)
        if new is not None:
            made[id(module)] = new.train(module.training)
    for parent in originals.values():
        for child, module in parent._modules.items():
            if id(module) in made:
                parent._modules[child] = made[id(module)]
                if isinstance(parent, nn.TransformerEncoderLayer):
                    # it would compute with the weights of its parts, without calling them
                    parent.activation_relu_or_gelu = 0
    return made.get(id(model), model)
