"""Hooks: what a module's call does beside what its class says."""

from __future__ import annotations

from torch import nn


def has_hooks(module: nn.Module) -> bool:
    """Whether a call does more than the class says: by hooks, or a forward method of its own.

    Examples
    --------
    >>> layer = nn.Linear(2, 2)
    >>> handle = layer.register_forward_hook(lambda module, inputs, outputs: 2 * outputs)
    >>> has_hooks(nn.Linear(2, 2)), has_hooks(layer)
    (False, True)
    """
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))
