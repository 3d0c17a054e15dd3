"""Training: the product with a sparse weight as a function that torch can differentiate."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gossamer.kernels import backward, bind, slices, strips
from gossamer.runtime.layout import Layout
from gossamer.runtime.layouts import Condensed
from gossamer.runtime.threads import _pool, cut

# Lanes of a vector and vectors across a panel, for up to so many samples. The values read a panel
# at random, the input also writes it: it should be narrower, so that it fits the nearer cache.
VALUE_PANELS = ((4, 1), (8, 1), (16, 1), (16, 2), (16, 4))
INPUT_PANELS = ((4, 1), (8, 1), (16, 1))
GROUP = backward.GROUP
WORTH_SHARING = 2_000_000  # products: a tenth of a millisecond

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
        layout, given = layout_of(values), _numpy(g)
        return (
            torch.from_numpy(input_gradients(layout, given)) if to_x else None,
            torch.from_numpy(value_gradients(layout, _numpy(x), given)) if to_values else None,
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


def value_gradients(layout: Any, x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """``g' x`` at the places of the layout's values: x (samples, inputs), g (samples, rows)."""
    gradient = np.zeros_like(layout.values)
    kernel = _kernel("value_gradients", *_kind(layout), *_panel(VALUE_PANELS, len(x)))
    flat = layout.columns, layout.starts, x.reshape(-1), g.reshape(-1), gradient

    def piece(top: int, bottom: int) -> None:
        kernel(*flat, layout.inputs, layout.rows, len(x), top, bottom)

    # all samples add to a value: threads share the rows
    _shared(piece, layout.rows, GROUP, layout.values.size * len(x))
    return gradient


def input_gradients(layout: Any, g: np.ndarray) -> np.ndarray:
    """``g W``: g (samples, rows)."""
    gradient = np.empty((len(g), layout.inputs), np.float32)
    lanes, across = _panel(INPUT_PANELS, len(g))
    kernel = _kernel("input_gradients", *_kind(layout), lanes, across)
    flat = layout.values, layout.columns, layout.starts, g.reshape(-1), gradient.reshape(-1)

    def piece(first: int, last: int) -> None:
        kernel(*flat, layout.inputs, layout.rows, first, last)

    # all rows add to an input: threads share the samples
    _shared(piece, len(g), lanes * across, layout.values.size * len(g))
    return gradient


def _kind(layout: Any) -> tuple[Callable, int, int]:
    """How the starts of a layout are read, and rows and columns of its blocks."""
    read = slices.equal_start if isinstance(layout, Condensed) else strips.start
    return read, getattr(layout, "height", 1), getattr(layout, "width", 1)


def _shared(piece: Callable[[int, int], None], size: int, unit: int, work: int) -> None:
    """Call ``piece`` for ranges of ``size`` that threads share, where there is work for them."""
    threads = torch.get_num_threads() if work >= WORTH_SHARING else 1
    first, *others = cut(0, size, unit, threads) or [(0, 0)]
    futures = [_pool(threads - 1).submit(piece, *part) for part in others]
    piece(*first)
    for future in futures:
        future.result()


def _panel(panels: tuple[tuple[int, int], ...], samples: int) -> tuple[int, int]:
    """The narrowest panel that holds all samples, or the widest."""
    return next((p for p in panels if p[0] * p[1] >= samples), panels[-1])


@cache
def _kernel(
    name: str, start: Callable, height: int, width: int, lanes: int, across: int
) -> Callable[..., None]:
    sizes = {"LANES": lanes, "ACROSS": across, "HEIGHT": height, "WIDTH": width}
    single = height == width == 1
    formulas: dict[str, Callable | int] = {
        "add_products": backward.add_products if single else backward.add_block_products,
        "pack_rows": backward.pack_rows,
        "start": start,
        **{name: getattr(strips, name) for name in ("aligned", "pack", "unpack")},
    }
    return bind(getattr(backward, name), **sizes, **formulas)


def _numpy(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array
