"""Zeros under the adapters of peft: in training, through merges, beside what peft does alone."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.nn.language import fine_tune, keep_zeros

peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
# peft asks models for an attribute that transformers renames
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
LINEARS = ["q_proj", "v_proj", "down_proj"]


@pytest.fixture
def llama() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    gs.nn.prune(model, keep=0.5, on={"model.layers.*": gs.Elements()})
    return model


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.arange(16).repeat(2, 1)


def zeros_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name.replace("base_layer.", "").replace("base_model.model.", ""): p == 0
        for name, p in model.named_parameters()
        if "proj" in name and "lora" not in name
    }


def lora(model: nn.Module, **settings) -> nn.Module:
    config = peft.LoraConfig(
        r=4, target_modules=LINEARS, init_lora_weights=False, **settings
    )  # otherwise B is zero
    return peft.get_peft_model(model, config).eval()


def test_peft_alone_fills_the_zeros_in(llama):
    zeros = zeros_of(llama)
    merged = zeros_of(lora(llama).merge_and_unload())
    assert any((zeros[name] & ~merged[name]).any() for name in zeros)


def test_what_trains_is_what_merges(llama, tokens):
    zeros = zeros_of(llama)
    model = lora(llama)
    masks = keep_zeros(model)
    assert len(masks.masks) == 2 * len(LINEARS)
    assert all(torch.equal(p != 0, mask) for p, mask in masks.masks.items())
    before = model(tokens).logits.detach()
    tuned = fine_tune(model, [tokens], steps=30, lr=0.02)
    assert tuned.losses[-1] < tuned.losses[0] - 0.1
    adapted = model(tokens).logits
    assert not torch.allclose(adapted, before)
    merged = model.merge_and_unload()
    assert torch.allclose(merged(tokens).logits, adapted, atol=1e-5)
    assert type(merged.model.layers[0].self_attn.q_proj) is nn.Linear
    for name, dead in zeros_of(merged).items():
        assert torch.equal(dead, zeros[name])


def test_the_change_is_the_masked_product(llama, tokens):
    plain = lora(llama)
    layer = plain.base_model.model.model.layers[0].self_attn.q_proj
    inputs = torch.randn(3, 5, 16)
    keep_zeros(plain)
    weight = layer.base_layer.weight
    change = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    change = change * layer.scaling["default"] * (weight != 0)
    expected = inputs @ (weight + change).t()
    assert torch.allclose(layer(inputs), expected, atol=1e-6)
    expected.square().sum().backward()
    theirs = [layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad]
    plain.zero_grad()
    layer(inputs).square().sum().backward()
    mine = [layer.lora_A["default"].weight.grad, layer.lora_B["default"].weight.grad]
    for a, b in zip(mine, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_dense_base_computes_what_peft_does(llama, tokens):
    for parameter in llama.parameters():
        parameter.data[parameter == 0] = 0.01
    model = lora(llama)
    before = model(tokens).logits
    keep_zeros(model)
    assert torch.allclose(model(tokens).logits, before, atol=1e-5)


def test_merging_and_unmerging_come_back(llama, tokens):
    model = lora(llama)
    masks = keep_zeros(model)
    weights = {p: p.detach().clone() for p in masks.masks}
    before = model(tokens).logits
    model.merge_adapter()
    assert all(((p != 0) <= mask).all() for p, mask in masks.masks.items())
    assert torch.allclose(model(tokens).logits, before, atol=1e-5)
    model.unmerge_adapter()
    assert all(torch.allclose(p, weight, atol=1e-6) for p, weight in weights.items())
    with model.disable_adapter():
        assert torch.allclose(model(tokens).logits, llama(tokens).logits)
    copied = copy.deepcopy(model)
    assert torch.allclose(copied(tokens).logits, before, atol=1e-5)


def test_dropout_is_of_the_inputs(llama, tokens):
    model = lora(llama, lora_dropout=0.5)
    keep_zeros(model)
    adapted = model(tokens).logits
    assert torch.equal(model(tokens).logits, adapted)
    model.train()
    assert not torch.equal(model(tokens).logits, model(tokens).logits)


def test_transposed_layers_of_gpt2(tokens):
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=16, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    base = transformers.GPT2LMHeadModel(config).eval()
    gs.nn.prune(base, keep=0.5, on={"transformer.h.*": gs.Elements()})
    zeros = base.transformer.h[0].mlp.c_fc.weight == 0
    settings = {"r": 2, "target_modules": ["c_fc"], "init_lora_weights": False}
    model = peft.get_peft_model(base, peft.LoraConfig(fan_in_fan_out=True, **settings)).eval()
    keep_zeros(model)
    adapted = model(tokens).logits
    merged = model.merge_and_unload()
    assert torch.allclose(merged(tokens).logits, adapted, atol=1e-5)
    assert torch.equal(merged.transformer.h[0].mlp.c_fc.weight == 0, zeros)


def test_other_adapters_are_masked_at_the_merge(llama):
    zeros = zeros_of(llama)
    model = lora(llama, use_dora=True)
    with pytest.warns(UserWarning, match="at the merge only"):
        keep_zeros(model)
    for name, dead in zeros_of(model.merge_and_unload()).items():
        assert torch.equal(dead, zeros[name])


def test_rescaling_adapters_need_no_warning(llama, tokens):
    zeros = zeros_of(llama)
    config = peft.IA3Config(
        target_modules=LINEARS, feedforward_modules=["down_proj"], init_ia3_weights=False
    )
    model = peft.get_peft_model(llama, config).eval()
    keep_zeros(model)
    adapted = model(tokens).logits
    merged = model.merge_and_unload()
    assert torch.allclose(merged(tokens).logits, adapted, atol=1e-5)
    for name, dead in zeros_of(merged).items():
        assert torch.equal(dead, zeros[name])


def test_models_without_or_with_merged_adapters_are_refused(llama):
    with pytest.raises(ValueError, match="no adapters of peft"):
        keep_zeros(llama)
    model = lora(llama)
    model.merge_adapter()
    with pytest.raises(ValueError, match="unmerge_adapter"):
        keep_zeros(model)


def test_mixed_batches_are_refused(llama, tokens):
    model = lora(llama)
    keep_zeros(model)
    with pytest.raises(ValueError, match="no adapter_names"):
        model(tokens, adapter_names=["default", "__base__"])
