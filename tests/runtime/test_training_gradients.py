"""Sparse training: gradients are those of a dense layer whose weight is masked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from sparse_layers import LAYOUTS, assert_close, assert_gradients, layer, reference, samples
from torch import nn

from gossamer.runtime import SparseLinear

SAMPLES = (0, 1, 3, 8, 17, 32, 70)


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
    monkeypatch.setattr("gossamer.runtime.backward_products.WORTH_SHARING", 0)
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
