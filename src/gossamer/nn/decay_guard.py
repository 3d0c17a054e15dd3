"""A guard against weight decay that would change the problem the factors solve."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

# Decay the weights beside the gradient. torch's own Adam family says so in its groups.
_DECOUPLED = {"AdamW", "Adafactor", "Muon", "Lion", "SGDW", "AdamWScheduleFree"}


def guard(owner: Any, factors: Callable[[Any], Iterable[nn.Parameter]]) -> Callable[[], None]:
    """Check every optimiser that is about to step any of the owner's factors.

    Returns the function that ends the watch; it also ends with its owner.
    """
    known = weakref.ref(owner)

    def check(optimiser: Optimizer, *_: Any) -> None:
        alive = known()
        if alive is not None:
            refuse_decoupled(optimiser, {id(factor) for factor in factors(alive)})

    handle = register_optimizer_step_pre_hook(check)
    weakref.finalize(owner, handle.remove)
    return handle.remove


def refuse_decoupled(optimiser: Optimizer, factors: set[int]) -> None:
    """Raise ``ValueError`` when factors are in a group with decoupled weight decay."""
    by_name = type(optimiser).__name__ in _DECOUPLED
    for number, group in enumerate(optimiser.param_groups):
        decoupled = group.get("decoupled_weight_decay", by_name) or by_name
        if not (decoupled and group.get("weight_decay", 0.0)):
            continue
        if any(id(parameter) in factors for parameter in group["params"]):
            raise ValueError(
                f"{type(optimiser).__name__} decays the factors of sparse weights by weight_decay="
                f"{group['weight_decay']} beside the gradient (parameter group {number}). With "
                "adaptive steps that is another problem than the penalty's. Remedy: "
                f"{type(optimiser).__name__}(sparse.param_groups(weight_decay=...)), which decays "
                "the other parameters only; sparse.penalty() belongs in the loss."
            )
