"""Group-sparse LoRA: the penalty against its definitions, and groups that are left as they were."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import gossamer as gs
from gossamer.nn.language import GroupSparseLoRA, fine_tune
from gossamer.nn.language.tuning.registry import ADAPTERS

BLOCKS = {
    "LlamaForCausalLM": (
        "model.layers.{}",
        ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    ),
    "GPT2LMHeadModel": ("transformer.h.{}", ("mlp.c_fc", "mlp.c_proj")),
    "GPTNeoXForCausalLM": ("gpt_neox.layers.{}", ("mlp.dense_h_to_4h", "mlp.dense_4h_to_h")),
    "OPTForCausalLM": ("model.decoder.layers.{}", ("fc1", "fc2")),
    "BertForMaskedLM": ("bert.encoder.layer.{}", ("intermediate.dense", "output.dense")),
    "PlainDecoder": ("steps.{}", ("reading", "mixing", "up", "down")),
}
STRENGTH = 0.3


def classifier(depth: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return gs.nn.VisionTransformer(8, 4, width=16, depth=depth, heads=2, hidden=24)


def squares(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return 100 * (model(batch[0]) - batch[1]).square().mean()


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    """Outputs of the same model with another first block: one group suffices."""
    model, inputs = classifier(), torch.randn(64, 1, 8, 8)
    with torch.no_grad():
        model.blocks[0].linear2.weight += 0.3 * torch.randn(16, 1) @ torch.randn(1, 24)
        return inputs, model(inputs)


@pytest.fixture(scope="module")
def trained(data) -> GroupSparseLoRA:
    """On a model of its own, to the end."""
    model = classifier()
    adapter = GroupSparseLoRA(model, rank=2, penalty=gs.L1(STRENGTH))
    fine_tune(model, [data], adapter, steps=400, lr=0.02, loss=squares)
    return adapter


def test_the_feed_forward_layers_of_each_block_are_a_group(any_model):
    block, layers = BLOCKS[type(any_model).__name__]
    assert GroupSparseLoRA(any_model, rank=2).groups == {
        block.format(i): tuple(f"{block.format(i)}.{layer}" for layer in layers) for i in (0, 1)
    }


def test_groups_are_blocks_layers_or_what_a_function_says():
    sizes = [(len(GroupSparseLoRA(classifier(), groups=groups).groups)) for groups in
             ("block", "module", lambda name: name.rpartition(".")[2])]  # fmt: skip
    assert sizes == [3, 6, 2]


def test_attaching_changes_no_output_and_the_change_is_the_product_of_the_factors(
    any_model, tokens
):
    def outputs() -> Tensor:
        found = any_model(tokens)
        return getattr(found, "logits", found)

    before = outputs()
    weights = {name: p.detach().clone() for name, p in any_model.named_parameters()}
    adapter = GroupSparseLoRA(any_model, rank=3)
    assert torch.equal(outputs(), before)
    with torch.no_grad():
        for vector in adapter.parameters():
            vector.normal_(0.0, 0.2)
    state, adapted = adapter.state_dict(), outputs()
    adapter.merge()
    assert torch.allclose(outputs(), adapted, atol=1e-4)
    assert not torch.allclose(adapted, before, atol=1e-2)
    for name, p in any_model.named_parameters():
        layer = name.removesuffix(".weight")
        change = torch.zeros(())
        if f"{layer}.up" in state:
            change = state[f"{layer}.up"] @ state[f"{layer}.down"]
            change = change if change.shape == p.shape else change.T
        assert torch.allclose(p, weights[name] + change, atol=1e-6)


def test_the_size_of_a_group_is_at_least_the_root_of_twice_the_nuclear_norms():
    """With equality at balanced factors: what the penalty charges a change for."""
    adapter = GroupSparseLoRA(classifier(), rank=4)
    with torch.no_grad():
        for vector in adapter.parameters():
            vector.normal_()
    layers, balanced, nuclear = adapter.groups["blocks.1"], {}, 0.0
    state = adapter.state_dict()
    for layer in layers:
        left, values, right = torch.linalg.svd(state[f"{layer}.up"] @ state[f"{layer}.down"])
        left, values, right = left[:, :4], values[:4], right[:4]
        nuclear += float(values.sum())
        balanced |= {
            f"{layer}.up": left * values.sqrt(),
            f"{layer}.down": values.sqrt()[:, None] * right,
        }
    smallest = (2 * nuclear) ** 0.5
    assert adapter.sizes()["blocks.1"] > smallest
    adapter.load_state_dict(balanced)
    assert adapter.sizes()["blocks.1"] == pytest.approx(smallest, rel=1e-5)


def test_groups_that_are_not_needed_are_exactly_zero_and_their_weights_untouched(trained):
    assert trained.alive() == ["blocks.0"]
    assert "1 of 3 groups alive: blocks.0" in repr(trained)
    for name in ("blocks.1.linear1", "blocks.2.linear2"):
        assert not any(factor.any() for factor in trained.layers[name].factors().values())
    model = classifier()
    before = copy.deepcopy(model.state_dict())
    adapter = GroupSparseLoRA(model, rank=2)
    adapter.load_state_dict(trained.state_dict())
    after = adapter.merge().state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {"blocks.0.linear1.weight", "blocks.0.linear2.weight"}


def test_training_ends_where_the_gradient_balances_the_penalty(trained, data):
    """The first-order condition of the group lasso, from its definition."""
    vector = trained.layers["blocks.0.linear1"].vector
    (gradient,) = torch.autograd.grad(squares(trained.model, data), vector)
    violation = (gradient + STRENGTH * vector / vector.norm()).norm()
    # measured: 2 % of the penalty's slope, as the rate falls before the end is quite reached
    assert float(violation.detach()) < 0.05 * STRENGTH


def test_without_strength_it_is_lora(data):
    model = classifier()
    adapter = GroupSparseLoRA(model, rank=2, penalty=gs.L1(0.0))
    tuned = fine_tune(model, [data], adapter, steps=60, lr=0.02, loss=squares)
    assert len(adapter.alive()) == 3 and tuned.losses[-1] < 0.2 * tuned.losses[0]


def test_the_penalty_sets_in_after_the_warm_up(data):
    model, alive = classifier(), []
    adapter = GroupSparseLoRA(model, rank=2, penalty=gs.L1(100.0), warm_up=0.5)
    fine_tune(model, [data], adapter, steps=10, lr=0.02, loss=squares,
              progress=lambda log: alive.append(len(adapter.alive())))  # fmt: skip
    assert alive == [3] * 5 + [0] * 5


def test_living_groups_alone_are_saved_and_taken_over(trained, data, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(trained.state_dict(), tmp_path / "change.safetensors")
    state = safetensors.load_file(tmp_path / "change.safetensors")
    assert {name.split(".linear")[0] for name in state} == {"blocks.0"}
    other = classifier()
    taken = GroupSparseLoRA(other, rank=2, groups="module")
    taken.load_state_dict(state)
    assert taken.alive() == ["blocks.0.linear1", "blocks.0.linear2"]
    assert torch.equal(other(data[0]), trained.model(data[0]))


def test_a_state_of_other_layers_or_ranks_is_refused():
    adapter = GroupSparseLoRA(classifier(), rank=2)
    for state in ({"head.up": torch.zeros(10, 2)}, {"blocks.0.linear1.up": torch.zeros(24, 3)}):
        with pytest.raises(ValueError, match="another adapter"):
            adapter.load_state_dict(state)


def test_weights_of_coarse_types_are_changed_in_single_precision():
    model = classifier().to(torch.bfloat16)
    adapter = GroupSparseLoRA(model, rank=2)
    assert {vector.dtype for vector in adapter.parameters()} == {torch.float32}
    inputs = torch.randn(2, 1, 8, 8, dtype=torch.bfloat16)
    assert model(inputs).dtype == torch.bfloat16
    assert adapter.merge().blocks[0].linear1.weight.dtype == torch.bfloat16


def test_layers_narrower_than_the_rank_have_as_much_as_they_can():
    adapter = GroupSparseLoRA(classifier(), rank=1000)
    assert adapter.state_dict()["blocks.0.linear1.down"].shape == (16, 16)


def test_wrong_settings_are_refused():
    model = classifier()
    for settings, error, says in (
        ({"rank": 0}, ValueError, "rank must be an integer >= 1"),
        ({"warm_up": 1.0}, ValueError, "warm_up must be a share"),
        ({"groups": "head"}, ValueError, "groups must be 'block', 'module' or a function"),
        ({"penalty": 0.1}, TypeError, "penalty must be one of a size"),
        ({"penalty": gs.L1(0.1, weights=[1.0])}, ValueError, "penalty must have no weights"),
        ({"penalty": gs.L1(0.1, on=gs.Rows())}, ValueError, "penalty must be without on="),
        ({"penalty": gs.L1(0.1, nonnegative=True)}, ValueError, "penalty must be without"),
        ({"on": "patches"}, ValueError, "no linear layer"),
    ):
        with pytest.raises(error, match=says):
            GroupSparseLoRA(model, **settings)
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module"):
        GroupSparseLoRA(3)
    assert all(p.requires_grad for p in model.parameters())
    GroupSparseLoRA(model)
    with pytest.raises(ValueError, match="adapter already"):
        GroupSparseLoRA(model)


def test_it_is_known_by_name():
    assert ADAPTERS["group-sparse-lora"] is GroupSparseLoRA
