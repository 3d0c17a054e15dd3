"""Values stored as int8 with a scale for each input: rounding, products, compiled models."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from compiled_models import pruned, sparse_layers_win
from layout_cases import blocks
from torch import nn

import gossamer as gs
from gossamer.nn.memory import parameter_bytes
from gossamer.runtime import BlockRows, Bounds, ByColumns, SkippingLinear, SlicedRows
from gossamer.runtime.calibration import name_of
from gossamer.runtime.candidates import Options
from gossamer.runtime.convolution import RuntimeConv2d
from gossamer.runtime.shortlist import shortlist
from gossamer.runtime.stored_values import in_units
from gossamer.runtime.threads import run_parts

KINDS = (
    (BlockRows, {"height": 16, "width": 1}),
    (BlockRows, {"height": 4, "width": 4}),
    (SlicedRows, {"window": 16}),
    (SlicedRows, {"window": 32}),
    (ByColumns, {}),
)
kinds = pytest.mark.parametrize(("kind", "options"), KINDS)


@pytest.fixture
def weight(rng):
    """In 16 x 4 blocks; columns of different sizes, one of them empty."""
    weight = rng.standard_normal((96, 64)) * blocks(16, 4)(rng, (96, 64), 0.4)
    weight *= 10.0 ** rng.integers(-3, 3, 64)
    return weight.astype(np.float32)


def nearest(weight):
    """Each column in 127 steps up to its largest weight, and half a step of each."""
    step = abs(weight.astype(np.float64)).max(0) / 127
    step[step == 0] = 1
    return np.rint(weight / step) * step, step / 2


@kinds
def test_weights_are_the_nearest_steps(weight, kind, options):
    layout = kind.build(weight, precision="int8", **options)
    expected, half = nearest(weight)
    got = layout.dense()
    assert layout.values.dtype == np.int8 and layout.scales.shape == (64,)
    assert (abs(got - weight) <= half * 1.001).all()
    assert (abs(got - expected) <= half * 1e-3 + 1e-4 * abs(expected)).mean() > 0.99
    assert not got[weight == 0].any()
    again = kind.build(got, precision="int8", **options)
    np.testing.assert_array_equal(again.dense(), got)


@kinds
@pytest.mark.parametrize("threads", (1, 2))
def test_products_are_those_of_the_rounded_weight(rng, weight, kind, options, threads):
    layout = kind.build(weight, precision="int8", **options)
    exact = nearest(weight)[0].T
    bias = rng.standard_normal(96, dtype=np.float32)
    for samples in (1, 2, 3, 5, 17, 64):
        x = rng.standard_normal((samples, 64), dtype=np.float32)
        for bounds in (Bounds(), Bounds(0.0, 6.0)):
            expected = (x @ exact + bias).clip(bounds.low, bounds.high)
            got = layout.matmul(x, bias, bounds, threads=threads)
            # a weight in the middle of two steps may have become either
            assert abs(got - expected).max() <= 1e-3 * (abs(x) @ abs(exact)).max()


@pytest.mark.parametrize(("kind", "options"), KINDS[1:3])
@pytest.mark.parametrize("crew", ("openmp", "pool"))
def test_threads_scale_the_inputs_of_their_parts(rng, weight, kind, options, crew):
    layout = kind.build(weight, precision="int8", **options)
    x, bias = rng.standard_normal((24, 64), dtype=np.float32), np.zeros(96, np.float32)
    expected, limits = x @ layout.dense().T, Bounds().limits
    parts = np.array([(0, 24, 0, 32), (0, 24, 32, 96)], np.intp)
    for product in (layout.products()[0], layout.products()[-1]):
        y = np.empty(24 * 96, np.float32)
        run_parts(crew, product, parts, layout, x.reshape(-1), bias, *limits, y)
        np.testing.assert_allclose(y.reshape(24, 96), expected, rtol=1e-5, atol=1e-3)


@kinds
def test_results_are_close_to_those_of_the_weight(rng, weight, kind, options):
    layout = kind.build(weight, precision="int8", **options)
    x = rng.standard_normal((20, 64), dtype=np.float32)
    expected = x @ weight.T
    assert np.linalg.norm(layout.matmul(x) - expected) < 0.01 * np.linalg.norm(expected)


@pytest.mark.parametrize("wrong", (np.nan, np.inf, -np.inf))
def test_weights_that_are_not_finite_are_refused(weight, wrong):
    weight[3, 5] = wrong
    for kind, options in KINDS[2:]:
        with pytest.raises(ValueError, match="NaN or infinity cannot be stored as int8"):
            kind.build(weight, precision="int8", **options)
    for layout in shortlist(weight, 1, Options(values="int8")):
        assert layout.arrays()["values"].dtype != np.int8


def test_scales_of_extreme_columns():
    largest, smallest = np.finfo(np.float32).max, np.float32(1e-45)
    weight = np.array([[largest, smallest, 1e-30, 0.0]], np.float32)
    whole, units = in_units(weight, "int8")
    assert np.isfinite(units).all() and (units > 0).all()
    np.testing.assert_array_equal(whole, [[127, 0, 127, 0]])
    np.testing.assert_allclose((whole * units)[0, [0, 2]], weight[0, [0, 2]], rtol=1e-4)


def test_their_products_are_measured_apart(weight):
    layouts = [BlockRows.build(weight, precision=p) for p in ("float32", "bfloat16", "int8")]
    for product in layouts[0].products():
        assert len({name_of(product, layout) for layout in layouts}) == 3
    slab = next(p for p in layouts[0].products() if p.name.startswith("slabs"))
    extra = slab.work(layouts[2], 3).keys() - slab.work(layouts[0], 3).keys()
    assert extra == {"packed"}


def test_they_take_about_a_quarter_of_the_memory(rng):
    weight = blocks(16, 1)(rng, (256, 1024), 0.2) * rng.standard_normal((256, 1024))
    exact, small = (
        BlockRows.build(weight.astype(np.float32), precision=p).nbytes for p in ("float32", "int8")
    )
    assert small < 0.4 * exact


def test_the_best_of_each_precision_is_on_the_shortlist(weight):
    found = shortlist(weight, 1, Options("memory", "int8"))
    assert found[0].precision == "int8"
    assert {"float32", "bfloat16"} <= {layout.precision for layout in found}
    exact = shortlist(weight, 1, Options("memory"))
    assert {layout.precision for layout in exact} == {"float32"}


def test_compiled_models_are_saved_and_sent(tmp_path, monkeypatch):
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(
        nn.Sequential(nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 64)), gs.Blocks((16, 1))
    )
    x = torch.randn(3, 512)
    fast = gs.compile(model, x, "memory", values="int8")
    found = gs.runtime.report(fast)
    assert all("int8" in row.layout for row in found.layers)
    assert found.total.bytes < 0.5 * parameter_bytes(gs.compile(model, x, "memory"))
    assert 1e-6 < found.deviation < 0.02
    assert fast.state_dict()["0.values"].dtype == torch.int8
    expected = fast(x)
    gs.nn.save_model(fast, tmp_path / "fast.safetensors")
    for again in (
        gs.nn.load_model(tmp_path / "fast.safetensors"),
        pickle.loads(pickle.dumps(fast)),
        copy.deepcopy(fast),
    ):
        np.testing.assert_array_equal(again(x), expected)
    np.testing.assert_allclose(gs.runtime.to_dense(fast)(x).detach(), expected, atol=1e-5)


def test_more_precise_layouts_stay_where_the_tolerance_asks_for_them(monkeypatch):
    sparse_layers_win(monkeypatch)
    torch.manual_seed(0)
    model = pruned(nn.Sequential(nn.Linear(512, 64)), gs.Blocks((16, 1)))
    for tolerance, layout in ((1e-5, "blocks 16x1"), (0.05, "blocks 16x1 int8")):
        fast = gs.compile(model, torch.randn(3, 512), "memory", values="int8", tolerance=tolerance)
        assert [row.layout for row in gs.runtime.report(fast).layers] == [layout]


@pytest.mark.parametrize("samples", (1, 200))
def test_layers_that_skip_inputs_read_a_quarter(samples):
    torch.manual_seed(0)
    linear = nn.Linear(70, 45)
    module = SkippingLinear.of(linear, torch.full((70,), 0.2), precision="int8")
    x = torch.randn(samples, 70)
    rounded = torch.from_numpy(nearest(linear.weight.detach().numpy())[0]).float()
    with torch.no_grad():
        expected = nn.functional.linear(torch.where(x.abs() > 0.2, x, 0.0), rounded, linear.bias)
        torch.testing.assert_close(module(x), expected, atol=5e-3, rtol=0)
        torch.testing.assert_close(pickle.loads(pickle.dumps(module))(x), module(x))


def test_convolutions_refuse_them():
    conv = nn.Conv2d(3, 16, 3)
    with pytest.raises(ValueError, match="takes no int8 values"):
        RuntimeConv2d.of(conv, BlockRows, height=16, precision="int8")


@pytest.mark.parametrize("scales", (None, np.ones(63, np.float32), np.ones(64)))
def test_scales_that_do_not_fit_are_refused(weight, scales):
    layout = BlockRows.build(weight, precision="int8")
    with pytest.raises(ValueError, match=r"BlockRows\.scales must"):
        replace(layout, scales=scales)
