"""Adaptive regularisers: their formulas by hand, and their manners in a loop."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import gossamer as gs
from gossamer.nn import HyperSparse, MaskSparsity, RelevanceShrinkage


@pytest.fixture
def model():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(torch.rand_like(p) * 5)
    return net


def _weights(model):
    return [model[0].weight, model[2].weight]


def _energy(model):
    return sum(w.detach().square().sum().item() for w in _weights(model))


def test_hypersparse_has_the_gradient_of_its_loss(model):
    """sum_i |w_i| sum_j tanh(s |w_j|) / A - sum_i |w_i|, with A = sum_j tanh(s |w_j|) constant."""
    keep, strength = 0.25, 0.3
    HyperSparse(model, {"*": gs.L1(strength)}, keep).penalty().backward()
    found = torch.cat([w.grad.ravel() for w in _weights(model)])

    w = torch.cat([w.detach().ravel() for w in _weights(model)]).requires_grad_()
    size = w.abs()
    smallest = size.detach().sort().values[-round(keep * len(w))]
    saturated = torch.tanh(0.658479 / smallest * size).sum()
    (strength * (size.sum() * saturated / saturated.detach() - size.sum())).backward()
    torch.testing.assert_close(found, w.grad, rtol=1e-5, atol=1e-8)


def test_hypersparse_leaves_large_weights_alone():
    """A tenth of the weights far above the rest: they are not pulled, the others by strength."""
    model = nn.Linear(100, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.where(torch.arange(100) < 10, 10.0, 0.01))
        model.weight[0, 9] = 1.0  # the smallest that would be kept
    HyperSparse(model, {"*": gs.L1(1.0)}, keep=0.1).penalty().backward()
    pulls = model.weight.grad[0]
    assert (pulls[:9] < 1e-4 * pulls[10]).all()
    assert (pulls[10:] > 0.9).all()


def test_hypersparse_grows_and_keeps_the_share(model):
    art = HyperSparse(model, {"*": gs.L1(1e-3)}, keep=0.25, growth=1.1)
    before = art.penalty().item()
    for _ in range(10):
        art.step()
    assert art.penalty().item() == pytest.approx(before * 1.1**10)
    art.finalise()
    assert art.sparsity() == pytest.approx(0.75)
    assert art.penalty().item() == 0.0


def test_hypersparse_is_done_where_pruning_costs_nothing(model):
    art = HyperSparse(model, {"*": gs.L1(1e-3)}, keep=0.25)

    def size():
        return _energy(model)

    before = [w.clone() for w in _weights(model)]
    assert not art.is_done(size)
    assert all(torch.equal(a, b) for a, b in zip(before, _weights(model), strict=True))
    art.finalise()
    assert art.is_done(size)


def test_relevance_separates_the_loss_from_the_penalty(model):
    """The weights come from the loss's gradient alone, whatever the penalty adds to it."""
    rules = {"*": gs.ElasticNet(5.0, l1_ratio=0)}
    X = torch.randn(20, 6, dtype=torch.float64)
    loss = model(X).square().mean()
    expected = torch.autograd.grad(loss, _weights(model), retain_graph=True)
    decay = RelevanceShrinkage(model, rules, relevant=2.0, memory=0)
    for part, own in zip(decay.parts, _weights(model), strict=True):
        part.weights = torch.rand_like(part.weights)
        assert part.parameter is own
    (loss + decay.penalty()).backward()
    decay.step()
    for part, gradient in zip(decay.parts, expected, strict=True):
        relative = gradient.abs() / (2.0 * gradient.abs().mean())
        weights = (1 - relative).clamp(min=0).ravel()
        torch.testing.assert_close(part.weights, weights)


def test_relevance_looks_back_and_averages_units(model):
    decay = RelevanceShrinkage(
        model, {"0": gs.L1(0.1, on=gs.Channels())}, relevant=1.5, memory=0.75
    )
    w = model[0].weight
    gradients = torch.randn(3, *w.shape, dtype=w.dtype)
    mean = None
    for gradient in gradients:
        w.grad = gradient
        decay.step()
        now = gradient.abs().mean(dim=1)
        mean = now if mean is None else 0.75 * mean + 0.25 * now
    expected = (1 - mean / (1.5 * mean.mean())).clamp(min=0)
    torch.testing.assert_close(decay.parts[0].weights, expected)


