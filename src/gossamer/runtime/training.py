"""Training: the product with a sparse weight as a function that torch can differentiate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gossamer.runtime.backward_products import value_gradients
from gossamer.runtime.layout import Layout

LayoutOf = Callable[[Tensor], Layout]


class SparseProduct(torch.autograd.Function):
    """``y = x W' + bias`` with gradients of x, of the stored values of W, and of the bias.

    Called as ``SparseProduct.apply(x, values, bias, layout_of)``: x (samples, inputs), bias (rows,)
    or None, and what makes a layout of single values or blocks on the memory of ``values``. A dense
    matrix of the weight's shape is never made.
    """

    @staticmethod
    def forward(x: Tensor, values: Tensor, bias: Tensor | None, layout_of: LayoutOf) -> Tensor:
        return product(x, bias, layout_of(values))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, values, _, ctx.layout_of = inputs
        ctx.save_for_backward(x, values)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        to_x, to_values, to_bias, _ = ctx.needs_input_grad
        gradients = _Gradients.apply(*ctx.saved_tensors, g, ctx.layout_of, to_x, to_values)
        return *gradients, g.sum(0) if to_bias else None, None


class _Gradients(torch.autograd.Function):
    """Those of x and of the values, where they are asked for. They have no gradients themselves."""

    @staticmethod
    def forward(
        x: Tensor, values: Tensor, g: Tensor, layout_of: LayoutOf, to_x: bool, to_values: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        layout, given, threads = layout_of(values), _numpy(g), torch.get_num_threads()
        of_x = layout.transposed_matmul(given, threads=threads) if to_x else None
        of_values = value_gradients(layout, _numpy(x), given, threads) if to_values else None
        return (
            None if of_x is None else torch.from_numpy(of_x),
            None if of_values is None else torch.from_numpy(of_values),
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, ...]:
        raise RuntimeError(
            "SparseLinear has no gradients of gradients: take its to_linear(), or "
            "gs.runtime.to_dense(model), for losses that hold gradients."
        )


def product(x: Tensor, bias: Tensor | None, layout: Layout) -> Tensor:
    """``x W' + bias``, without gradients."""
    added = None if bias is None else _numpy(bias)
    return torch.from_numpy(layout.matmul(_numpy(x), added, threads=torch.get_num_threads()))


def _numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array
