"""SLoPe: the pattern, the backward pass of the doubly pruned weight, and what stays."""

from math import comb

import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.nn.language.tuning.slope import DoublePruned, pattern_mask
from gossamer.nn.language.tuning.training import next_token_loss

SLoPe = gs.nn.language.SLoPe


def _is_pattern(mask, n, m, axis):
    return bool((mask.movedim(axis, -1).unflatten(-1, (-1, m)).sum(-1) <= n).all())


def test_masks_are_the_largest_of_each_group():
    scores = torch.rand(8, 12)
    mask = pattern_mask(scores, gs.NofM(2, 4))
    for row, kept in zip(scores.view(-1, 4), mask.view(-1, 4), strict=True):
        assert set(row.topk(2).indices.tolist()) == set(kept.nonzero()[:, 0].tolist())


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 2), (2, 8)])
def test_share_that_the_second_pattern_takes(n, m):
    """Of random weights, as the authors derive it: sum_j C(m, j) s^j (1 - s)^(m - j) (j - n) / m
    of all entries, s = n / m."""
    layer = nn.Linear(1024, 1024)
    pruned = DoublePruned(layer, gs.NofM(n, m), 1, torch.Generator().manual_seed(0))
    assert _is_pattern(pruned.mask, n, m, 1) and _is_pattern(pruned.backward_mask, n, m, 0)
    assert not (pruned.backward_mask & ~pruned.mask).any()
    lost = float((pruned.mask & ~pruned.backward_mask).float().mean())
    s = n / m
    expected = sum(
        comb(m, j) * s**j * (1 - s) ** (m - j) * (j - n) / m for j in range(n + 1, m + 1)
    )
    assert lost == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("shape", [(6, 16), (2, 3, 16)])
def test_backward_is_autograd_with_the_doubly_pruned_matrix(shape):
    torch.manual_seed(0)
    pruned = DoublePruned(nn.Linear(16, 8), gs.NofM(2, 4), 2, torch.Generator().manual_seed(0))
    assert (pruned.backward_mask != pruned.mask).any()
    inputs = torch.randn(shape, requires_grad=True)
    weights = torch.randn(*shape[:-1], 8)
    (pruned(inputs) * weights).sum().backward()
    twin = inputs.detach().clone().requires_grad_()
    doubly = (pruned.layer.weight * pruned.backward_mask).detach()
    (nn.functional.linear(twin, doubly) * weights).sum().backward()
    torch.testing.assert_close(inputs.grad, twin.grad)
    dense = nn.Linear(16, 8)
    dense.load_state_dict(pruned.layer.state_dict())
    (dense(twin.detach()) * weights).sum().backward()
    torch.testing.assert_close(pruned.layer.weight.grad, dense.weight.grad * pruned.mask)
    torch.testing.assert_close(pruned.bias.grad, dense.bias.grad)
    torch.testing.assert_close(pruned(inputs), dense(inputs))


def test_training_keeps_the_pattern_and_dopes_in_the_last_steps(tiny, tokens):
    adapter = SLoPe(tiny, rank=2, lazy=0.25, every=3)
    first = {name: layer.mask.clone() for name, layer in adapter.layers.items()}
    doped, backward = [], []
    watched = adapter.layers["model.layers.0.mlp.up_proj"]

    def note(_):
        doped.append(watched.is_doped)
        backward.append(watched.backward_mask.clone())

    gs.nn.language.fine_tune(
        tiny, [tokens], adapter, steps=8, lr=1e-2, weight_decay=0.1, progress=note
    )
    assert doped == [False] * 6 + [True] * 2
    assert torch.equal(backward[0], backward[2]) and not torch.equal(backward[2], backward[3])
    for name, layer in adapter.layers.items():
        assert torch.equal(layer.mask, first[name])
        assert not layer.layer.weight[~layer.mask].any()
        assert layer.second.abs().sum() > 0
    assert adapter.density == 0.5


def test_everything_trains(tiny):
    before = sum(p.numel() for p in tiny.parameters())
    adapter = SLoPe(tiny, rank=2)
    low_rank = sum(2 * sum(layer.mask.shape) for layer in adapter.layers.values())
    assert adapter.trained == before + low_rank
    assert SLoPe.__name__.lower() == "slope"


def test_merge_leaves_sparse_layers_with_low_rank_ones(tiny, tokens):
    adapter = SLoPe(tiny, rank=2, lazy=0.5)
    gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=4, lr=1e-2)
    tuned, masks = tiny(tokens).logits.detach(), adapter.masks
    dense = adapter.layers["model.layers.1.self_attn.v_proj"].changed_weight().detach()
    adapter.merge()
    torch.testing.assert_close(tiny(tokens).logits, tuned)
    value = tiny.model.layers[1].self_attn.v_proj
    assert _is_pattern(value.sparse.weight != 0, 2, 4, 1)
    twice = torch.eye(32) @ dense.T
    torch.testing.assert_close(value(torch.eye(32)), twice)
    masks.hold(torch.optim.AdamW(tiny.parameters()))
    assert masks.density == 0.5


def test_merge_without_low_rank_leaves_plain_layers(tiny, tokens):
    adapter = SLoPe(tiny, rank=0, on="*.mlp.*")
    gs.nn.language.fine_tune(tiny, [tokens], adapter, steps=2)
    adapter.merge()
    assert type(tiny.model.layers[0].mlp.up_proj) is nn.Linear
    assert _is_pattern(tiny.model.layers[0].mlp.up_proj.weight != 0, 2, 4, 1)
    assert (tiny.model.layers[0].self_attn.q_proj.weight != 0).all()


def test_autocast(tiny, tokens):
    adapter = SLoPe(tiny, rank=0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = next_token_loss(tiny, tokens)
    loss.backward()
    assert all(layer.layer.weight.grad.dtype == torch.float32 for layer in adapter.layers.values())


def test_errors(tiny):
    with pytest.raises(ValueError, match="rank"):
        SLoPe(tiny, rank=-1)
    with pytest.raises(ValueError, match="lazy"):
        SLoPe(tiny, lazy=0)
    with pytest.raises(ValueError, match="multiple of 5"):
        SLoPe(tiny, 2, 5)
