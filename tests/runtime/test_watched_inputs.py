"""Inputs that torch follows: traces, derivatives forward and vmap give what dense layers give."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime import (
    CSR,
    RuntimeConv1d,
    RuntimeConv2d,
    RuntimeLinear,
    SkippingLinear,
    SpotConv2d,
    to_dense,
)
from gossamer.runtime.candidates.embedding import RuntimeEmbedding


def linear() -> nn.Module:
    dense = nn.Linear(6, 4)
    return RuntimeLinear(CSR.build(dense.weight.detach().numpy()), dense.bias)


def spots() -> nn.Module:
    conv = nn.Conv2d(3, 4, 3, padding=1).eval().requires_grad_(False)
    MaskedConv2d.take_over(conv, 6, 6)
    conv.positions.copy_(torch.rand(6, 6) < 0.5)
    return SpotConv2d.of(conv)


MODULES = {
    "linear": (linear, (5, 6)),
    "skipping": (lambda: SkippingLinear.of(nn.Linear(6, 4), torch.full((6,), 0.3)), (5, 6)),
    "conv2d": (lambda: RuntimeConv2d.of(nn.Conv2d(3, 4, 3)), (2, 3, 6, 6)),
    "conv1d": (lambda: RuntimeConv1d.of(nn.Conv1d(3, 4, 3)), (2, 3, 6)),
    "spots": (spots, (2, 3, 6, 6)),
}
every_module = pytest.mark.parametrize("make, shape", MODULES.values(), ids=MODULES)


def traced(module: nn.Module, x: Tensor) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(module, x, check_trace=False)


@every_module
def test_traces_compute(make, shape):
    torch.manual_seed(0)
    module = make()
    graph = traced(module, torch.randn(shape))
    x = torch.randn(shape)
    torch.testing.assert_close(graph(x), module(x), atol=1e-5, rtol=1e-5)


# torch scripts some of its own derivatives when they are first wanted
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
@every_module
def test_derivatives_forward(make, shape):
    torch.manual_seed(0)
    module, x, direction = make(), torch.randn(shape), torch.randn(shape)
    wanted = torch.func.jvp(to_dense(module), (x,), (direction,))[1]
    assert wanted.any()
    found = torch.func.jvp(module, (x,), (direction,))[1]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(module(forward_ad.make_dual(x, direction))).tangent
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["linear", "conv2d"])
def test_vmap(name):
    torch.manual_seed(0)
    make, shape = MODULES[name]
    module, x = make(), torch.randn(3, *shape)
    torch.testing.assert_close(
        torch.func.vmap(module)(x), torch.stack([module(one) for one in x]), atol=1e-5, rtol=1e-5
    )


def test_embeddings():
    weight = torch.randn(9, 4) * (torch.rand(9, 4) < 0.5)
    module = RuntimeEmbedding(CSR.build(weight.numpy()))
    graph = traced(module, torch.tensor([0, 1]))
    x = torch.tensor([[3, 8, 2]])
    torch.testing.assert_close(graph(x), weight[x])
    dense = to_dense(module)
    assert type(dense) is nn.Embedding
    torch.testing.assert_close(dense(x), weight[x])
