"""SparseLoRA: the estimator against exact scores, the sparse pass against a masked dense one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import gossamer as gs
from gossamer.nn.language.tuning.channel_choices import (
    LowRank,
    MlpChoice,
    QueryKeyChoice,
    ValueChoice,
)
from gossamer.nn.language.tuning.coupled import attentions, mlps
from gossamer.nn.language.tuning.training import next_token_loss

SparseLoRA = gs.nn.language.SparseLoRA


def test_low_rank_is_the_truncated_singular_value_decomposition():
    layer = nn.Linear(12, 20, bias=False)
    left, values, right = torch.linalg.svd(layer.weight.detach())
    inputs = torch.randn(7, 12)
    expected = inputs @ (left[:, :3] * values[:3] @ right[:3]).T
    torch.testing.assert_close(LowRank(layer, 3)(inputs), expected, atol=1e-4, rtol=1e-4)


def test_scores_at_full_rank_are_exact(tiny):
    inputs = torch.randn(2, 5, 32)
    mlp, attention = mlps(tiny)[1], attentions(tiny)[1]
    flat = inputs.view(10, 32)
    hidden = F.silu(mlp.makers["model.layers.1.mlp.gate_proj"](flat))
    hidden = hidden * mlp.makers["model.layers.1.mlp.up_proj"](flat)
    found = MlpChoice(mlp, 0.5, 32, F.silu).scores(flat)
    torch.testing.assert_close(found, hidden.norm(dim=0), atol=1e-4, rtol=1e-3)
    queries, keys, values = (
        layer(flat).norm(dim=0).detach() for layer in attention.makers.values()
    )
    # by hand: 8 heads of 4 channels, of which four share the keys of one
    expected = torch.tensor(
        [
            sum(float(queries[4 * (4 * g + h) + d]) for h in range(4)) / 4 * float(keys[4 * g + d])
            for g in range(2)
            for d in range(4)
        ]
    )
    found = QueryKeyChoice(attention, 0.5, 32).scores(flat)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    found = ValueChoice(attention, 0.5, 32).scores(flat)
    torch.testing.assert_close(found, values, atol=1e-4, rtol=1e-3)


def test_places_are_the_largest_scores(tiny):
    choice = MlpChoice(mlps(tiny)[0], 0.25, 4, F.silu)
    inputs = torch.randn(9, 32)
    choice.choose(inputs)
    best = choice.scores(inputs).topk(12).indices.sort().values
    assert all(torch.equal(places, best) for places in choice.places.values())
    assert len(choice.places) == 3
    pair = QueryKeyChoice(attentions(tiny)[0], 0.5, 4)
    pair.choose(inputs)
    queries, keys = pair.places.values()
    assert {(int(q) // 16, int(q) % 4) for q in queries} == {
        (int(k) // 4, int(k) % 4) for k in keys
    }
    assert len(queries) == 4 * len(keys) == 16


def _masked(model, adapter, tokens):
    """The loss of a dense model whose unchosen channels are multiplied by zero."""
    handles = []
    for choice in adapter.choices:
        for name, places in choice.places.items():
            layer = adapter.layers[name]
            mask = torch.zeros(layer.weight.shape[0 if name in choice.makers else 1])
            mask[places] = 1
            if name in choice.makers:
                hook = lambda m, i, o, mask=mask: o * mask  # noqa: E731
                handles.append(layer.layer.register_forward_hook(hook))
            else:
                pre = lambda m, i, mask=mask: (i[0] * mask,)  # noqa: E731
                handles.append(layer.layer.register_forward_pre_hook(pre))
    adapter.extent.is_on = False
    loss = next_token_loss(model, tokens)
    for handle in handles:
        handle.remove()
    return loss


def _of(model, **settings):
    adapter = SparseLoRA(model, rank=2, start=0, blocks=[0, 2], **settings)
    draws = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) / 5)
    model.train()
    return adapter


@pytest.mark.parametrize("settings", [{"channels": 0.25}, {"channels": 0.5, "attention": 0.5}])
def test_loss_and_gradients_are_those_of_a_masked_dense_model(tiny, tokens, settings):
    adapter = _of(tiny, **settings)
    loss = next_token_loss(tiny, tokens)
    found = torch.autograd.grad(loss, adapter.parameters())
    reference = _masked(tiny, adapter, tokens)
    expected = torch.autograd.grad(reference, adapter.parameters())
    torch.testing.assert_close(loss, reference)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_all_channels_are_the_dense_model(tiny, tokens):
    adapter = _of(tiny, channels=0.999, attention=0.999)  # rounds to all
    sparse = next_token_loss(tiny, tokens)
    tiny.eval()
    torch.testing.assert_close(sparse, next_token_loss(tiny, tokens))
    assert len(adapter.choices) == 6


def test_labelled_tokens_are_computed_whole(tiny, tokens):
    adapter = _of(tiny, channels=0.25)
    labels = tokens.clone()
    labels[0, :5] = labels[1, :7] = -100
    mlp = tiny.model.layers[0].mlp
    inputs = torch.randn(2, 12, 32)
    tiny(tokens, labels=labels)
    assert adapter.extent.context == 5
    sparse = mlp(inputs)
    adapter.extent.is_on = False
    dense = mlp(inputs)
    torch.testing.assert_close(sparse[:, 5:], dense[:, 5:])
    assert (sparse[:, :5] - dense[:, :5]).abs().amin(-1).max() > 0
    adapter.extent.is_on, labels[0, 0] = True, 3
    torch.testing.assert_close(tiny(tokens, labels=labels).loss, _dense(tiny, tokens, labels))


def _dense(model, tokens, labels):
    model.eval()
    return model(tokens, labels=labels).loss


def test_fewer_operations_in_both_passes(tiny, tokens):
    adapter = _of(tiny, channels=0.25)

    def count():
        with FlopCounterMode(display=False) as counter:
            next_token_loss(tiny, tokens).backward()
        return counter.get_total_flops()

    sparse = count()
    adapter.extent.is_on = False
    dense = count()
    tokens_, blocks, passes = tokens.numel(), 2, 2
    saved = 2 * tokens_ * blocks * passes * 3 * 32 * 36
    estimator = 2 * tokens_ * blocks * 2 * 8 * (32 + 48)
    assert dense - sparse == saved - estimator


def test_backward_keeps_no_copy_of_the_weights(tiny, tokens):
    adapter = _of(tiny, channels=0.5)
    layer, seen = adapter.layers["model.layers.0.mlp.gate_proj"], []
    pack = lambda t: seen.append(t) or t  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        layer(torch.randn(1, 100, 32, requires_grad=True))
    weights = [t for t in seen if t.shape[-2:] == (24, 32)]
    assert not weights


def test_start_and_evaluation_are_dense(tiny, tokens):
    adapter = SparseLoRA(tiny, rank=2, channels=0.1, start=0.5, blocks=[1])
    dense = next_token_loss(tiny.eval(), tokens).item()
    losses = gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=4, lr=1e-12).losses
    assert losses[:2] == pytest.approx([dense] * 2, rel=1e-6)
    assert abs(losses[2] - dense) > 1e-5
    assert next_token_loss(tiny.eval(), tokens).item() == pytest.approx(dense, rel=1e-6)


def test_merge_and_remove(tiny, tokens):
    before = copy.deepcopy(tiny.state_dict())
    adapter = _of(tiny)
    tuned = tiny.eval()(tokens).logits.detach()
    adapter.merge()
    torch.testing.assert_close(tiny(tokens).logits, tuned, atol=1e-5, rtol=1e-4)
    tiny.load_state_dict(before)
    SparseLoRA(tiny).remove()
    assert all(torch.equal(value, before[name]) for name, value in tiny.state_dict().items())
    assert not tiny._forward_pre_hooks


def test_errors(tiny):
    for settings, match in (
        ({"rank": 0}, "rank must be"),
        ({"channels": 0}, "channels must be"),
        ({"attention": 1.5}, "attention must be"),
        ({"start": -1}, "start must be"),
        ({"blocks": [3]}, "blocks 0 to 2, not"),
    ):
        with pytest.raises(ValueError, match=match):
            SparseLoRA(tiny, **settings)
