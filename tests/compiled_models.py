"""Models to compile, and a race that sparse layers win, so that what is tested is deterministic."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.runtime import choosing, compiling, tying


def sparse_layers_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every race is won by the second who runs; the others follow, and the first comes last.

    Layouts of fewer bytes run earlier, whatever is known of their speed on this machine.
    """

    def race(runs: Sequence[Callable[[], Any]], *_: Any, **__: Any) -> list[float]:
        return [1.0, *np.linspace(0.5, 0.6, len(runs) - 1)]

    for module in (choosing, compiling, tying):
        monkeypatch.setattr(module, "race", race)
    # the function has the name of its module
    shortlist = sys.modules["gossamer.runtime.shortlist"]
    monkeypatch.setattr(shortlist, "remembered_plan", lambda layout, samples: (layout.nbytes,))


def pruned(model: nn.Module, on: Any = None, keep: float = 0.25) -> nn.Module:
    """The model with the same share of zeros in every weight that has room for the structure."""
    structure = gs.Elements() if on is None else on
    counts = {} if isinstance(on, gs.NofM) else {"keep": keep, "allocation": "uniform"}
    gs.nn.prune(model.eval(), on=structure, **counts)
    return model


class Block(nn.Module):
    """A transformer block, whose normalisation keeps sums from being exact."""

    def __init__(self, width: int = 32, heads: int = 2) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


def close(found: Tensor, expected: Tensor) -> bool:
    """Whether they agree but for rounding."""
    largest = float(expected.detach().abs().amax()) if expected.numel() else 0.0
    return torch.allclose(found, expected, atol=1e-5 * (1 + largest))
