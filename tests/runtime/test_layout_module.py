"""A layout as a torch module: saved, copied, sent; its products for every kind of input."""

from __future__ import annotations

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.runtime import CSR, BlockRows, Bounds, LayoutModule, RuntimeLinear


@pytest.fixture
def weight(rng: np.random.Generator) -> np.ndarray:
    dense = rng.standard_normal((32, 20)).astype(np.float32)
    return np.where(rng.random(dense.shape) < 0.3, dense, 0).astype(np.float32)


@pytest.fixture
def layer(weight: np.ndarray) -> RuntimeLinear:
    return RuntimeLinear(CSR.build(weight), torch.linspace(-1, 1, 32))


def expected(layer: RuntimeLinear, x: Tensor) -> Tensor:
    return F.linear(x, layer.dense_weight(), layer.bias)


@pytest.mark.parametrize("shape", [(20,), (1, 20), (3, 20), (2, 5, 20), (0, 20), (2, 0, 20)])
def test_any_leading_dimensions(layer: RuntimeLinear, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    y = layer(x)
    assert y.shape == (*shape[:-1], 32)
    torch.testing.assert_close(y, expected(layer, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(20, 7).T,
        torch.randn(7, 40)[:, ::2],
        torch.randn(1, 20).expand(7, 20),
        torch.randn(3, 5, 20).transpose(0, 1),
    ],
    ids=["transposed", "every second", "expanded", "batch second"],
)
def test_inputs_that_are_not_contiguous(layer: RuntimeLinear, x: Tensor) -> None:
    torch.testing.assert_close(layer(x), expected(layer, x), atol=1e-5, rtol=1e-5)


def test_modes_without_gradients(layer: RuntimeLinear) -> None:
    x = torch.randn(4, 20, requires_grad=True)
    with torch.no_grad():
        wanted = expected(layer, x)
        torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)
        y = layer(torch.randn(2, 20))
        torch.testing.assert_close(y, y + 0)


def test_the_gradient_of_the_input(weight: np.ndarray) -> None:
    layer = RuntimeLinear(CSR.build(weight), torch.linspace(-1, 1, 32), Bounds(low=0))
    x = torch.randn(4, 20, requires_grad=True)
    layer(x).square().sum().backward()
    other = x.detach().clone().requires_grad_()
    F.relu(F.linear(other, torch.from_numpy(weight), layer.bias)).square().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, other.grad)


def test_bounds_add_up(weight: np.ndarray) -> None:
    layer = RuntimeLinear(CSR.build(weight)).clip(Bounds(-1, 2)).clip(Bounds(low=0))
    x = torch.randn(9, 20)
    torch.testing.assert_close(layer(x), F.linear(x, torch.from_numpy(weight)).clamp(0, 2))
    apart = RuntimeLinear(CSR.build(weight)).clip(Bounds(high=-1)).clip(Bounds(low=0))
    assert not apart(x).any()


def test_a_nan_stays_a_nan(layer: RuntimeLinear) -> None:
    x = torch.full((1, 20), torch.nan)
    filled = layer.dense_weight().any(1)
    assert torch.equal(layer(x)[0].isnan(), filled)


@pytest.mark.parametrize("copied", ["deepcopy", "pickle", "torch.save"])
def test_copies(layer: RuntimeLinear, copied: str) -> None:
    x = torch.randn(3, 20)
    y = layer(x)
    if copied == "deepcopy":
        other = copy.deepcopy(layer)
    elif copied == "pickle":
        other = pickle.loads(pickle.dumps(layer))
    else:
        buffer = io.BytesIO()
        torch.save(layer, buffer)
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
    assert torch.equal(other(x), y)
    assert other.columns.dtype == torch.uint16
    other.values.zero_()
    assert torch.equal(layer(x), y)
    assert torch.equal(other(x), other.bias.expand(3, -1))


