"""SkippingLinear: a linear layer that takes time in proportion to its non-zero inputs."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.runtime.layout_module import LayoutModule
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


class SkippingLinear(LayoutModule):
    """``y = x W' + bias`` over the inputs whose magnitude is above their cut.

    With one sample a linear layer takes as long as it takes to read its weight. Here columns of the
    weight that belong to skipped inputs are not read. For many samples with few zeros the product
    is dense: that is decided at each call by counting, and both give the same result.

    Parameters
    ----------
    layout : ByColumns
        With the weight and the cuts: see :meth:`of`.
    bias, bounds, threads : as of :class:`LayoutModule`

    Examples
    --------
    >>> linear = nn.Linear(4, 3)
    >>> x = torch.tensor([[0.0, 2.0, 0.0, 0.0]])
    >>> bool(torch.allclose(SkippingLinear.of(linear)(x), linear(x)))
    True
    """

    values: Tensor
    cuts: Tensor

    def __init__(
        self,
        layout: ByColumns,
        bias: Tensor | None = None,
        bounds: Bounds = BOUNDLESS,
        threads: int | None = None,
    ) -> None:
        super().__init__(layout, bias, bounds, threads)
        self.in_features, self.out_features = layout.inputs, layout.rows
        self.cutting = bool(layout.cuts.any())

    @classmethod
    def of(cls, linear: nn.Linear, cuts: Tensor | None = None, threads: int | None = None) -> Self:
        """The skipping form of a linear layer; ``cuts`` (inputs,) are zero by default."""
        weight = linear.weight.detach().to("cpu", torch.float32).numpy()
        layout = ByColumns.build(weight, cuts=None if cuts is None else cuts.numpy())
        return cls(layout, linear.bias, threads=threads)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) to y (..., rows), both float32."""
        if x.dtype != torch.float32 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"x must be float32 of shape (..., {self.in_features}), got {x.dtype} of "
                f"{tuple(x.shape)}."
            )
        if self._dense_is_faster(x) or (torch.is_grad_enabled() and x.requires_grad):
            return self._dense(x)
        layout, bias, bounds = self.views()
        flat = np.ascontiguousarray(x.detach().reshape(-1, self.in_features).numpy())
        y = layout.matmul(flat, bias, bounds, threads=self.allowed_threads())
        return torch.from_numpy(y).view(*x.shape[:-1], self.out_features)

    def to_dense(self) -> nn.Module:
        """Dense modules that give the same."""
        linear = nn.Linear(self.in_features, self.out_features, self.bias is not None)
        with torch.no_grad():
            linear.weight.copy_(self.dense_weight())
            if self.bias is not None:
                linear.bias.copy_(self.bias)
        before = [CutInputs(self.cuts.clone())] if self.cutting else []
        after = [] if self.bounds == BOUNDLESS else [nn.Hardtanh(self.low, self.high)]
        parts = [*before, linear, *after]
        return nn.Sequential(*parts).eval() if len(parts) > 1 else linear

    def _dense_is_faster(self, x: Tensor) -> bool:
        samples = x.numel() // self.in_features if self.in_features else 0
        most = (_FEW + _MORE * samples) * self.in_features
        if samples * self.in_features <= most:
            return False
        kept = (x.abs() > self.cuts).count_nonzero() if self.cutting else x.count_nonzero()
        return int(kept) > most

    def _dense(self, x: Tensor) -> Tensor:
        if self.cutting:
            x = x.masked_fill(x.abs() <= self.cuts, 0.0)
        weight = self.values.view(self.in_features, self.out_features).T
        y = F.linear(x, weight, self.bias)
        return y if self.bounds == BOUNDLESS else y.clamp(self.low, self.high)
