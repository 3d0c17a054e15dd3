"""Sparse training: gradients, trajectories, and layers that are saved, copied and refused."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import gossamer as gs
from gossamer.runtime import SparseLinear, sparse_training, to_dense
from gossamer.runtime.training_pattern import Pattern, draw

LAYOUTS = (("csr", (1, 1)), ("condensed", (1, 1)), ("blocks", (16, 1)), ("blocks", (4, 3)))
SAMPLES = (0, 1, 3, 8, 17, 32, 70)


def layer(in_features=72, out_features=48, layout="csr", block=(1, 1), **options) -> SparseLinear:
    options = {"keep": 0.3, "seed": 0} | options
    if "fan_in" in options:
        del options["keep"]
    return SparseLinear(in_features, out_features, layout=layout, block=block, **options)


def stored_of(made: SparseLinear, dense: torch.Tensor) -> torch.Tensor:
    """The entries of a dense matrix at the places of the layer's values."""
    rows, columns = made.pattern.places()
    return dense[torch.from_numpy(rows), torch.from_numpy(columns)]


def reference(made: SparseLinear, x: torch.Tensor, g: torch.Tensor):
    """Output and gradients in float64, by a dense layer."""
    dense = made.to_linear().double()
    x = x.detach().double().requires_grad_()
    y = dense(x)
    y.backward(g.double())
    weight = stored_of(made, dense.weight.grad)
    return y.detach(), x.grad, weight, None if dense.bias is None else dense.bias.grad


def assert_close(got: torch.Tensor, expected: torch.Tensor) -> None:
    scale = float(expected.abs().max()) if expected.numel() else 1.0
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-5 * scale + 1e-12)


def assert_gradients(made: SparseLinear, x: torch.Tensor) -> None:
    g = torch.randn(*x.shape[:-1], made.out_features, generator=torch.Generator().manual_seed(1))
    x = x.detach().requires_grad_()
    y = made(x)
    made.zero_grad()
    y.backward(g)
    bias = made.bias.grad if made.bias is not None else None
    for got, expected in zip(
        (y, x.grad, made.values.grad, bias), reference(made, x, g), strict=True
    ):
        assert (got is None) == (expected is None)
        if got is not None:
            assert_close(got.detach(), expected)