def test_state_dicts(layer: RuntimeLinear, weight: np.ndarray) -> None:
    x = torch.randn(3, 20)
    other = RuntimeLinear(CSR.build(2 * weight), torch.zeros(32))
    before = other(x)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))
    assert not torch.equal(other(x), before)
    other.load_state_dict({name: t.clone() for name, t in layer.state_dict().items()}, assign=True)
    assert torch.equal(other(x), layer(x))
    with pytest.raises(RuntimeError, match=r"size mismatch"):
        other.load_state_dict(RuntimeLinear(CSR.build(weight[:, ::-1] * 0 + 1)).state_dict())


def test_moves_and_casts(layer: RuntimeLinear) -> None:
    x = torch.randn(3, 20)
    y = layer(x)
    assert torch.equal(layer.to("cpu").float()(x), y)
    assert torch.equal(layer.share_memory()(x), y)
    for move in (layer.half, layer.double, lambda: layer.to("meta")):
        with pytest.raises(TypeError, match=r"cannot become .* float32 on the CPU"):
            move()
    assert torch.equal(layer(x), y)


def test_inputs_of_other_types_and_sizes(layer: RuntimeLinear) -> None:
    with pytest.raises(TypeError, match=r"x must be float32, got torch.float64"):
        layer(torch.zeros(2, 20, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 20\), got \(2, 21\)"):
        layer(torch.zeros(2, 21))
    x = torch.randn(2, 20).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer(x.float()))


def test_two_threads_at_once(layer: RuntimeLinear) -> None:
    xs = [torch.randn(n, 20) for n in (1, 2, 3, 8, 17, 64)] * 10
    wanted = [layer(x) for x in xs]
    fresh = copy.deepcopy(layer)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(fresh, xs))
    assert all(map(torch.equal, found, wanted))


@pytest.mark.slow
def test_in_a_process_of_its_own(layer: RuntimeLinear) -> None:
    x = torch.randn(3, 20)
    y = layer(x)
    with get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(layer, (x,)).get(timeout=120)
    assert torch.equal(found, y)
    assert torch.equal(layer(x), y)


def test_its_bytes_and_names(weight: np.ndarray) -> None:
    layout = BlockRows.build(weight, height=16, width=1)
    module = LayoutModule(layout)
    held = sum(buffer.nbytes for buffer in module.buffers())
    assert held == layout.nbytes
    assert set(module.state_dict()) == {"values", "columns", "starts"}
    assert not list(module.parameters())
    assert "height=16" in repr(module)


def test_under_torch_compile(layer: RuntimeLinear) -> None:
    model = nn.Sequential(nn.LayerNorm(20), layer, nn.Tanh()).requires_grad_(False)
    x = torch.randn(3, 20)
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x))


def test_dense_again(layer: RuntimeLinear) -> None:
    x = torch.randn(3, 20)
    torch.testing.assert_close(layer.to_dense()(x), layer(x), atol=1e-5, rtol=1e-5)
    clipped = copy.deepcopy(layer).clip(Bounds(0, 1))
    torch.testing.assert_close(clipped.to_dense()(x), clipped(x), atol=1e-5, rtol=1e-5)


def test_other_tensors_in_its_places_count(layer: RuntimeLinear) -> None:
    x = torch.randn(3, 20)
    y = layer(x)
    others = {"values": 2 * layer.values, "bias": 2 * layer.bias}
    torch.testing.assert_close(torch.func.functional_call(layer, others, (x,)), 2 * y)
    torch.testing.assert_close(layer(x), y)
    layer.bias = None
    torch.testing.assert_close(layer(x), expected(layer, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("threads, error", [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_threads_are_a_number(weight: np.ndarray, threads: object, error: type) -> None:
    with pytest.raises(error, match="threads must be"):
        RuntimeLinear(CSR.build(weight), threads=threads)
    layer = RuntimeLinear(CSR.build(weight))
    layer.threads = threads  # as from a file
    with pytest.raises(error, match="threads must be"):
        layer(torch.randn(1, 20))


def test_a_single_number_is_no_sample(layer: RuntimeLinear) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(\.\.\., 20\), got \(\)"):
        layer(torch.tensor(1.0))


def test_torch_may_make_double_layers_by_default(layer: RuntimeLinear) -> None:
    x = torch.randn(3, 20)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.testing.assert_close(layer.to_dense()(x), layer(x), atol=1e-5, rtol=1e-5)
    finally:
        torch.set_default_dtype(before)
