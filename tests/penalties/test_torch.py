"""The formulas run on torch tensors as they stand, and have gradients there."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.formula import namespace, rebind
from gossamer.core.registry import PENALTIES
from gossamer.testing import instances

torch = pytest.importorskip("torch")


def _tensors(function):
    """numpy's functions take plain numbers where torch's want tensors."""

    def call(*arguments):
        like = next(a for a in arguments if isinstance(a, torch.Tensor))
        return function(*(torch.as_tensor(a, dtype=like.dtype) for a in arguments))

    return call


def _where(condition, yes, no):
    double = torch.float64
    condition = torch.as_tensor(condition)
    return torch.where(
        condition, torch.as_tensor(yes, dtype=double), torch.as_tensor(no, dtype=double)
    )


def torch_namespace():
    return namespace(
        "torch_numpy", torch,
        maximum=_tensors(torch.maximum), minimum=_tensors(torch.minimum), where=_where,
        inf=float("inf"),
    )  # fmt: skip


@pytest.mark.parametrize("penalty", instances(PENALTIES), ids=repr)
def test_equals_numpy(penalty):
    t = np.concatenate([[0.0, 1e-3], np.linspace(-6.013, 6.0, 97)])
    g = np.linspace(-3.0, 3.0, len(t))
    there = torch_namespace()
    value, prox, dist = (
        rebind(formula, {}, there)
        for formula in (penalty.shape_value, penalty.shape_prox, penalty.shape_dist)
    )
    tensor, gradient = torch.from_numpy(t), torch.from_numpy(g)
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(
        value(tensor, penalty.par), penalty.shape_value(t, penalty.par), **close
    )
    for step in (0.3, 5.0):
        expected = penalty.shape_prox(t, step, penalty.par)
        np.testing.assert_allclose(prox(tensor, step, penalty.par), expected, **close)
    expected = penalty.shape_dist(t, g, penalty.par)
    np.testing.assert_allclose(dist(tensor, gradient, penalty.par), expected, **close)


@pytest.mark.parametrize("penalty", instances(PENALTIES), ids=repr)
def test_gradient_of_the_value(penalty):
    t = np.linspace(0.05, 6.0, 60)
    tensor = torch.from_numpy(t).requires_grad_()
    rebind(penalty.shape_value, {}, torch_namespace())(tensor, penalty.par).sum().backward()
    # the distance of a zero gradient to the derivative is its modulus
    expected = penalty.shape_dist(t, np.zeros_like(t), penalty.par)
    np.testing.assert_allclose(tensor.grad, expected, rtol=1e-9, atol=1e-12)
