"""Graph breaks: what ``torch.compile`` runs as it is.

Imported while it traces only: the decorator brings all of its machinery, which takes a second.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.compiler.disable
def forward_apart(module: nn.Module, x: Tensor) -> Tensor:
    """The module's own forward method, of which the graph sees nothing."""
    y: Tensor = module.forward(x)
    return y
