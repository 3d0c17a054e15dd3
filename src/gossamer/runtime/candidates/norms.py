"""Norms by the root mean square: one kernel in place of six operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.kernels import bind, norms
from gossamer.runtime.candidates import Options, candidates_for
from gossamer.runtime.layout_module import admitted, watched


class RuntimeRMSNorm(nn.Module):
    """``y = weight * x / sqrt(mean(x^2) + eps)``, the mean over the last axis.

    A language model that writes one token after the other spends more time on starting operations
    than on norms: here there is one to start.

    Parameters
    ----------
    weight : (features,) tensor
    eps : float

    Examples
    --------
    >>> x = torch.randn(2, 8)
    >>> bool(torch.allclose(RuntimeRMSNorm(torch.ones(8), 1e-6)(x), F.rms_norm(x, (8,), eps=1e-6)))
    True
    """

    weight: Tensor

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        # under its usual name, as models look at it
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.eps = eps
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., features), float32, to y of the same shape."""
        weight = self.weight
        if watched(x) or weight.requires_grad or torch.compiler.is_compiling():
            return F.rms_norm(x, weight.shape, weight, self.eps)
        if x.requires_grad or x.dtype is not torch.float32:
            x = admitted(x)
        array, factors = x.contiguous().numpy(), weight.numpy()
        if array.shape[-1:] != factors.shape:
            raise ValueError(f"x must have shape (..., {len(factors)}), got {array.shape}.")
        y = np.empty(array.shape, np.float32)
        _kernel()(array.reshape(-1), factors, np.float32(self.eps), y.reshape(-1))
        return torch.from_numpy(y)

    def extra_repr(self) -> str:
        """Its sizes."""
        return f"{self.weight.numel()}, eps={self.eps}"


@cache
def _kernel() -> Callable[..., None]:
    return bind(norms.root_mean_square)


@candidates_for("*RMSNorm")
def norm(module: nn.Module, inputs: tuple[Any, ...], options: Options) -> Iterator[nn.Module]:
    """The kernel, for any class of such a name that computes just this."""
    weight, x = getattr(module, "weight", None), inputs[0]
    if not isinstance(weight, Tensor) or weight.ndim != 1 or weight.dtype != torch.float32:
        return
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    eps = torch.finfo(weight.dtype).eps if eps is None else eps
    if not isinstance(eps, float) or x.shape[-1:] != weight.shape:
        return
    made = RuntimeRMSNorm(weight, eps)
    # numbers so small that eps counts, and large ones
    probe = torch.linspace(-1, 1, weight.numel()) * torch.tensor([[1e-3], [1.0], [1e3]])
    if torch.allclose(module(probe), made(probe), rtol=1e-4, atol=1e-6):
        yield made
