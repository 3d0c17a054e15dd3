"""Sparse training: trajectories, rewiring, whole models, several processes."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sparse_layers import LAYOUTS, assert_gradients, layer, samples
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

import gossamer as gs
from gossamer.runtime import SparseLinear, sparse_training, to_dense, training_models


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.from_numpy(x / 16).float(), torch.from_numpy(y)


def pruned() -> tuple[nn.Sequential, list[torch.Tensor]]:
    """A perceptron at 80 % sparsity, and its masks."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )
    masks = [torch.rand_like(m.weight) < 0.2 for m in model if isinstance(m, nn.Linear)]
    for module, mask in zip(model[::2], masks, strict=True):
        module.weight.data *= mask
    return model, masks


def as_sparse(model: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(
        *(SparseLinear.from_linear(m) if isinstance(m, nn.Linear) else m for m in model)
    )


def train(model, optimiser, steps, first=0, after=lambda: None):
    x, y = digits()
    for step in range(first, first + steps):
        chosen = torch.randperm(1500, generator=torch.Generator().manual_seed(step))[:64]
        optimiser.zero_grad()
        loss = F.cross_entropy(model(x[chosen]), y[chosen])
        loss.backward()
        optimiser.step()
        after()
    return float(loss.detach())


def accuracy(model: nn.Module) -> float:
    x, y = digits()
    with torch.no_grad():
        return float((model(x[1500:]).argmax(1) == y[1500:]).float().mean())


@pytest.mark.parametrize("optimiser", ("sgd", "adam"))
def test_training_follows_that_of_the_masked_dense_network(optimiser):
    make = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-4),
        "adam": lambda p: torch.optim.Adam(p, lr=2e-3, eps=1e-4),
    }[optimiser]
    dense, masks = pruned()
    sparse = as_sparse(dense)

    @torch.no_grad()
    def mask_again() -> None:
        for module, mask in zip(dense[::2], masks, strict=True):
            module.weight *= mask

    steps = 200
    losses = (
        train(sparse, make(sparse.parameters()), steps),
        train(dense, make(dense.parameters()), steps, after=mask_again),
    )
    assert losses[0] == pytest.approx(losses[1], rel=1e-2, abs=1e-4)
    for a, b in zip(to_dense(sparse)[::2], dense[::2], strict=True):
        torch.testing.assert_close(a.weight, b.weight, rtol=1e-2, atol=2e-3)
        assert bool(((a.weight != 0) <= (b.weight != 0)).all())
    assert accuracy(sparse) == pytest.approx(accuracy(dense), abs=0.01)
    assert accuracy(sparse) > 0.8


def test_the_state_of_the_optimiser_is_as_large_as_the_values():
    made = layer(1000, 1000, keep=0.01)
    optimiser = torch.optim.Adam(made.parameters())
    made(samples(2, 1000)).sum().backward()
    optimiser.step()
    held = sum(t.numel() for state in optimiser.state.values() for t in state.values())
    assert held == 2 * (10_000 + 1000) + 2


def test_training_goes_on_from_a_state_dict():
    def start(seed: int) -> tuple[nn.Sequential, torch.optim.Optimizer]:
        model = nn.Sequential(layer(64, 32, seed=seed), nn.ReLU(), layer(32, 10, seed=seed + 1))
        return model, torch.optim.Adam(model.parameters())

    model, optimiser = start(0)
    train(model, optimiser, 5)
    saved = copy.deepcopy((model.state_dict(), optimiser.state_dict()))
    expected = train(model, optimiser, 5, first=5)
    # another pattern of zeros, which the saved one replaces
    other, resumed = start(7)
    other(samples(2, 64))
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert train(other, resumed, 5, first=5) == expected


@pytest.mark.parametrize(("layout", "block"), LAYOUTS, ids=str)
def test_rewiring_moves_the_smallest_weights_of_each_row(layout, block):
    made = layer(layout=layout, block=block)
    optimiser = torch.optim.Adam(made.parameters(), lr=1e-4)
    made(samples(5, 72)).square().sum().backward()
    optimiser.step()
    moments = optimiser.state[made.values]["exp_avg"]
    before, pattern = made.values.detach().clone(), made.pattern
    counts, kinds = pattern.counts(), moments[before != 0].clone()
    made.rewire(0.3, optimiser, seed=0)
    size = made.height * made.width
    there = made.values.detach().view(-1, size).abs().sum(1).numpy()
    rows = np.split(there, np.cumsum(counts)[:-1])
    olds = np.split(before.view(-1, size).abs().sum(1).numpy(), np.cumsum(counts)[:-1])
    for new, old, count in zip(rows, olds, counts, strict=True):
        dropped = int(0.3 * count)
        assert int((new == 0).sum()) == dropped
        np.testing.assert_allclose(np.sort(new[new != 0]), np.sort(old)[dropped:], rtol=1e-6)
    # each weight took its moment along, and every place is there once
    pairs = {(round(float(v), 7), round(float(m), 7)) for v, m in zip(before, kinds, strict=True)}
    kept = made.values.detach() != 0
    for value, moment in zip(made.values.detach()[kept], moments[kept], strict=True):
        assert (round(float(value), 7), round(float(moment), 7)) in pairs
    assert not moments[~kept].any()
    assert (
        len(set(zip(*map(np.ndarray.tolist, made.pattern.places()), strict=True))) == kept.numel()
    )
    assert_gradients(made, samples(6, 72))


