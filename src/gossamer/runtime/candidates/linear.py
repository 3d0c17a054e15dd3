"""Linear layers: a sparse weight in whichever layout should be fastest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.runtime.candidates import Options, candidates_for
from gossamer.runtime.layout_module import LayoutModule, admitted, watched
from gossamer.runtime.planning import run_plan
from gossamer.runtime.shortlist import shortlist


class RuntimeLinear(LayoutModule):
    """``y = clip(x W' + bias)`` with W in a layout: what takes the place of a linear layer.

    Parameters
    ----------
    layout : Layout
        Of the weight (out_features, in_features).
    bias, bounds, threads : as of :class:`gossamer.runtime.LayoutModule`

    Examples
    --------
    >>> from gossamer.runtime import CSR
    >>> linear = nn.Linear(4, 3)
    >>> x = torch.ones(2, 5, 4)
    >>> fast = RuntimeLinear(CSR.build(linear.weight.detach().numpy()), linear.bias)
    >>> bool(torch.allclose(fast(x), linear(x), atol=1e-6))
    True
    """

    @property
    def in_features(self) -> int:
        """Of the input's last axis."""
        return int(self.layout_numbers["inputs"])

    @property
    def out_features(self) -> int:
        """Of the output's last axis."""
        return int(self.layout_numbers["rows"])

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features), float32, to y (..., out_features).

        Where torch follows the input, for gradients or a trace, the weight is a dense one.
        """
        if torch.compiler.is_compiling():
            return self.untraced(x)
        if watched(x):
            return self.dense(x)
        if x.requires_grad or x.dtype is not torch.float32:
            x = admitted(x)
        array = x.numpy()
        layout, bias, bounds = self.views()
        shape, rows = array.shape, layout.rows
        if not shape or shape[-1] != layout.inputs:
            raise ValueError(f"x must have shape (..., {layout.inputs}), got {shape}.")
        y = np.empty((*shape[:-1], rows), np.float32)
        if y.size:
            samples, threads = y.size // rows, self.allowed_threads()
            run_plan(layout, array.reshape(-1), bias, bounds, y.reshape(-1), samples, threads)
        return torch.from_numpy(y)

    def dense(self, x: Tensor) -> Tensor:
        """The same by a dense product, which torch differentiates."""
        return self.clipped(F.linear(x, self.dense_weight(), self.bias))

    def to_dense(self) -> nn.Module:
        """Dense modules that give the same, for other devices and formats."""
        linear = nn.Linear(
            self.in_features, self.out_features, self.bias is not None, dtype=torch.float32
        )
        with torch.no_grad():
            linear.weight.copy_(self.dense_weight())
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        return self.with_clipping(linear)


def as_linear(module: Any) -> nn.Linear:
    """The linear layer that a ``Conv1D`` of transformers is: its weight is (inputs, outputs)."""
    inputs, outputs = module.weight.shape
    linear = nn.Linear(inputs, outputs, dtype=module.weight.dtype).requires_grad_(False)
    linear.weight.copy_(module.weight.T)
    linear.bias.copy_(module.bias)
    return linear.train(module.training)


@candidates_for(nn.Linear)
def linear(module: nn.Linear, inputs: tuple[Any, ...], options: Options) -> Iterator[nn.Module]:
    """The module in the layouts that should be fastest for as many samples as it saw."""
    weight = module.weight.detach()
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return
    samples = inputs[0].numel() // max(module.in_features, 1)
    for layout in shortlist(weight.numpy(), samples, options):
        yield RuntimeLinear(layout, module.bias, threads=options.threads)
