"""ProSparse: rectified MLPs, a penalty that rises in stages, and thresholds in the end."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from gossamer.nn import Stages
from gossamer.nn.language import ProSparse, Rectifier, fine_tune, rectify
from gossamer.nn.language.tuning.training import next_token_loss


@pytest.fixture
def tokens():
    return torch.randint(64, (4, 16), generator=torch.Generator().manual_seed(0))


def activations(model):
    return [type(block.mlp.act_fn).__name__ for block in model.model.layers]


def loss_of(model, tokens):
    with torch.no_grad():
        return float(next_token_loss(model, tokens))


def test_stages_rise_by_the_published_formula():
    factors, ends = (0.0, 5e-3, 5e-2, 5e-2, 2e-1), (50, 60, 100, 120, 160)
    stages = Stages(tuple(f / factors[-1] for f in factors), tuple(end / 160 for end in ends))
    for t in range(161):
        i = next(i for i, end in enumerate(ends) if t <= end)
        expected = factors[0]
        if i:
            share = (t - ends[i - 1]) / (ends[i] - ends[i - 1])
            rise = 0.5 * (math.sin(-math.pi / 2 + share * math.pi) + 1)
            expected = factors[i - 1] + rise * (factors[i] - factors[i - 1])
        assert factors[-1] * stages(t / 160) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("levels", "until", "message"),
    (
        ((1.0,), (0.5, 1.0), "as long as each other"),
        ((0.5, 0.2, 1.0), (0.2, 0.4, 1.0), "levels must rise"),
        ((0.0, 0.5), (0.2, 1.0), "levels must rise from 0 or more to 1"),
        ((0.0, 1.0), (0.5, 0.5), "until must rise"),
        ((0.0, 1.0), (0.5, 1.5), "until must rise"),
    ),
)
def test_wrong_stages_are_named(levels, until, message):
    with pytest.raises(ValueError, match=message):
        Stages(levels, until)


def test_the_penalty_is_the_mean_of_the_blocks_and_so_is_its_gradient(tiny_llama, tokens):
    sparse = ProSparse(tiny_llama, strength=0.3, total_steps=10, schedule="warm-up")
    sparse.step()
    assert sparse.strength == pytest.approx(0.15)
    read = []
    handles = [
        block.mlp.down_proj.register_forward_pre_hook(lambda module, args: read.append(args[0]))
        for block in tiny_llama.model.layers
    ]
    tiny_llama(tokens)
    expected = 0.15 * sum(h.abs().sum() / 64 for h in read) / 2
    penalty = sparse.penalty()
    torch.testing.assert_close(penalty, expected)
    weight = tiny_llama.model.layers[0].mlp.gate_proj.weight
    (found,) = torch.autograd.grad(penalty, weight, retain_graph=True)
    (direct,) = torch.autograd.grad(expected, weight)
    torch.testing.assert_close(found, direct)
    assert float(found.norm()) > 0
    for handle in handles:
        handle.remove()
    with pytest.raises(ValueError, match="penalty: the model was not called"):
        sparse.penalty()


def test_rectifiers_are_relus_and_their_gradients_are_theirs():
    x = torch.linspace(-2, 2, 9, requires_grad=True)
    for threshold in (0.0, 0.7):
        (gradient,) = torch.autograd.grad(Rectifier(threshold)(x).sum(), x)
        assert torch.equal(gradient, (x > threshold).float())
    assert torch.equal(Rectifier()(x), x.relu())


def test_zeros_are_exact_and_counted(tiny_llama, tokens):
    sparse = ProSparse(tiny_llama, strength=0.0, total_steps=1)
    assert activations(tiny_llama) == ["Rectifier"] * 2
    found = sparse.zeros(tokens)
    hidden = {}
    for name in found:
        tiny_llama.get_submodule(name).register_forward_pre_hook(
            lambda module, args, name=name: hidden.update({name: args[0]})
        )
    with torch.no_grad():
        tiny_llama(tokens)
    assert {name: float((h == 0).float().mean()) for name, h in hidden.items()} == found
    assert all(0.3 < share < 0.7 for share in found.values())


def test_what_is_finalised_is_a_plain_model(tiny_llama, tokens, tmp_path):
    transformers = pytest.importorskip("transformers")
    model = ProSparse(tiny_llama, strength=0.1, total_steps=1).finalise()
    assert model is tiny_llama and activations(model) == ["ReLU"] * 2
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    model.save_pretrained(tmp_path)
    loaded = transformers.LlamaForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)


def test_thresholds_cut_as_long_as_the_loss_allows_it(tiny_llama, tokens):
    fine_tune(tiny_llama, [tokens], steps=30, lr=1e-2)
    thresholds = []
    for tolerance in (0.0, 0.02, 10.0):
        model = copy.deepcopy(tiny_llama)
        sparse = ProSparse(model, strength=0.0, total_steps=1)
        full = loss_of(model, tokens)
        sparse.finalise(tokens, tolerance)
        assert loss_of(model, tokens) <= (1 + tolerance) * full + 1e-6
        thresholds.append(min(float(block.mlp.act_fn.threshold) for block in model.model.layers))
    assert thresholds == sorted(thresholds)
    assert thresholds[-1] > thresholds[0] >= 0


def test_removal_and_errors_bring_the_activations_back(tiny_llama, tokens):
    before = [block.mlp.act_fn for block in tiny_llama.model.layers]
    with pytest.raises(RuntimeError), ProSparse(tiny_llama, strength=0.1, total_steps=5):
        assert activations(tiny_llama) == ["Rectifier"] * 2
        raise RuntimeError
    assert [block.mlp.act_fn for block in tiny_llama.model.layers] == before
    with pytest.raises(ValueError, match="blocks must be the path"):
        ProSparse(tiny_llama, strength=0.1, total_steps=5, blocks="model.none")
    assert [block.mlp.act_fn for block in tiny_llama.model.layers] == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in tiny_llama.modules())


@pytest.mark.parametrize("strength", (-1.0, float("nan"), float("inf")))
def test_strengths_are_checked(tiny_llama, strength):
    with pytest.raises(ValueError, match="strength must be a finite number"):
        ProSparse(tiny_llama, strength=strength, total_steps=5)
    assert activations(tiny_llama) == ["SiLUActivation"] * 2


def test_models_without_modules_of_activation_are_refused(plain_decoder):
    with pytest.raises(ValueError, match="no activation function that is a module"):
        rectify(plain_decoder)
    with pytest.raises(ValueError, match=r"on: 'steps.9' fits no module"):
        rectify(plain_decoder, on="steps.9")


def test_gpt2_is_rectified_too(tiny_gpt2, tokens):
    sparse = ProSparse(tiny_gpt2, strength=0.1, total_steps=5)
    assert list(sparse.zeros(tokens)) == [f"transformer.h.{i}.mlp.c_proj" for i in range(2)]
    assert sparse.finalise().config.activation_function == "relu"


def test_a_tolerance_below_zero_is_refused():
    model = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 8))
    sparse = ProSparse(model, strength=0.1, total_steps=2)
    with pytest.raises(ValueError, match="tolerance must be a number >= 0"):
        sparse.finalise(torch.zeros(1, 4, dtype=torch.long), -1.0)
