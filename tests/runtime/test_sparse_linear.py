"""SparseLinear as a module like any other: made, saved, copied and refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sparse_layers import LAYOUTS, layer, samples
from torch import nn

import gossamer as gs
from gossamer.runtime import SparseLinear
from gossamer.runtime.training_pattern import Pattern, draw


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
    with pytest.raises(ValueError, match="must not be negative, got -3 and 4"):
        SparseLinear(-3, 4, keep=0.5)
    with pytest.raises(TypeError, match="block must be a pair"):
        SparseLinear(16, 16, keep=0.5, layout="blocks", block=16)


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


def test_it_is_single_precision_whatever_torch_makes_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        made = SparseLinear(8, 4, keep=0.5)
    finally:
        torch.set_default_dtype(before)
    assert made.values.dtype == made.bias.dtype == made(torch.ones(1, 8)).dtype == torch.float32


@pytest.mark.parametrize("layout", ("csr", "condensed", "blocks"))
@pytest.mark.parametrize("sides", ((6, 0), (0, 16), (0, 0)), ids=str)
def test_layers_without_inputs_or_outputs(layout, sides):
    made = SparseLinear(*sides, fan_in=min(2, sides[0]), layout=layout)
    x = torch.ones(3, sides[0], requires_grad=True)
    y = made(x)
    y.sum().backward()
    assert y.shape == (3, sides[1]) and x.grad.shape == x.shape
    assert made.layout.dense().shape == sides[::-1]
