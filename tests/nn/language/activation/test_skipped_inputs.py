"""Decoders that skip inputs: calibration on tokens, turned coordinates, chosen shares."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.nn import load_model, save_model
from gossamer.nn.language.tuning.training import next_token_loss
from gossamer.runtime import activation_zeros, choose_activation_shares, sparsify_activations
from gossamer.runtime.activation_shares import _losses
from gossamer.runtime.skipping_linear import CutInputs, SkippingLinear
from gossamer.runtime.turning import Turning, turns_of

BLOCKS = "model.layers.*"
READERS = ("*.q_proj", "*.k_proj", "*.v_proj", "*.gate_proj", "*.up_proj")


@pytest.fixture
def tokens():
    return torch.randint(64, (12, 16), generator=torch.Generator().manual_seed(0))


def logits(model, tokens):
    with torch.no_grad():
        return model(tokens).logits


def test_a_decoder_skips_as_the_simulation_says(tiny_llama, tokens):
    options = {"criterion": "wina", "keep": {BLOCKS: 0.5}, "batch_size": 5}
    fast = sparsify_activations(tiny_llama, tokens, **options)
    simulated = sparsify_activations(tiny_llama, tokens, skip=False, **options)
    assert isinstance(fast.model.layers[0].mlp.down_proj, SkippingLinear)
    parts = [type(part) for part in simulated.model.layers[0].mlp.down_proj]
    assert parts == [CutInputs, nn.Linear]
    torch.testing.assert_close(logits(fast, tokens), logits(simulated, tokens))
    assert float((logits(fast, tokens) - logits(tiny_llama, tokens)).abs().max()) > 1e-3
    zeros = activation_zeros(simulated, tokens)
    assert zeros.pop("lm_head") == 0
    # thresholds are of the dense model's inputs
    first = {name: share for name, share in zeros.items() if "layers.0.self_attn.q" in name}
    assert list(first.values()) == pytest.approx([0.5], abs=1e-3)
    assert all(0.4 < share < 0.6 for share in zeros.values())


def test_simulation_keeps_the_precision_and_generates(tiny_llama, tokens):
    model = tiny_llama.to(torch.bfloat16)
    for rule in ("threshold", "top_k"):
        sparse = sparsify_activations(model, tokens, {BLOCKS: 0.5}, rule=rule, skip=False)
        assert logits(sparse, tokens).dtype == torch.bfloat16
        assert sparse.model.layers[1].mlp.up_proj[-1].weight.dtype == torch.bfloat16
        assert sparse.generate(tokens[:1], max_new_tokens=3, do_sample=False).shape == (1, 19)


def test_batches_and_keyword_arguments_calibrate_alike(tiny_llama, tokens):
    at_once, in_parts, named = (
        sparsify_activations(tiny_llama, examples, {"*.down_proj": 0.3}, batch_size=size)
        for examples, size in ((tokens, None), (tokens, 4), ({"input_ids": tokens}, None))
    )
    for other in (in_parts, named):
        torch.testing.assert_close(logits(other, tokens), logits(at_once, tokens))


def test_turned_layers_give_the_same_where_all_is_kept_but_a_grain(tiny_llama, tokens):
    kept = {name: 1 - 1e-3 for name in READERS}
    sparse = sparsify_activations(
        tiny_llama, tokens, kept, criterion="wina", turn=READERS, skip=False
    )
    torch.testing.assert_close(
        logits(sparse, tokens), logits(tiny_llama, tokens), atol=0.05, rtol=0
    )
    assert sparse.model.layers[0].mlp.gate_proj[0] is sparse.model.layers[0].mlp.up_proj[0]


def test_turned_columns_are_orthogonal_and_coordinates_uncorrelated():
    torch.manual_seed(0)
    model = nn.ModuleDict({name: nn.Linear(8, count) for name, count in (("a", 6), ("b", 12))})
    x = torch.randn(400, 8) @ torch.randn(8, 8)
    turn = turns_of(model, {"a": x, "b": x}, ["a", "b"])["a"]
    z = x @ turn.forth
    torch.testing.assert_close(z.T @ z / 400, torch.eye(8), atol=0.05, rtol=0)
    stacked = torch.cat([turn.turned(model[name]).weight for name in "ab"]).detach()
    gram = stacked.T @ stacked
    torch.testing.assert_close(gram, gram.diagonal().diag(), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        turn.turned(model["b"])(turn.module(x)), model["b"](x), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("keep", (0.25, 0.5))
def test_turned_inputs_leave_out_the_least(keep):
    """Of all sets of as many coordinates, and with less error than any of the inputs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 20, bias=False))
    x = torch.randn(300, 8) @ torch.randn(8, 8)
    errors = {}
    for turn in ((), "*"):
        sparse = sparsify_activations(
            model, x, keep, criterion="wina", rule="top_k", turn=turn, skip=False
        )
        with torch.no_grad():
            errors[turn] = float((sparse(x) - model(x)).square().sum())
    turned = turns_of(model, {"0": x}, ["0"])["0"]
    z, weight = x @ turned.forth, turned.turned(model[0]).weight.detach()
    least = torch.full((300,), torch.inf)
    for kept in itertools.combinations(range(8), round(8 * keep)):
        left = [c for c in range(8) if c not in kept]
        least = torch.minimum(least, (z[:, left] @ weight[:, left].T).square().sum(1))
    assert errors["*"] == pytest.approx(float(least.sum()), rel=1e-3)
    assert errors["*"] < 0.5 * errors[()]


