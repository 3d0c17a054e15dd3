"""Convolutions with sparse weights: against torch's in float64."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gossamer.nn import load_model, save_model
from gossamer.runtime import (
    CSR,
    BlockRows,
    Bounds,
    Condensed,
    RuntimeConv1d,
    RuntimeConv2d,
    convolution_plan,
)
from gossamer.runtime.candidates import Options, candidates
from gossamer.runtime.convolution import unfolded_weight
from gossamer.runtime.convolution_plan import Window, convolution, lay_out

LAYOUTS = (
    (CSR, {}),
    (BlockRows, {"height": 16, "width": 1}),
    (BlockRows, {"height": 8, "width": 1}),
    (BlockRows, {"height": 4, "width": 4}),
)


@pytest.fixture(autouse=True)
def _same_numbers():
    torch.manual_seed(0)


def sparse(conv, height=1, width=1, keep=0.3):
    """Zeros in blocks, in place."""
    rows, inputs = len(conv.weight), conv.weight[0].numel()
    coarse = (torch.rand(rows // height, inputs // width) < keep).float()
    mask = torch.kron(coarse, torch.ones(height, width)).reshape(conv.weight.shape)
    conv.weight.data *= mask
    return conv.eval()


def images(*shape, last=False):
    x = torch.randn(shape)
    return x.to(memory_format=torch.channels_last) if last else x


def assert_same(fast, conv, x, bounds=(-np.inf, np.inf)):
    with torch.no_grad():
        y = fast(x)
        expected = copy.deepcopy(conv).double()(x.double()).clamp(*bounds)
        scale = copy.deepcopy(conv).double()
        scale.weight.abs_()
        most = scale(x.double().abs()).max() if y.numel() else 1.0
    assert y.dtype == torch.float32
    assert y.shape == expected.shape
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-6 * float(most))
    return y


GRID = [
    (kernel, stride, padding, dilation)
    for kernel, stride, padding, dilation in product(
        (1, 3, (2, 5)), (1, 2, (3, 1)), (0, 1, (3, 2)), (1, 2)
    )
    if kernel != 1 or dilation == 1
]


@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), GRID, ids=str)
def test_any_window_in_images_of_any_size(kernel, stride, padding, dilation):
    conv = sparse(nn.Conv2d(3, 8, kernel, stride, padding, dilation))
    fast = RuntimeConv2d.of(conv)
    for batch, height, width in ((1, 1, 1), (3, 7, 7), (2, 5, 21), (1, 40, 19), (0, 9, 9)):
        x = images(batch, 3, height, width)
        try:
            conv(x)
        except RuntimeError:
            with pytest.raises(ValueError, match="too small for a kernel"):
                fast(x)
        else:
            assert_same(fast, conv, x)


@pytest.mark.parametrize(("kind", "options"), LAYOUTS, ids=str)
@pytest.mark.parametrize("kernel", [1, 3])
def test_every_layout_with_either_memory_format(kind, options, kernel):
    conv = sparse(nn.Conv2d(8, 48, kernel, padding=kernel // 2), **options)
    fast = RuntimeConv2d.of(conv, kind, **options)
    assert torch.equal(fast.dense_weight(), conv.weight)
    for size, batch, last in product(((1, 1), (2, 2), (7, 7), (12, 15)), (1, 5), (False, True)):
        y = assert_same(fast, conv, images(batch, 8, *size, last=last))
        if last and size != (1, 1):
            assert y.is_contiguous(memory_format=torch.channels_last)
        else:
            assert y.is_contiguous()


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(6, 6, 6), (6, 12, 6), (8, 32, 2)])
def test_groups(inputs, outputs, groups):
    conv = sparse(nn.Conv2d(inputs, outputs, 3, 2, 1, groups=groups), keep=0.6)
    fast = RuntimeConv2d.of(conv)
    assert_same(fast, conv, images(3, inputs, 9, 8))
    assert torch.equal(fast.dense_weight(), conv.weight)
    if outputs == 32:
        sparse(conv, 16)
        blocks = RuntimeConv2d.of(conv, BlockRows, height=16)
        assert_same(blocks, conv, images(3, inputs, 9, 8))
        assert torch.equal(blocks.dense_weight(), conv.weight)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", ["same", "valid", 2])
def test_padding(mode, padding):
    conv = sparse(nn.Conv2d(2, 4, (4, 3), padding=padding, padding_mode=mode))
    x = images(2, 2, 8, 9)
    fast = RuntimeConv2d.of(conv)
    assert_same(fast, conv, x)
    assert_same(fast.to_dense(), conv, x)
    line = sparse(nn.Conv1d(2, 4, 4, padding=padding, padding_mode=mode))
    fast = RuntimeConv1d.of(line)
    assert_same(fast, line, x[:, :, 0])
    assert_same(fast, line, x[0, :, 0])
    assert_same(fast.to_dense(), line, x[:, :, 0])


@pytest.mark.parametrize("room", [0, 500, 2000, 10**6])
@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1), (1, 4)])
def test_parts_of_images_and_several_images(room, stride, padding, monkeypatch):
    monkeypatch.setattr(convolution_plan, "seconds_to_share", lambda crew, threads: 0.0)
    conv = sparse(nn.Conv2d(3, 16, 3, stride, padding), height=16)
    layout = BlockRows.build(unfolded_weight(conv), height=16)
    x = images(5, 3, 11, 9)
    y = torch.empty(conv(x).shape)
    window = Window((3, 3), (stride, stride), (1, 1), (padding, padding), (padding, padding))
    geometry = lay_out(window, x.shape, room)[0]
    assert (geometry.images > 1) == (room >= 2000)
    assert (geometry.band == 1) == (room == 0)
    convolve = convolution(layout, window, x.shape, room)
    flat = x.reshape(-1).numpy(), conv.bias.detach().numpy(), Bounds(), y.reshape(-1).numpy()
    for threads in (1, 2, 3):
        y.zero_()
        convolve(*flat, threads)
        torch.testing.assert_close(y, conv(x), rtol=1e-5, atol=1e-5)


def test_inputs_that_are_parts_of_others():
    conv = sparse(nn.Conv2d(3, 16, 3, padding=1))
    fast, big = RuntimeConv2d.of(conv), images(4, 6, 20, 20)
    for x in (big[::2, 1::2], big[:, :3, 3:, ::2], big[:, :3].transpose(2, 3), big[:1, :3]):
        assert_same(fast, conv, x)
    assert_same(fast, conv, big[0, :3])
    point = sparse(nn.Conv2d(3, 16, 1))
    for x in (big[::2, 1::2], big[:, :3].expand(4, 3, 20, 20), big[:, :3, :1].expand(4, 3, 9, 20)):
        assert_same(RuntimeConv2d.of(point), point, x)


def test_bounds_are_fused_and_nan_stays():
    conv = sparse(nn.Conv2d(4, 16, 3, bias=False))
    fast = RuntimeConv2d.of(conv).clip(Bounds(0.0, 0.5))
    x = images(2, 4, 9, 9)
    y = assert_same(fast, conv, x, (0.0, 0.5))
    assert 0 < int((y == 0.5).sum()) < y.numel()
    assert_same(fast.to_dense()[0], conv, x)
    torch.testing.assert_close(fast.to_dense()(x), y, rtol=1e-5, atol=1e-5)
    dense = RuntimeConv2d.of(nn.Conv2d(4, 16, 3))
    assert dense(torch.full((1, 4, 5, 5), torch.nan)).isnan().all()


def test_copies_pickles_files_and_inference_mode(tmp_path):
    conv = sparse(nn.Conv2d(4, 16, 3, 2, "valid", padding_mode="reflect"), 16)
    fast = RuntimeConv2d.of(conv, BlockRows, height=16).clip(Bounds(low=0.0))
    x = images(2, 4, 9, 9)
    expected = fast(x)
    save_model(nn.Sequential(fast), tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")[0]
    for made in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast)), loaded):
        assert torch.equal(made(x), expected)
    with torch.inference_mode():
        assert torch.equal(fast(x), expected)
        assert torch.equal(fast(images(2, 4, 9, 9) * 0 + x), expected)
    other = RuntimeConv2d.of(sparse(nn.Conv2d(4, 16, 3, 2), 16), BlockRows, height=16)
    same = copy.deepcopy(other)
    same(x)  # makes a plan
    state = {name: value * 2 if value.is_floating_point() else value
             for name, value in other.state_dict().items()}  # fmt: skip
    same.load_state_dict(state)
    torch.testing.assert_close(same(x), 2 * other(x))


def test_gradients_of_the_input_are_those_of_the_dense_weight():
    conv = sparse(nn.Conv2d(4, 8, 3, padding=1))
    x = images(2, 4, 6, 6).requires_grad_()
    RuntimeConv2d.of(conv)(x).square().sum().backward()
    found, x.grad = x.grad, None
    conv(x).square().sum().backward()
    torch.testing.assert_close(found, x.grad, rtol=1e-4, atol=1e-5)


def test_what_does_not_fit_is_refused():
    fast = RuntimeConv2d.of(nn.Conv2d(4, 8, 3))
    with pytest.raises(ValueError, match=r"x must have shape \(batch, 4, height, width\)"):
        fast(torch.zeros(1, 3, 9, 9))
    with pytest.raises(TypeError, match="float32"):
        fast(torch.zeros(1, 4, 9, 9, dtype=torch.float64))
    with pytest.raises(TypeError, match="layout must be CSR or BlockRows"):
        RuntimeConv2d.of(sparse(nn.Conv2d(4, 8, 3), keep=0), Condensed)


def test_many_sizes_are_forgotten_again():
    conv = sparse(nn.Conv2d(2, 4, 3))
    fast = RuntimeConv2d.of(conv)
    for size in (*range(3, 12), 3):
        assert_same(fast, conv, images(1, 2, size, size))
    assert len(fast._plans) <= 4


def test_candidates_give_what_the_layer_gives():
    for conv, x, blocks in (
        (nn.Conv2d(8, 32, 3, 2, 1), images(2, 8, 9, 9), 16),
        (nn.Conv2d(8, 8, 3, groups=8), images(2, 8, 9, 9), 1),
        (nn.Conv1d(8, 32, 3), images(2, 8, 9), 16),
    ):
        sparse(conv, blocks)
        found = list(candidates(conv, (x,), Options()))
        assert len(found) >= (3 if blocks == 16 else 1)
        for candidate in found:
            assert_same(candidate, conv, x)
    for candidate in candidates(nn.Conv2d(8, 8, 3), (x,), Options()):
        assert candidate.layout.name == "blocks"
    assert not list(candidates(sparse(nn.Conv2d(8, 8, 3)).double(), (x,), Options()))


def test_plain_python_computes_the_same():
    code = """if True:
        import torch
        from torch import nn
        from gossamer.runtime import BlockRows, CSR, RuntimeConv2d
        torch.manual_seed(0)
        for k, stride, padding, size in ((3, 1, 1, 5), (3, 2, 0, 6), (1, 1, 0, 7), (1, 3, 1, 4)):
            conv, x = nn.Conv2d(2, 16, k, stride, padding), torch.randn(2, 2, size, size)
            for fast in (RuntimeConv2d.of(conv), RuntimeConv2d.of(conv, BlockRows, height=16)):
                torch.testing.assert_close(fast(x), conv(x), rtol=1e-4, atol=1e-5)
        """
    environment = {"NUMBA_DISABLE_JIT": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_window_of_torch_is_reproduced():
    for n, kernel, stride, padding, dilation in product(
        range(1, 9), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2)
    ):
        window = Window(*[(v, v) for v in (kernel, stride, dilation, padding, padding)])
        try:
            expected = F.conv1d(
                torch.zeros(1, 1, n), torch.zeros(1, 1, kernel),
                stride=stride, padding=padding, dilation=dilation,
            ).shape[-1]  # fmt: skip
        except RuntimeError:
            expected = 0
        assert window.outputs(0, n) == expected


@pytest.mark.parametrize(
    "kind, module",
    [
        (RuntimeConv2d, nn.ConvTranspose2d(3, 3, 3)),
        (RuntimeConv2d, nn.Conv1d(3, 3, 3)),
        (RuntimeConv1d, nn.Conv2d(3, 3, 3)),
        (RuntimeConv2d, nn.Linear(3, 3)),
    ],
)
def test_other_modules_are_refused(kind, module):
    with pytest.raises(TypeError, match=f"conv must be .*, got {type(module).__name__}"):
        kind.of(module)
