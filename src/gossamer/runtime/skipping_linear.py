"""SkippingLinear: a linear layer that takes time in proportion to its non-zero inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.kernels import bind, skipping
from gossamer.runtime.candidates.linear import RuntimeLinear
from gossamer.runtime.layout_module import admitted, watched
from gossamer.runtime.layouts import ByColumns
from gossamer.runtime.product import BOUNDLESS, Bounds

# A dense product of some samples takes as long as skipping takes for so many samples without zeros:
# it reads the weight once for all. Measured with weights in memory and in the cache.
_FEW, _MORE = 2.0, 0.25


class CutInputs(nn.Module):
    """Zero in place of inputs whose magnitude is not above their cut.

    Examples
    --------
    >>> CutInputs(torch.tensor([1.0, 1.0]))(torch.tensor([[0.5, -2.0]]))
    tensor([[ 0., -2.]])
    """

    cuts: Tensor

    def __init__(self, cuts: Tensor) -> None:
        super().__init__()
        self.register_buffer("cuts", cuts)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs), with zeros."""
        return x.masked_fill(x.abs() <= self.cuts, 0.0)


class SkippingLinear(RuntimeLinear):
    """``y = x W' + bias`` over the inputs whose magnitude is above their cut.

    With one sample a linear layer takes as long as it takes to read its weight. Here columns of the
    weight that belong to skipped inputs are not read. For many samples with few zeros the product
    is dense: that is decided at each call by counting, and both give the same result.

    Parameters
    ----------
    layout : ByColumns
        With the weight and the cuts: see :meth:`of`.
    bias, bounds, threads : as of :class:`gossamer.runtime.LayoutModule`

    Examples
    --------
    >>> linear = nn.Linear(4, 3)
    >>> x = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    >>> bool(torch.allclose(SkippingLinear.of(linear)(x), linear(x)))
    True
    """

    values: Tensor
    cuts: Tensor
    scales: Tensor

    def __init__(
        self,
        layout: ByColumns,
        bias: Tensor | None = None,
        bounds: Bounds = BOUNDLESS,
        threads: int | None = None,
    ) -> None:
        super().__init__(layout, bias, bounds, threads)
        self.cutting = bool(layout.cuts.any())

    @classmethod
    def of(
        cls,
        linear: nn.Linear,
        cuts: Tensor | None = None,
        *,
        precision: str = "float32",
        threads: int | None = None,
    ) -> Self:
        """The skipping form of a linear layer; ``cuts`` (inputs,) are zero by default."""
        weight = linear.weight.detach().to("cpu", torch.float32).numpy()
        given = None if cuts is None else cuts.numpy()
        layout = ByColumns.build(weight, cuts=given, precision=precision)
        return cls(layout, linear.bias, threads=threads)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_features), float32, to y (..., out_features)."""
        if torch.compiler.is_compiling():
            return self.untraced(x)
        if watched(x):
            return self.dense(x)
        if x.numel() > _FEW * self.layout_numbers["inputs"] and x.shape[-1] == self.in_features:
            kept, count = self._cut(x)
            if count > _FEW * self.in_features + _MORE * x.numel():
                return self._dense_product(kept)
        return super().forward(x)

    def dense(self, x: Tensor) -> Tensor:
        """The same by a dense product."""
        return self._dense_product(x.masked_fill(x.abs() <= self.cuts, 0.0) if self.cutting else x)

    def _dense_product(self, x: Tensor) -> Tensor:
        self.views()  # what a file has brought is checked there
        values = self.values
        if values.dtype == torch.int8:
            x, values = x * self.scales, values.float()
        elif values.dtype != torch.float32:
            values = values.view(torch.bfloat16).float()
        weight = values.view(self.in_features, self.out_features).T
        return self.clipped(F.linear(x, weight, self.bias))

    def to_dense(self) -> nn.Module:
        """Dense modules that give the same, for other devices and formats."""
        dense = super().to_dense()
        return nn.Sequential(CutInputs(self.cuts.clone()), dense).eval() if self.cutting else dense

    def _cut(self, x: Tensor) -> tuple[Tensor, int]:
        """The input with zeros in place of what is skipped, and how many numbers are not."""
        layout: Any = self.layout
        array = admitted(x).contiguous().numpy()
        kept = np.empty(array.shape, np.float32)
        count = _cut_kernel()(array.reshape(-1), layout.cuts, kept.reshape(-1))
        return torch.from_numpy(kept), int(count)


@cache
def _cut_kernel() -> Callable[..., int]:
    return bind(skipping.cut)
