"""Adapters: attached, trained, merged and taken off; by the one that is simplest to follow."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gossamer as gs
from gossamer.nn.language.tuning.adapter import Adapted, Adapter, linear_layers
from gossamer.nn.language.tuning.registry import ADAPTERS


class _Shifted(Adapted):
    """A number added to the whole weight."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer)
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.changed_weight(), self.layer.bias)

    def changed_weight(self) -> Tensor:
        return self.layer.weight + self.shift


class _Shift(Adapter):
    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        return _Shifted(layer)


class _Decoder(nn.Module):
    """Token by token, with an output layer that shares the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, 6)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.again = self.second
        self.head = nn.Linear(6, 8, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(self.embedding(tokens)))
        return self.head(self.again(torch.tanh(self.second(hidden))))


@pytest.fixture
def model() -> _Decoder:
    torch.manual_seed(0)
    return _Decoder()


@pytest.fixture
def tokens() -> Tensor:
    return torch.arange(8).repeat(2, 2)


def test_attaching_changes_no_output_and_freezes_all_else(model, tokens):
    before = model(tokens)
    adapter = _Shift(model)
    assert torch.equal(model(tokens), before)
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["first.shift", "second.shift"]
    assert adapter.trained == 2 and len(adapter.parameters()) == 2
    assert list(adapter.layers) == ["first", "second"]
    assert model.again is model.second  # a layer used twice is adapted in both places


def test_shared_weights_and_embeddings_are_left_alone(model):
    assert list(linear_layers(model)) == ["first", "second"]


def test_rules_select(model):
    assert list(linear_layers(model, "sec*")) == ["second"]
    assert list(linear_layers(model, {"first": None, "*": True})) == ["second"]
    assert list(linear_layers(model, nn.Linear)) == ["first", "second"]


def test_merging_computes_the_same_with_the_layers_that_were_there(model, tokens):
    layers, weights = (model.first, model.second), model.first.weight
    model.first.weight.requires_grad_(False)
    adapter = _Shift(model)
    for parameter in adapter.parameters():
        nn.init.constant_(parameter, 0.3)
    adapted = model(tokens)
    assert adapter.merge() is model
    assert torch.allclose(model(tokens), adapted)
    assert (model.first, model.second) == layers and model.first.weight is weights
    assert not model.first.weight.requires_grad and model.second.weight.requires_grad


def test_removing_leaves_the_weights(model, tokens):
    before, state = model(tokens), copy.deepcopy(model.state_dict())
    adapter = _Shift(model)
    nn.init.constant_(adapter.parameters()[0], 0.3)
    assert torch.equal(adapter.remove()(tokens), before)
    assert list(model.state_dict()) == list(state)
    with pytest.raises(ValueError, match="off the model already"):
        adapter.merge()


def test_the_change_alone_is_saved_and_taken_over(model, tokens):
    other = copy.deepcopy(model)
    adapter = _Shift(model)
    nn.init.constant_(adapter.parameters()[1], 0.3)
    assert set(adapter.state_dict()) == {"first.shift", "second.shift"}
    _Shift(other).load_state_dict(adapter.state_dict())
    assert torch.equal(model(tokens), other(tokens))


def test_a_foreign_state_is_refused(model):
    adapter = _Shift(model)
    with pytest.raises(ValueError, match=r"another adapter: \['second.shift'\]"):
        adapter.load_state_dict({"first.shift": torch.zeros(())})
    with pytest.raises(ValueError, match="another adapter"):
        adapter.load_state_dict({name: torch.zeros(2) for name in adapter.state_dict()})


def test_a_copied_model_is_adapted_on_its_own(model, tokens):
    adapter = _Shift(model)
    copied = copy.deepcopy(model)
    nn.init.constant_(adapter.parameters()[0], 0.3)
    assert not torch.allclose(model(tokens), copied(tokens))


def test_layers_that_are_not_called_are_adapted_too():
    """Attention reads the weight of its last layer, and so do encoder layers in evaluation."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    inputs = torch.randn(2, 3, 8)
    adapter = _Shift(model)
    assert set(adapter.layers) == {"self_attn.out_proj", "linear1", "linear2"}
    for parameter in adapter.parameters():
        nn.init.constant_(parameter, 0.3)
    adapted = model(inputs)
    gradients = torch.autograd.grad(adapted.square().sum(), adapter.parameters())
    assert all(gradient.abs() > 0 for gradient in gradients)
    with torch.no_grad():
        assert torch.allclose(model.eval()(inputs), adapted, atol=1e-6)
        assert torch.allclose(adapter.merge()(inputs), adapted, atol=1e-6)


def test_a_second_adapter_is_refused(model):
    _Shift(model)
    with pytest.raises(ValueError, match="adapter already"):
        _Shift(model)


def test_what_cannot_be_adapted_is_refused(model):
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        _Shift(3)
    with pytest.raises(ValueError, match="no linear layer"):
        _Shift(model, "embedding")
    with pytest.raises(ValueError, match="Nearest names"):
        _Shift(model, "third")
    with pytest.raises(ValueError, match=r"nn\.Sequential"):
        _Shift(nn.Linear(2, 2))
    assert all(p.requires_grad for p in model.parameters())


def test_adapters_are_known_by_name():
    assert ADAPTERS["spp"] is gs.nn.language.SPP
    with pytest.raises(ValueError, match="Did you mean 'spp'"):
        ADAPTERS["sppp"]
