"""Products with weights that are made of few parameters, and made again instead of kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def remade_linear(
    inputs: Tensor,
    make: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    bias: Tensor | None = None,
) -> Tensor:
    r""":math:`x W^T + b` for a weight that a function makes of few parameters.

    The graph keeps the inputs and the function; the pass back makes the weight again, so that a
    layer costs the memory of its weight for a moment only. Gradients flow to the inputs and to the
    parameters, not to the bias.

    Parameters
    ----------
    inputs : tensor (..., inputs)
    make : function without arguments
        Gives the weight, (outputs, inputs), by differentiable operations on the parameters.
    parameters : sequence of tensors
        What the weight depends on.
    bias : tensor (outputs,), optional

    Examples
    --------
    >>> size = torch.tensor(2.0, requires_grad=True)
    >>> outputs = remade_linear(torch.tensor([3.0, 4.0]), lambda: size * torch.ones(1, 2), [size])
    >>> outputs.backward()
    >>> outputs.item(), size.grad
    (14.0, tensor(7.))
    """
    product: Tensor = _Product.apply(make, inputs, bias, *parameters)
    return product


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, make: Callable[[], Tensor], inputs: Tensor, bias: Tensor | None, *parameters: Any
    ) -> Tensor:
        ctx.make = make
        ctx.save_for_backward(inputs, *parameters)
        return F.linear(inputs, make(), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            weight = ctx.make()
        gradient = gradient.to(weight.dtype)
        to_inputs = (
            (gradient @ weight.detach()).to(inputs.dtype) if ctx.needs_input_grad[1] else None
        )
        flat = inputs.reshape(-1, inputs.shape[-1]).to(weight.dtype)
        to_weight = gradient.reshape(-1, gradient.shape[-1]).t() @ flat
        needed = [p for p, needs in zip(parameters, ctx.needs_input_grad[3:], strict=True) if needs]
        found = iter(torch.autograd.grad(weight, needed, to_weight, allow_unused=True))
        each = [next(found) if needs else None for needs in ctx.needs_input_grad[3:]]
        return None, to_inputs, None, *each