def samples(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("count", (3, 70))
@pytest.mark.parametrize(("layout", "block"), LAYOUTS, ids=str)
def test_gradients_are_those_of_the_masked_dense_layer(layout, block, count):
    assert_gradients(layer(layout=layout, block=block), samples(count, 72))


@pytest.mark.parametrize("count", SAMPLES)
def test_gradients_of_any_number_of_samples(count):
    assert_gradients(layer(), samples(count, 72))


@pytest.mark.parametrize("shape", ((1, 1), (5, 33), (40, 1), (100, 17)), ids=str)
@pytest.mark.parametrize("keep", (0.0, 0.1, 0.6, 1.0))
def test_gradients_of_odd_shapes_and_shares(shape, keep):
    assert_gradients(layer(*shape, keep=keep, bias=False), samples(20, shape[0]))


def test_gradients_with_empty_rows_and_columns():
    linear = nn.Linear(30, 40)
    with torch.no_grad():
        linear.weight[::3], linear.weight[:, ::4] = 0, 0
    assert_gradients(SparseLinear.from_linear(linear), samples(9, 30))


def test_gradients_of_inputs_with_any_dimensions_and_strides():
    made = layer()
    assert_gradients(made, samples(2, 5, 72))
    assert_gradients(made, samples(72))
    assert_gradients(made, samples(72, 10).T)
    assert_gradients(made, samples(4, 144)[:, ::2])
    x = samples(6, 72).requires_grad_()
    made(x).sum().backward()  # the gradient of y has strides of zero
    assert_close(x.grad, reference(made, x, torch.ones(6, 48))[1])


def test_gradients_shared_by_threads(monkeypatch):
    monkeypatch.setattr("gossamer.runtime.training.WORTH_SHARING", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for count in (1, 20, 70):
            assert_gradients(layer(), samples(count, 72))
            assert_gradients(layer(layout="blocks", block=(16, 1)), samples(count, 72))
    finally:
        torch.set_num_threads(before)


def test_gradients_by_finite_differences():
    made = layer(12, 8)
    x = samples(3, 12)

    def loss(values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(made, {"values": values}, x).square().sum()

    values = made.values.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(values), values)
    for k in range(0, values.numel(), 5):
        step = torch.zeros_like(values).index_fill_(0, torch.tensor([k]), 0.1)
        # the loss is quadratic: central differences are exact
        slope = (loss(values.detach() + step) - loss(values.detach() - step)) / 0.2
        torch.testing.assert_close(gradient[k], slope, rtol=1e-3, atol=1e-3)


def test_gradients_by_functions_of_torch():
    made, x = layer(), samples(5, 72)

    def loss(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(made, parameters, x).square().sum()

    found = torch.func.grad(loss)({name: p.detach() for name, p in made.named_parameters()})
    made(x).square().sum().backward()
    for name, parameter in made.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_only_what_is_asked_for_has_gradients():
    made = layer()
    made.values.requires_grad_(False)
    made.bias.requires_grad_(False)
    x = samples(4, 72)
    assert not made(x).requires_grad
    made(x.requires_grad_()).sum().backward()
    assert made.values.grad is None and made.bias.grad is None and x.grad is not None


def test_without_gradients_the_output_is_the_same():
    made, x = layer(), samples(5, 72)
    with torch.no_grad():
        assert torch.equal(made(x), made(x))
        torch.testing.assert_close(made(x), made.to_linear()(x), rtol=1e-5, atol=1e-6)
    with torch.inference_mode():
        torch.testing.assert_close(made(x), made.to_linear()(x), rtol=1e-5, atol=1e-6)


def test_gradients_of_gradients_are_refused():
    x = samples(4, 72).requires_grad_()
    (slope,) = torch.autograd.grad(layer()(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="no gradients of gradients"):
        slope.sum().backward()


def test_values_that_change_before_the_backward_pass_are_noticed():
    made = layer()
    y = made(samples(4, 72).requires_grad_())
    with torch.no_grad():
        made.values.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


# -- training --
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


# -- a module like any other --
@pytest.mark.parametrize(("layout", "block"), LAYOUTS, ids=str)
def test_there_and_back(layout, block, tmp_path):
    made, x = layer(layout=layout, block=block), samples(3, 72)
    expected = made(x)
    dense = made.to_linear()
    mask = dense.weight != 0
    again = SparseLinear.from_linear(dense, mask, layout=layout, block=block)
    made_by_file = tmp_path / "model.safetensors"
    gs.nn.save_model(made, made_by_file)
    torch.save(made, tmp_path / "model.pt")
    copies = (
        again,
        copy.deepcopy(made),
        pickle.loads(pickle.dumps(made)),
        gs.nn.load_model(made_by_file, trust=[SparseLinear]),
        torch.load(tmp_path / "model.pt", weights_only=False),
    )
    for other in copies:
        assert torch.equal(other(x), expected)
        assert repr(other) == repr(made)
        with torch.no_grad():
            other.values.zero_()  # its own memory
        assert torch.equal(made(x), expected)
    assert torch.equal(made.weight.to_dense(), dense.weight)
    assert made.weight.layout == torch.sparse_csr


def test_blocks_keep_zeros_within():
    linear = nn.Linear(8, 16)
    linear.weight.data[3] = 0
    made = SparseLinear.from_linear(linear, layout="blocks", block=(8, 1))
    assert made.values.numel() == 128
    assert torch.equal(made.to_linear().weight, linear.weight)


def test_graphs_of_torch_break_there():
    made, x = layer(), samples(3, 72)
    y = torch.compile(made, backend="eager")(x)
    y.sum().backward()
    assert torch.equal(y, made(x)) and made.values.grad is not None


def test_values_may_get_other_memory():
    made, x = layer(), samples(3, 72)
    expected = made(x)
    made.values.data = made.values.data.clone() * 2
    made.bias.data = made.bias.data * 2
    torch.testing.assert_close(made(x), 2 * expected)


@torch.no_grad()
def test_first_values_have_the_variance_of_a_dense_layer():
    torch.manual_seed(1)
    x = samples(200, 2000)
    spread = float(nn.Linear(2000, 300)(x).std())
    for options in (
        {"keep": 0.01},
        {"fan_in": 16},
        {"keep": 0.02, "layout": "blocks", "block": (4, 4)},
    ):
        assert float(layer(2000, 300, **options)(x).std()) == pytest.approx(spread, rel=0.1)
    bounds = 1 / np.sqrt(layer(500, 40).pattern.fan_in())
    rows, _ = layer(500, 40).pattern.places()
    assert np.all(abs(layer(500, 40).values.detach().numpy()) <= bounds[rows] * (1 + 1e-6))


def test_seeds_decide():
    assert torch.equal(layer(seed=3).weight.to_dense(), layer(seed=3).weight.to_dense())
    torch.manual_seed(5)
    first = layer(seed=None)
    torch.manual_seed(5)
    assert torch.equal(first.weight.to_dense(), layer(seed=None).weight.to_dense())
    assert not torch.equal(first.columns, layer(seed=None).columns)


@pytest.mark.parametrize("among", (1, 7, 50))
def test_drawn_numbers_are_different_and_as_many_as_asked_for(among):
    rng = np.random.default_rng(0)
    counts = rng.integers(among + 1, size=40)
    sets = np.split(draw(rng, counts, among), np.cumsum(counts)[:-1])
    for drawn, count in zip(sets, counts, strict=True):
        assert len(np.unique(drawn)) == count and np.all(np.diff(drawn) > 0)
        assert np.all((drawn >= 0) & (drawn < among))


def test_every_place_is_as_likely():
    rng = np.random.default_rng(0)
    for keep in (0.25, 0.75):
        hits = np.zeros((4, 6))
        for _ in range(2000):
            pattern = Pattern.random(4, 6, rng, keep=keep)
            hits[np.repeat(np.arange(4), pattern.counts()), pattern.columns] += 1
        np.testing.assert_allclose(hits / 2000, keep, atol=0.05)


# -- models --
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


# -- refusals --
@pytest.mark.parametrize(
    ("options", "error"),
    (
        ({}, "either keep or fan_in"),
        ({"keep": 0.1, "fan_in": 3}, "either keep or fan_in"),
        ({"keep": 1.5}, "keep must be a share"),
        ({"fan_in": 11}, "fan_in must be"),
        ({"keep": 0.1, "layout": "coo"}, "layout must be"),
        ({"keep": 0.1, "layout": "blocks"}, "does not consist of 16 x 1 blocks"),
        ({"keep": 0.1, "layout": "blocks", "block": (3, 1)}, "1, 2, 4, 8 or 16 rows"),
        ({"fan_in": 3, "layout": "blocks", "block": (1, 2)}, "multiple of the blocks' width 2"),
    ),
)
def test_layers_that_cannot_be(options, error):
    with pytest.raises(ValueError, match=error):
        SparseLinear(10, 24, **options)


def test_inputs_that_do_not_fit():
    made = layer()
    with pytest.raises(ValueError, match=r"\(\.\.\., 72\), got \(3, 70\)"):
        made(torch.zeros(3, 70))
    with pytest.raises(TypeError, match="float64 on cpu"):
        made(torch.zeros(3, 72, dtype=torch.float64))
    with pytest.raises(TypeError, match="meta"):
        made(torch.zeros(3, 72, device="meta"))


def test_other_types_and_devices_are_refused_at_once():
    model = nn.Sequential(layer())
    with pytest.raises(TypeError, match=r"cannot become torch\.float64.*to_dense"):
        model.double()
    with pytest.raises(TypeError, match="on meta"):
        model.to("meta")
    model.cpu().float()(samples(2, 72))


def test_linears_that_do_not_fit():
    linear = nn.Linear(4, 4)
    with pytest.raises(TypeError, match=r"must be an nn\.Linear, got Tanh"):
        SparseLinear.from_linear(nn.Tanh())
    with pytest.raises(TypeError, match=r"linear\.weight must be float32"):
        SparseLinear.from_linear(nn.Linear(4, 4).double())
    with pytest.raises(ValueError, match="mask must be bool"):
        SparseLinear.from_linear(linear, torch.ones(4, 4))
    linear.weight.data[0, 0] = 0
    with pytest.raises(ValueError, match="3 to 4"):
        SparseLinear.from_linear(linear, layout="condensed")


def test_autocast_leaves_it_in_single_precision():
    model = nn.Sequential(nn.Linear(8, 72), layer())
    with torch.autocast("cpu", torch.bfloat16):
        y = model(samples(3, 8))
    assert y.dtype == torch.float32
    y.sum().backward()


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


def test_without_the_compiler():
    code = """
import torch
from gossamer.runtime import SparseLinear
for options in ({}, {"layout": "blocks", "block": (4, 2)}):
    made = SparseLinear(20, 8, keep=0.4, seed=0, **options)
    dense, x = made.to_linear(), torch.rand(5, 20, requires_grad=True)
    rows, columns = map(torch.from_numpy, made.pattern.places())
    expected = torch.autograd.grad(dense(x).square().sum(), [x, dense.weight])
    got = torch.autograd.grad(made(x).square().sum(), [x, made.values])
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[1], expected[1][rows, columns])
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("sides", ((1_000_000, 1024), (1024, 1_000_000)), ids=str)
def test_a_layer_whose_dense_weight_would_take_four_gigabytes(sides):
    made = layer(*sides, keep=0.001)
    x = samples(2, sides[0]).requires_grad_()
    y = made(x)
    # the same by torch's own sparse product
    expected = (made.weight @ x.detach().T).T + made.bias
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)
    y.sum().backward()
    columns = torch.from_numpy(made.pattern.places()[1])
    torch.testing.assert_close(made.values.grad, x.detach().sum(0)[columns], rtol=1e-4, atol=1e-4)
    sums = torch.zeros(sides[0]).index_add_(0, columns, made.values.detach())
    torch.testing.assert_close(x.grad, sums.expand(2, -1), rtol=1e-4, atol=1e-4)
