"""Compiled models in files: what they were, in bytes that follow the zeros."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from compiled_models import Block, close, pruned, sparse_layers_win
from safetensors import safe_open
from torch import nn

import gossamer as gs
from gossamer.core import ModelFileError
from gossamer.nn.models import LeNet300, ResidualNet

MODELS = {
    "lenet": (LeNet300, (2, 784), ()),
    "residual": (ResidualNet, (2, 1, 8, 8), ()),
    "attention": (Block, (2, 5, 32), (Block,)),
}


@pytest.mark.parametrize("make, shape, trust", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("on", [gs.Elements(), gs.Blocks((4, 1))], ids=["elements", "blocks"])
def test_there_and_back(
    make: type,
    shape: tuple[int, ...],
    trust: tuple[type, ...],
    on: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = make()
    if isinstance(on, gs.Blocks):
        for weight in (p for p in model.parameters() if p.ndim == 2 and len(p) % 4 == 0):
            kept = torch.rand(len(weight) // 4, weight.shape[1]) < 0.25
            weight.data *= kept.repeat_interleave(4, 0)
    else:
        pruned(model, on)
    x = torch.randn(shape)
    fast = gs.compile(model, x)
    gs.nn.save_model(fast, tmp_path / "fast.safetensors")
    loaded = gs.nn.load_model(tmp_path / "fast.safetensors", trust=trust)
    assert type(loaded) is type(model)
    assert not loaded.training
    assert torch.equal(loaded(x), fast(x))
    assert gs.runtime.report(loaded) == gs.runtime.report(fast)


def test_bytes_follow_the_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    sizes = {}
    for keep in (1.0, 0.1, 0.05):
        model = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
        if keep < 1:
            pruned(model, gs.Blocks((16, 1)), keep)
        fast = gs.compile(model, torch.randn(64, 512))
        gs.nn.save_model(fast, tmp_path / "fast.safetensors")
        sizes[keep] = (tmp_path / "fast.safetensors").stat().st_size
    assert sizes[0.1] < 0.12 * sizes[1.0]
    assert sizes[0.05] < 0.065 * sizes[1.0]


def test_a_file_is_plain_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    fast = gs.compile(pruned(Block()), torch.randn(2, 5, 32))
    path = tmp_path / "fast.safetensors"
    gs.nn.save_model(fast, path)
    with safe_open(path, "pt") as file:
        record = json.loads(file.metadata()["architecture"])
        assert file.get_tensor("mlp.0.values").dtype == torch.float32
    assert record["children"]["mlp"]["children"]["0"]["class"].endswith("RuntimeLinear")
    with pytest.raises(ModelFileError, match=r"trust=\[Block\]"):
        gs.nn.load_model(path)


def test_embeddings_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse_layers_win(monkeypatch)
    model = nn.Sequential(nn.Embedding(60, 32), nn.Linear(32, 32))
    with torch.no_grad():
        model[0].weight[5:] = 0
    pruned(model[1])
    x = torch.arange(60)
    small = gs.compile(model, x, "memory")
    gs.nn.save_model(small, tmp_path / "small.safetensors")
    loaded = gs.nn.load_model(tmp_path / "small.safetensors")
    assert close(loaded(x), model(x))
