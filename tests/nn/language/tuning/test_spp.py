"""SPP: multipliers that keep zeros."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.nn.language import SPP, fine_tune


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 10), nn.GELU(), nn.Linear(10, 7, False))
    gs.nn.prune(model, keep=0.5, on={"1": gs.Elements(), "3": gs.Elements()})
    return model


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.arange(7).repeat(2, 3)


def _spelled_out(layer: nn.Linear, columns: torch.Tensor, rows: torch.Tensor, scale: float):
    """The multiplied weight, entry by entry."""
    weight, blocks = layer.weight.detach().clone(), len(columns)
    outputs, inputs = weight.shape
    for i in range(outputs):
        for j in range(inputs):
            weight[i, j] *= 1 + scale * columns[i * blocks // outputs, j] * rows[i]
    return weight


def _trained(adapter: SPP) -> None:
    for parameter in adapter.parameters():
        nn.init.normal_(parameter)


@pytest.mark.parametrize("blocks", [1, 3, 16])
def test_the_weight_is_multiplied_and_merged(model, tokens, blocks):
    adapter = SPP(model, blocks=blocks, scale=1.5)
    _trained(adapter)
    expected = [
        _spelled_out(each.layer, each.columns, each.rows, 1.5) for each in adapter.layers.values()
    ]
    alive = [each.layer.weight != 0 for each in adapter.layers.values()]
    adapted = model(tokens)
    adapter.merge()
    for layer, weight, mask in zip((model[1], model[3]), expected, alive, strict=True):
        assert torch.allclose(layer.weight, weight, atol=1e-6)
        assert torch.equal(layer.weight != 0, mask)
    assert torch.allclose(model(tokens), adapted, atol=1e-6)


def test_outputs_are_those_of_the_authors_products(model):
    """They scale the inputs of each block of outputs, and then the outputs; blocks are equal."""
    adapter = SPP(model, blocks=2, scale=1.5)
    _trained(adapter)
    hidden = torch.randn(2, 4, 6)
    adapted = adapter.layers["1"]
    weight = adapted.layer.weight
    products = [hidden * adapted.columns[b] @ weight[5 * b : 5 * b + 5].t() for b in (0, 1)]
    change = torch.cat(products, 2) * adapted.rows * 1.5
    assert torch.allclose(adapted(hidden), adapted.layer(hidden) + change, atol=1e-6)


def test_gradients_are_those_of_the_formula(model, tokens):
    adapter = SPP(model, blocks=3, scale=1.5)
    model.double()
    _trained(adapter)
    _ = model(tokens).square().sum().backward()
    twin = [p.detach().clone().requires_grad_() for p in adapter.parameters()]
    hidden = model[0].weight.detach()[tokens]
    for place, (columns, rows) in zip((1, 3), (twin[:2], twin[2:]), strict=True):
        layer = model[place].layer
        blocks = torch.arange(len(rows)) * 3 // len(rows)
        weight = layer.weight * (1 + 1.5 * columns[blocks] * rows[:, None])
        hidden = nn.functional.linear(hidden, weight, layer.bias)
        hidden = nn.functional.gelu(hidden) if place == 1 else hidden
    hidden.square().sum().backward()
    for mine, theirs in zip(adapter.parameters(), twin, strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-9)


def test_dropout_sees_the_change_only(model, tokens):
    adapter = SPP(model, dropout=0.5)
    model.train()
    before = model(tokens)
    assert torch.equal(model(tokens), before)  # no change yet
    _trained(adapter)
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    adapted = model(tokens)
    assert torch.equal(model(tokens), adapted)
    adapter.merge()
    assert torch.allclose(model(tokens), adapted, atol=1e-6)


def test_dropout_drops_as_many_and_scales_up():
    model = nn.Sequential(nn.Linear(1000, 1, bias=False))
    nn.init.ones_(model[0].weight)
    adapter = SPP(model, blocks=1, scale=1.0, dropout=0.25)
    for parameter in adapter.parameters():
        nn.init.ones_(parameter)
    torch.manual_seed(0)
    change = model.train()(torch.ones(200, 1000)) - 1000
    assert float(change.detach().mean()) == pytest.approx(1000, rel=0.01)
    assert len(change.unique()) > 10


def test_half_precision_merges_what_it_computed(model, tokens):
    model.bfloat16()
    alive = [model[1].weight != 0, model[3].weight != 0]
    adapter = SPP(model)
    assert all(p.dtype == torch.float32 for p in adapter.parameters())
    fine_tune(model, [tokens], adapter, steps=5, lr=0.1)
    adapted = model(tokens)
    assert torch.equal(adapter.merge()(tokens), adapted)
    for place, mask in zip((1, 3), alive, strict=True):
        assert model[place].weight.dtype == torch.bfloat16
        assert torch.equal(model[place].weight != 0, mask)


def test_a_transposed_layer_is_multiplied_alike(tokens):
    conv1d = pytest.importorskip("transformers").pytorch_utils.Conv1D
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Embedding(7, 6), conv1d(10, 6))
    mine = nn.Sequential(copy.deepcopy(theirs[0]), nn.Linear(6, 10))
    with torch.no_grad():
        mine[1].weight.copy_(theirs[1].weight.t())
        mine[1].bias.copy_(theirs[1].bias)
    adapters = SPP(theirs), SPP(mine)
    for adapter in adapters:
        torch.manual_seed(1)
        _trained(adapter)
    assert torch.allclose(theirs(tokens), mine(tokens), atol=1e-6)
    for adapter in adapters:
        adapter.merge()
    assert torch.allclose(theirs[1].weight.t(), mine[1].weight, atol=1e-6)


def test_training_lowers_the_loss_and_keeps_every_zero(model, tokens):
    alive = {place: model[place].weight != 0 for place in (1, 3)}
    frozen = model[0].weight.clone()
    adapter = SPP(model)
    tuned = fine_tune(model, [tokens], adapter, steps=100, lr=0.1)
    assert tuned.losses[-1] < tuned.losses[0] / 4
    adapter.merge()
    assert all(torch.equal(model[place].weight != 0, mask) for place, mask in alive.items())
    assert torch.equal(model[0].weight, frozen)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"blocks": 0}, "blocks must be an integer >= 1, got 0"),
        ({"scale": -1.0}, "scale must be > 0"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_settings_out_of_range_are_refused(model, settings, message):
    with pytest.raises(ValueError, match=message):
        SPP(model, **settings)
