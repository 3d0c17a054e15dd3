"""Layers that train sparse, and what torch's dense layers say of their gradients."""

from __future__ import annotations

import torch

from gossamer.runtime import SparseLinear

LAYOUTS = (("csr", (1, 1)), ("condensed", (1, 1)), ("blocks", (16, 1)), ("blocks", (4, 3)))


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
