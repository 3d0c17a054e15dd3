"""What a linear layer's inputs are like, gathered once for all methods."""

from __future__ import annotations

import torch
from torch import Tensor


class InputStatistics:
    r"""First and second moments of a layer's inputs over all tokens that came.

    Attributes
    ----------
    count : int
        Tokens.
    sums : (p,) float32 tensor
    gram : (p, p) float32 tensor
        :math:`\sum_t x_t x_t^\top`.

    Examples
    --------
    >>> seen = InputStatistics(2)
    >>> seen.add(torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
    >>> seen.count, seen.mean, seen.variance
    (2, tensor([2., 1.]), tensor([1., 1.]))
    """

    def __init__(self, width: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.sums = torch.zeros(width, device=device)
        self.gram = torch.zeros(width, width, device=device)

    @torch.no_grad()
    def add(self, inputs: Tensor) -> None:
        """Take inputs (..., p) in."""
        x = inputs.detach().reshape(-1, len(self.sums)).to(self.gram)
        self.count += len(x)
        self.sums += x.sum(0)
        self.gram.addmm_(x.T, x)

    @property
    def second_moments(self) -> Tensor:
        """(p, p) mean of x x'."""
        return self.gram / max(self.count, 1)

    @property
    def mean_squares(self) -> Tensor:
        """(p,)"""
        return self.gram.diagonal() / max(self.count, 1)

    @property
    def mean(self) -> Tensor:
        """(p,)"""
        return self.sums / max(self.count, 1)

    @property
    def variance(self) -> Tensor:
        """(p,)"""
        return (self.mean_squares - self.mean.square()).clamp(min=0)
