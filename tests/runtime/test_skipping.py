"""SkippingLinear: the same product, without the columns of inputs that are zero or cut."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from time import perf_counter

import numpy as np
import pytest
import torch
from torch import nn

from gossamer.nn import load_model, save_model
from gossamer.runtime import Bounds, ByColumns
from gossamer.runtime.candidates import Options, candidates
from gossamer.runtime.skipping_linear import SkippingLinear


def sparse_inputs(rng, *shape, share=0.7):
    x = rng.standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(np.where(rng.random(shape) < share, 0, x).astype(np.float32))


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return nn.Linear(70, 45)


@pytest.mark.parametrize(
    "shape", ((70,), (1, 70), (3, 70), (2, 5, 70), (400, 70), (0, 70)), ids=str
)
@pytest.mark.parametrize("bias", (True, False))
def test_it_gives_what_the_linear_layer_gives(rng, shape, bias):
    linear = nn.Linear(70, 45, bias=bias)
    x = sparse_inputs(rng, *shape)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            torch.testing.assert_close(SkippingLinear.of(linear)(x), linear(x))


@pytest.mark.parametrize("samples", (1, 4, 200))
def test_inputs_up_to_their_cut_do_not_count(rng, linear, samples):
    cuts = torch.rand(70)
    x = torch.from_numpy(rng.standard_normal((samples, 70), dtype=np.float32))
    x[0, :3] = cuts[:3] * torch.tensor([1.0, -1.0, 1.0])
    with torch.no_grad():
        expected = linear(torch.where(x.abs() > cuts, x, 0.0))
        torch.testing.assert_close(SkippingLinear.of(linear, cuts)(x), expected)


@pytest.mark.parametrize("samples", (1, 200))
def test_nan_and_infinity_are_not_skipped(linear, samples):
    x = torch.zeros(samples, 70)
    x[0, 3], x[-1, 4] = torch.nan, torch.inf
    with torch.no_grad():
        got = SkippingLinear.of(linear, torch.full((70,), 0.5))(x)
    assert got[0].isnan().all() and not got[-1].isfinite().any()


@pytest.mark.parametrize("samples", (1, 200))
def test_bounds_hold_for_few_and_many_samples(rng, linear, samples):
    weight = linear.weight.detach().numpy()
    module = SkippingLinear(ByColumns.build(weight), linear.bias, Bounds(0.0, 0.5))
    x = sparse_inputs(rng, samples, 70)
    with torch.no_grad():
        torch.testing.assert_close(module(x), linear(x).clamp(0, 0.5))


def test_a_skipped_column_is_not_read(rng):
    """Columns of NaN would show in the result."""
    weight = rng.standard_normal((45, 70), dtype=np.float32)
    weight[:, ::2] = np.nan
    x = np.where(np.arange(70) % 2, 1, 0).astype(np.float32)[None]
    got = ByColumns.build(weight).matmul(x)
    np.testing.assert_allclose(got[0], weight[:, 1::2].sum(1), rtol=1e-5)


@pytest.mark.parametrize("samples", (1, 200))
def test_weights_may_be_stored_in_half_the_bytes(rng, linear, samples):
    module = SkippingLinear.of(linear, torch.full((70,), 0.2), precision="bfloat16")
    assert module.values.dtype.itemsize == 2
    x = sparse_inputs(rng, samples, 70)
    with torch.no_grad():
        exact = nn.functional.linear(
            torch.where(x.abs() > 0.2, x, 0.0), linear.weight.bfloat16().float(), linear.bias
        )
        torch.testing.assert_close(module(x), exact)
        torch.testing.assert_close(pickle.loads(pickle.dumps(module))(x), exact)


def test_views_of_other_strides_and_two_threads(rng):
    linear = nn.Linear(70, 450)
    module = SkippingLinear.of(linear, threads=2)
    x = sparse_inputs(rng, 70, 6).T
    with torch.no_grad():
        expected = linear(x)
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(lambda _: module(x[:1]), range(8)))
        for got in results:
            torch.testing.assert_close(got, expected[:1])
        torch.testing.assert_close(module(x[::2]), expected[::2])


def test_copies_pickles_and_files_give_the_same(tmp_path, rng, linear):
    module = SkippingLinear.of(linear, torch.full((70,), 0.1))
    x = sparse_inputs(rng, 1, 70)
    expected = module(x)
    save_model(nn.Sequential(module), tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    for other in (deepcopy(module), pickle.loads(pickle.dumps(module)), loaded):
        assert torch.equal(other(x), expected)


def test_gradients_of_the_inputs_pass(rng, linear):
    x = sparse_inputs(rng, 2, 70).requires_grad_()
    (gradient,) = torch.autograd.grad(SkippingLinear.of(linear)(x).sum(), x)
    torch.testing.assert_close(gradient, linear.weight.sum(0).expand(2, 70))


def test_the_dense_layer_comes_back(rng, linear):
    dense = SkippingLinear.of(linear).to_dense()
    assert torch.equal(dense.weight, linear.weight) and torch.equal(dense.bias, linear.bias)


def test_dense_modules_also_cut_and_bound(rng, linear):
    cuts = np.full(70, 0.8, np.float32)
    layout = ByColumns.build(linear.weight.detach().numpy(), cuts=cuts)
    module = SkippingLinear(layout, linear.bias, Bounds(0.0))
    x = sparse_inputs(rng, 3, 70, share=0)
    with torch.no_grad():
        torch.testing.assert_close(module.to_dense()(x), module(x))


def test_other_inputs_are_refused(linear):
    module = SkippingLinear.of(linear)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 70\)"):
        module(torch.zeros(2, 69))
    for samples in (1, 200):
        with pytest.raises(TypeError, match=r"x must be float32, got torch\.float64"):
            module(torch.ones(samples, 70, dtype=torch.float64))


def test_candidates_are_made_where_the_example_has_zeros(linear):
    some, blank = torch.relu(torch.randn(3, 70)), torch.zeros(3, 70)
    for x, expected in ((some, 1), (blank, 0), (some + 1, 0)):
        found = [m for m in candidates(linear, (x,), Options()) if isinstance(m, SkippingLinear)]
        assert len(found) == expected


def test_cuts_must_fit(linear):
    for cuts in (torch.zeros(3), -torch.ones(70), torch.full((70,), torch.nan)):
        with pytest.raises(ValueError, match="cuts must be 70 numbers"):
            SkippingLinear.of(linear, cuts)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    # the small layer is read from the cache, and a call itself takes a good part of its time
    ("inputs", "outputs", "rounds", "least"),
    ((4096, 4096, 10, 0.8), (3072, 768, 60, 0.4)),
)
def test_time_falls_with_the_inputs_that_are_skipped(rng, inputs, outputs, rounds, least):
    """Against torch's dense product; other inputs each time: no cache holds their columns."""
    linear = nn.Linear(inputs, outputs)
    skipping = SkippingLinear.of(linear)
    for share in (0.5, 0.7, 0.9):
        batches = [sparse_inputs(rng, 1, inputs, share=share) for _ in range(8)]
        times = {linear: [], skipping: []}
        with torch.no_grad():
            for _ in range(rounds):
                for module, found in times.items():
                    start = perf_counter()
                    for x in batches:
                        module(x)
                    found.append((perf_counter() - start) / len(batches))
        dense, sparse = (min(found) for found in times.values())
        print(
            f"{inputs} to {outputs}, {share:.0%} zeros: {1e3 * dense:.3f} ms, {dense / sparse:.1f}x"
        )
        assert dense / sparse > least / (1 - share)