def test_relevance_prunes_as_far_as_the_score_allows(model):
    decay = RelevanceShrinkage(model, {"*": gs.L1(0.1)})
    total = _energy(model)

    def share():
        return _energy(model) / total

    decay.prune_while(share, least=0.9)
    assert share() >= 0.9
    smallest = min(w[w != 0].abs().min().item() for w in _weights(model))
    assert share() - smallest**2 / total < 0.9  # one more would be too many
    zeros = [w == 0 for w in _weights(model)]
    with torch.no_grad():
        for w in _weights(model):
            w.add_(1.0)
    decay.step()
    assert all((w[z] == 0).all() for w, z in zip(_weights(model), zeros, strict=True))


def test_mask_sparsity_is_the_penalty_of_the_chosen_units(model):
    penalty = gs.MCP(0.2, gamma=5.0, on=gs.Channels())
    masked = MaskSparsity(model, {"0": penalty}, keep=0.5)
    w = model[0].weight
    chosen = w.norm(dim=1).argsort()[:4]
    parts = w.detach().numpy()[chosen.numpy()]
    assert masked.penalty().item() == pytest.approx(penalty.value(parts))
    masked.penalty().backward()
    assert (w.grad.norm(dim=1) > 0).sum() <= 4
    masked.finalise()
    assert set(torch.flatten((w == 0).all(dim=1).nonzero()).tolist()) == set(chosen.tolist())


def test_mask_sparsity_ranks_each_layer_or_all_together(model):
    with torch.no_grad():
        model[2].weight.mul_(1e-3)
    rules = {"*": gs.L1(0.1, on=gs.Channels())}
    each = MaskSparsity(copy.deepcopy(model), rules, keep=0.5)
    assert [int(c.sum()) for c in each._kept()] == [4, 2]
    together = MaskSparsity(copy.deepcopy(model), rules, keep=0.5, each=False)
    assert [int(c.sum()) for c in together._kept()] == [6, 1]  # never a layer without any


@pytest.mark.parametrize("kind", [HyperSparse, MaskSparsity, RelevanceShrinkage])
def test_any_structure_and_what_is_left(model, kind):
    """Filters, irregular groups and weights of a penalty; zeros stay zero after finalise."""
    groups = gs.Groups([[0, 1, 2], [3], [4, 5, 6, 7]])
    rules = {"0": gs.L1(0.1, on=groups, weights=[1.0, 0.0, 2.0]), "2": gs.L1(0.1, on=gs.Rows())}
    extra = {} if kind is RelevanceShrinkage else {"keep": 0.5}
    regulariser = kind(model, rules, **extra)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    X = torch.randn(20, 6, dtype=torch.float64)

    def train(steps):
        for _ in range(steps):
            optimiser.zero_grad()
            (model(X).square().mean() + regulariser.penalty()).backward()
            optimiser.step()
            regulariser.step()

    train(5)
    report = regulariser.finalise()
    assert set(report) == {"0.weight", "2.weight"}
    zeros = [w == 0 for w in _weights(model)]
    train(5)
    assert all((w[z] == 0).all() for w, z in zip(_weights(model), zeros, strict=True))
    assert regulariser.sparsity() == pytest.approx(
        np.mean(np.concatenate([z.numpy().ravel() for z in zeros]))
    )


def test_refusals(model):
    with pytest.raises(ValueError, match="HyperSparse reweighs L1 penalties, got MCP"):
        HyperSparse(model, {"*": gs.MCP(0.1)}, keep=0.1)
    with pytest.raises(ValueError, match=r"keep must be a share of units in \(0, 1\], got 1.5"):
        MaskSparsity(model, {"*": gs.L1(0.1)}, keep=1.5)
    with pytest.raises(ValueError, match="growth must be a finite number >= 1"):
        HyperSparse(model, {"*": gs.L1(0.1)}, keep=0.1, growth=0.9)
    with pytest.raises(ValueError, match="relevant must be > 0"):
        RelevanceShrinkage(model, {"*": gs.L1(0.1)}, relevant=0)
    with pytest.raises(ValueError, match=r"memory must be in \[0, 1\)"):
        RelevanceShrinkage(model, {"*": gs.L1(0.1)}, memory=1.0)
    with pytest.raises(ValueError, match="selects no weight"):
        MaskSparsity(model, {"conv*": gs.L1(0.1)}, keep=0.5)
