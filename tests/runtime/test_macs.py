"""Layers that store a part of their weight count that part, in summaries and in budgets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.nn.flops import count_macs, uses
from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime import (
    CSR,
    BlockRows,
    RuntimeConv1d,
    RuntimeConv2d,
    RuntimeLinear,
    SkippingLinear,
    SparseLinear,
    SpotConv2d,
)
from gossamer.runtime.candidates.embedding import RuntimeEmbedding


def weight(rows: int, inputs: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return (random.random((rows, inputs)) < 0.3).astype(np.float32)


@pytest.mark.parametrize(
    "layer",
    [
        SparseLinear(20, 8, keep=0.3, seed=0),
        SparseLinear(20, 16, keep=0.3, seed=0, layout="blocks"),
        RuntimeLinear(CSR.build(weight(8, 20))),
        SkippingLinear.of(nn.Linear(20, 8)),
    ],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.parametrize("shape", [(20,), (7, 20), (2, 50, 20)])
def test_linear_layers(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    model = nn.Sequential(layer, nn.ReLU())
    stored = layer.values.numel()
    assert count_macs(model, x) == {"0": stored * x.numel() // 20}
    table = gs.nn.summary(model, x, latency=False)
    assert table.total.macs == table.total.macs_nonzeros == stored * x.numel() // 20
    assert table.layers[0].kind == type(layer).__name__


def test_convolutions() -> None:
    conv = nn.Conv2d(4, 16, 3, stride=2, padding=1)
    with torch.no_grad():
        conv.weight[:, ::2] = 0
    x = torch.randn(2, 4, 9, 9)
    assert count_macs(RuntimeConv2d.of(conv, BlockRows), x) == {"": count_macs(conv, x)[""] // 2}
    line, z = nn.Conv1d(3, 4, 5), torch.randn(2, 3, 9)
    assert count_macs(RuntimeConv1d.of(line), z) == count_macs(line, z)
    masked = nn.Conv2d(4, 16, 3, padding=1)
    MaskedConv2d.take_over(masked, 9, 9)
    masked.positions[::3] = False
    assert count_macs(SpotConv2d.of(masked), x) == {"": 2 * 6 * 9 * 16 * 4 * 9}


def test_embeddings_multiply_nothing() -> None:
    assert count_macs(RuntimeEmbedding(CSR.build(weight(9, 8))), torch.arange(9)) == {}


def test_uses_name_what_can_be_trained() -> None:
    model = nn.Sequential(SparseLinear(20, 8, keep=0.3), RuntimeLinear(CSR.build(weight(4, 8))))
    assert uses(model, torch.randn(5, 20)) == {"0.values": 5.0}