def test_a_turning_is_computed_once_for_all_its_readers(tiny_llama, tokens, monkeypatch):
    """And again for what was changed in place since."""
    sparse = sparsify_activations(tiny_llama, tokens, 0.5, criterion="wina", turn=READERS)
    count = []
    turned = Turning._turned
    monkeypatch.setattr(Turning, "_turned", lambda self, x: count.append(1) or turned(self, x))
    before = logits(sparse, tokens[:1])
    assert len(count) == 2 * len(sparse.model.layers)
    turning = sparse.model.layers[0].mlp.up_proj[0]
    x = torch.randn(1, 32)
    with torch.no_grad():
        first = turning(x)
        assert turning(x) is first
        torch.testing.assert_close(turning(x.mul_(2)), 2 * first)
    with torch.inference_mode():
        torch.testing.assert_close(sparse(tokens[:1]).logits, before)


def test_layers_that_are_not_finite_are_named(tiny_llama, tokens):
    tiny_llama.model.layers[0].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"has weights, inputs or gradients that are not finite"):
        choose_activation_shares(tiny_llama, [tokens], 0.5, on=BLOCKS)
    assert set(choose_activation_shares(tiny_llama, [tokens], 1.0, turn="*").values()) == {1.0}


def test_turned_models_are_saved(tiny_llama, tokens, tmp_path):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    x = torch.randn(50, 6)
    sparse = sparsify_activations(model, x, 0.5, criterion="wina", turn="*")
    save_model(sparse, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        assert torch.equal(loaded(x[:1]), sparse(x[:1]))


def test_losses_of_shares_are_those_of_the_gradient(tiny_llama):
    """Directly: the squared products of the gradient with what is left out."""
    torch.manual_seed(0)
    weight, x, gradient = torch.randn(5, 40), torch.randn(30, 40), torch.randn(30, 5)
    found = _losses(weight, x, gradient @ weight, "wina")
    order = (x.abs() * weight.norm(dim=0)).flatten().argsort()
    for kept in (1, 7, 19):
        left = torch.zeros(1200)
        left[order[: round(1200 * (1 - kept / 20))]] = 1
        changed = (x * left.view(30, 40)) @ weight.T
        expected = float((changed * gradient).sum(1).square().sum())
        assert found[kept - 1] == pytest.approx(expected, rel=0.05, abs=0.5)
    assert found[-1] == 0


def test_chosen_shares_read_as_much_and_lose_less(tiny_llama, tokens):
    """The tiny model's first MLP says nothing to the loss."""
    with torch.no_grad():
        tiny_llama.model.layers[0].mlp.up_proj.weight.mul_(1e-4)
    shares = choose_activation_shares(tiny_llama, tokens.split(6), 0.5, on=BLOCKS)
    sizes = {name: tiny_llama.get_submodule(name).weight.numel() for name in shares}
    read = sum(shares[name] * sizes[name] for name in shares) / sum(sizes.values())
    assert 0.49 < read <= 0.5 + 1e-9
    unheard = [shares[f"model.layers.0.mlp.{name}_proj"] for name in ("gate", "up", "down")]
    assert unheard == [0.05] * 3
    full = logits(tiny_llama, tokens)
    chosen, even = (
        sparsify_activations(tiny_llama, tokens, keep, criterion="magnitude")
        for keep in (shares, {BLOCKS: 0.5})
    )
    lost = [float((logits(model, tokens) - full).norm()) for model in (chosen, even)]
    assert lost[0] < 0.5 * lost[1]


def test_chosen_shares_count_what_turns(tiny_llama, tokens):
    """Two layers of a block share one turning, which is read whole."""
    widening = ("*.gate_proj", "*.up_proj")
    shares = choose_activation_shares(tiny_llama, tokens.split(6), 0.6, on=BLOCKS, turn=widening)
    layers = {name: tiny_llama.get_submodule(name) for name in shares}
    read = sum(shares[name] * layer.weight.numel() for name, layer in layers.items())
    read += sum(
        layer.in_features**2 for name, layer in layers.items() if name.endswith("gate_proj")
    )
    weights = sum(layer.weight.numel() for layer in layers.values())
    assert 0.59 < read / weights <= 0.6 + 1e-9
    with pytest.raises(ValueError, match=r"keep=0\.1 is too small: turning inputs"):
        choose_activation_shares(tiny_llama, tokens.split(6), 0.1, on=BLOCKS, turn=READERS)


def test_choosing_shares_changes_nothing(tiny_llama, tokens):
    tiny_llama.requires_grad_(False)
    before = {name: p.clone() for name, p in tiny_llama.named_parameters()}
    shares = choose_activation_shares(tiny_llama, [tokens], 0.9, turn=READERS)
    assert set(shares) >= {"lm_head", "model.layers.1.mlp.down_proj"}
    assert all(torch.equal(p, before[name]) for name, p in tiny_llama.named_parameters())
    assert all(p.grad is None and not p.requires_grad for p in tiny_llama.parameters())
    assert not any(m._forward_hooks for m in tiny_llama.modules())
    assert np.isfinite(float(next_token_loss(tiny_llama, tokens)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"keep": 0.01}, "keep must be a share of 0.05 to 1, got 0.01"),
        ({"on": "none.*"}, "on: 'none.*' fits no layer"),
        ({"criterion": "auto"}, "criterion must be one of magnitude, wina"),
        ({"turn": ["*.up", "*.gait"]}, r"turn: '\*.gait' fits none of the layers"),
        ({"batches": []}, "the loss does not use .* or there is no batch"),
    ),
)
def test_wrong_arguments_of_shares_are_named(plain_decoder, tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        choose_activation_shares(plain_decoder, **{"batches": [tokens]} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"turn": "*", "example_inputs": torch.zeros(1, 3, dtype=torch.long)}, "turn: 3 samples"),
        ({"batch_size": 2, "example_inputs": {}}, "must have as many rows"),
        ({"turn": "*.gait"}, r"turn: '\*.gait' fits none of the layers"),
    ),
)
def test_wrong_examples_are_named(plain_decoder, tokens, arguments, message):
    with pytest.raises(ValueError, match=message):
        sparsify_activations(plain_decoder, **{"example_inputs": tokens} | arguments)
