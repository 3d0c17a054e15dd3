"""Alternating directions between a layer's dense and its sparse weight."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gossamer.nn.language.quadratic import Quadratic


class Alternation:
    r"""The iterates of ADMM on a layer's error plus whatever asks for sparse weights.

    The dense weight U is the best one near Z, the sparse one Z the nearest to U + V, and V sums up
    how far they are apart.

    Attributes
    ----------
    sparse : (m, p) tensor
        Z.
    target : (m, p) tensor
        U + V, of the last step.
    rho : float
    """

    def __init__(self, problem: Quadratic, sparse: Tensor, rho: float) -> None:
        self.problem, self.sparse, self.target = problem, sparse, sparse
        self._pull = problem.weight @ problem.hessian
        self._off = torch.zeros_like(sparse)
        self.rho = rho
        self._inverse = problem.inverse(rho)

    def use(self, rho: float) -> None:
        """Go on with another rho; that takes a Cholesky factor."""
        if rho != self.rho:
            self._off = self._off * (self.rho / rho)
            self.rho, self._inverse = rho, self.problem.inverse(rho)

    def step(self, nearest: Callable[[Tensor], Tensor]) -> None:
        """One turn; ``nearest`` makes a weight sparse."""
        dense = (self._pull + self.rho * (self.sparse - self._off)) @ self._inverse
        self.target = dense + self._off
        self.sparse = nearest(self.target)
        self._off = self.target - self.sparse

    @property
    def multipliers(self) -> Tensor:
        """(m, p) rho V: minus the gradient at the optimum, within what the penalty allows."""
        return self.rho * self._off
