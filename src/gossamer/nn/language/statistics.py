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
        self._root: tuple[tuple[int, float], Tensor] | None = None
        self._shrunk: tuple[tuple[int, float], InputStatistics] | None = None

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

    def inverse_root(self, damping: float) -> Tensor:
        r"""(p, p) upper triangular U with :math:`U^\top U = (H + \lambda I)^{-1}`.

        H are the second moments, and :math:`\lambda` is the mean of its diagonal times the damping.
        It is computed once for all layers that read the same inputs.

        Examples
        --------
        >>> seen = InputStatistics(2)
        >>> seen.add(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> seen.inverse_root(1.0)
        tensor([[1., 0.],
                [0., 1.]])
        """
        if self._root is None or self._root[0] != (self.count, damping):
            moments = self.second_moments.double()
            size = moments.diagonal().mean()
            moments.diagonal().add_(damping * size if size > 0 else 1.0)
            # the Cholesky factor of the matrix turned around, turned back, is an upper one
            upper = torch.linalg.cholesky(moments.flip(0, 1)).flip(0, 1)
            one = torch.eye(len(upper), dtype=upper.dtype, device=upper.device)
            root = torch.linalg.solve_triangular(upper, one, upper=True).to(self.gram)
            self._root = (self.count, damping), root
        return self._root[1]

    def shrunk(self, amount: float) -> InputStatistics:
        """The same with all products of two different inputs times 1 - amount; computed once."""
        if self._shrunk is None or self._shrunk[0] != (self.count, amount):
            found = InputStatistics(0)
            found.count, found.sums = self.count, self.sums
            found.gram = self.gram * (1 - amount)
            found.gram.diagonal().copy_(self.gram.diagonal())
            self._shrunk = (self.count, amount), found
        return self._shrunk[1]
