"""ADMM: support and weights together, by alternating directions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gossamer.core.validation import finite_number
from gossamer.nn.language.alternation import Alternation
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.quadratic import Quadratic, check_positive, check_settings


@METHODS.register
@dataclass
class ADMM(Method):
    r"""Alternates between the best dense weights near a sparse one and the nearest sparse weights.

    .. math:: U &\leftarrow \bigl(W H + \rho (Z - V)\bigr) (H + \rho I)^{-1} \\
        Z &\leftarrow \text{the units of } U + V \text{ with the largest squares} \\
        V &\leftarrow U + V - Z

    in units in which H has ones on the diagonal, so that one :math:`\rho` fits all inputs. While
    it grows, supports settle; conjugate gradients then find the best weights on the last one, with
    a certificate as of :class:`Reconstruction`. That support need not be the best of all.

    Parameters
    ----------
    rho : (float, float), default (0.1, 1.0)
        Between which :math:`\rho` grows, geometrically.
    steps : int, default 30
        Twice as many lower the errors by another percent.
    factors : int, default 6
        Values of :math:`\rho`; each takes a Cholesky factor of H.
    tol, ridge, max_iter
        Of the reconstruction.

    Raises
    ------
    ValueError
        For settings out of their range.

    Notes
    -----
    The authors of ALPS raise :math:`\rho` by as much as the support still changes. A fixed schedule
    takes a fixed time.

    References
    ----------
    Meng, Behdin, Wang and Mazumder (2024), ALPS: improved optimization for highly sparse one-shot
    pruning for large language models. Boža (2024), Fast and effective weight update for pruned
    large language models.

    Examples
    --------
    >>> import torch
    >>> from gossamer.nn.language import InputStatistics
    >>> from gossamer.structures import Elements
    >>> seen = InputStatistics(8)
    >>> seen.add(torch.randn(50, 8) @ torch.randn(8, 8))
    >>> layer = Layer("fc", torch.randn(4, 8), seen, Elements(), 0.5)
    >>> solved = ADMM().solve(layer)
    >>> int(solved.mask.sum()), solved.certificate.holds
    (16, True)
    """

    rho: tuple[float, float] = (0.1, 1.0)
    steps: int = 30
    factors: int = 6
    tol: float = 1e-4
    ridge: float = 0.01
    max_iter: int = 200

    def __post_init__(self) -> None:
        counts = {"steps": self.steps, "factors": self.factors, "max_iter": self.max_iter}
        check_settings(self, self.tol, self.ridge, **counts)
        first, last = self.rho
        check_positive("ADMM: rho", first)
        if finite_number(last, "ADMM: rho") < first:
            raise ValueError(f"ADMM: rho must not fall from first to last, got {self.rho!r}.")

    def solve(self, layer: Layer) -> Solved:
        problem = Quadratic.of(layer, self.ridge)
        sparse, mask = self.alternate(problem, layer)
        weight, certificate = problem.reconstruct(sparse, mask, self.tol, self.max_iter)
        return Solved(weight / problem.scales, mask, certificate)

    def alternate(self, problem: Quadratic, layer: Layer) -> tuple[Tensor, Tensor]:
        """The last sparse weight and its mask."""

        def nearest(target: Tensor) -> Tensor:
            return target * layer.mask(target.square())

        alternation = Alternation(problem, nearest(problem.weight), self.rho[0])
        for rho in self.schedule():
            alternation.use(rho)
            alternation.step(nearest)
        return alternation.sparse, layer.mask(alternation.target.square())

    def schedule(self) -> list[float]:
        """The value of rho at each step."""
        first, last = self.rho
        most = max(self.factors - 1, 1)
        turns = [step * self.factors // self.steps for step in range(self.steps)]
        return [first * (last / first) ** (turn / most) for turn in turns]