def test_rewiring_that_cannot_be():
    with pytest.raises(ValueError, match="share must be"):
        layer().rewire(1.2)
    with pytest.raises(ValueError, match="more than half"):
        layer(keep=0.6).rewire(0.1)


def test_layers_that_gain_become_sparse_and_dense_again():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(1024, 1024), nn.Tanh(), nn.Linear(1024, 1024), nn.Linear(1024, 4)
    )
    gs.nn.prune(model[0], keep=0.01)
    gs.nn.prune(model[3], keep=0.9)
    x = samples(64, 1024)
    sparse = sparse_training(model, x)
    kinds = [type(module) for module in sparse]
    assert kinds == [SparseLinear, nn.Tanh, nn.Linear, nn.Linear]
    torch.testing.assert_close(sparse(x), model(x), rtol=1e-4, atol=1e-5)
    back = to_dense(sparse)
    assert all(
        torch.equal(a, b) for a, b in zip(back.parameters(), model.parameters(), strict=True)
    )


def test_blocks_are_found():
    model = nn.Sequential(nn.Linear(512, 512, bias=False))
    gs.nn.prune(model, keep=0.05, on=gs.Blocks((16, 1)))
    made = sparse_training(model, samples(64, 512))[0]
    assert made.kind == "blocks" and made.values.numel() == int(model[0].weight.count_nonzero())


def test_tied_and_hooked_layers_stay_dense():
    model = nn.Sequential(nn.Linear(600, 600), nn.Linear(600, 600), nn.Linear(600, 600))
    model[1].weight = model[0].weight
    model[2].register_forward_hook(lambda *_: None)
    for module in model:
        module.weight.data.zero_()
    made = sparse_training(model, samples(16, 600))
    assert [type(module) for module in made] == [nn.Linear] * 3
    assert made[0].weight is made[1].weight


class Reading(nn.Module):
    """Calls two layers, one of them by name, and reads the weight of one."""

    def __init__(self):
        super().__init__()
        self.read, self.called = nn.Linear(64, 64), nn.Linear(64, 64)

    def forward(self, x):
        return F.linear(self.called(input=self.read(x)), self.read.weight)


def test_layers_whose_weight_is_read_stay_dense(monkeypatch):
    monkeypatch.setattr(
        training_models, "_fastest", lambda linear, shape: SparseLinear.from_linear(linear)
    )
    model = Reading()
    gs.nn.prune(model, keep=0.05)
    made = sparse_training(model, torch.randn(4, 64))
    assert [type(part) for part in made.children()] == [nn.Linear, SparseLinear]


def test_layers_with_masks_of_torch_stay_dense():
    model = nn.Sequential(nn.Linear(64, 64))
    prune.l1_unstructured(model[0], "weight", 0.95)
    made = sparse_training(model, torch.randn(4, 64))
    assert type(made[0]) is nn.Linear
    made(torch.randn(4, 64)).sum().backward()
    assert made[0].weight_orig.grad.any()


def test_mistakes_of_the_model_are_told():
    model = Reading()
    gs.nn.prune(model, keep=0.05)
    del model.called
    with pytest.raises(AttributeError, match="called"):
        sparse_training(model, torch.randn(4, 64))


def test_the_example_leaves_no_trace():
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))
    gs.nn.prune(model[0], keep=0.02)
    sparse_training(model, torch.randn(16, 64))
    assert int(model[1].num_batches_tracked) == 0
    assert not model[1].running_mean.any()


def test_a_transformer_trains_sparse():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(64, 2, 1024, dropout=0.0, batch_first=True)
    gs.nn.prune(model.linear1, keep=0.01)
    gs.nn.prune(model.linear2, keep=0.01)
    x = samples(8, 16, 64)
    sparse = sparse_training(model, x)
    assert isinstance(sparse.linear1, SparseLinear)
    torch.testing.assert_close(sparse(x), model(x), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(sparse.eval()(x), model.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_train_one_layer(tmp_path):
    code = """
import os, sys, torch
from torch import nn
from gossamer.runtime import SparseLinear
rank, file = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
# places of its own, which those of the first process replace
made = nn.Sequential(nn.Linear(8, 40), SparseLinear(40, 24, keep=0.2, seed=rank))
parallel = nn.parallel.DistributedDataParallel(made)
torch.manual_seed(rank)
x = torch.randn(6, 8)
parallel(x).square().sum().backward()
torch.save((made.state_dict(), x, made[1].values.grad), f"{file}.{rank}")
torch.distributed.barrier()
os._exit(0)  # gloo's threads may abort a process that finalises Python
"""
    file = tmp_path / "meeting"
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), str(file)]) for rank in (0, 1)
    ]
    assert [child.wait(120) for child in children] == [0, 0]
    (state, first, gradient), (other, second, same) = (
        torch.load(f"{file}.{rank}") for rank in (0, 1)
    )
    assert torch.equal(gradient, same)
    assert all(torch.equal(state[name], other[name]) for name in state)
    alone = nn.Sequential(nn.Linear(8, 40), layer(40, 24, keep=0.2, seed=0))
    alone.load_state_dict(state)
    (sum(alone(x).square().sum() for x in (first, second)) / 2).backward()
    torch.testing.assert_close(gradient, alone[1].values.grad)
