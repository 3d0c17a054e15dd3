"""Reconstruction: the best weights on the support that another method has chosen."""

from __future__ import annotations

from dataclasses import dataclass

from gossamer.core.structure import Structure
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.language.quadratic import Quadratic, check_settings
from gossamer.nn.pruning.registries import piece_of


@METHODS.register
@dataclass
class Reconstruction(Method):
    r"""Weights on a given support that lose least of the layer's outputs, certified.

    .. math:: \min_U \tfrac12 \operatorname{tr} (W - U)(H + \lambda I)(W - U)^\top
        \quad \text{s.t. } U_{ij} = 0 \text{ outside of the support}

    This is one least squares problem an output, each with a matrix of its own. Conjugate gradients
    solve all of them at once with one matrix product a step, until a feasible point of the dual
    shows that the objective is near the optimum.

    Parameters
    ----------
    start : str or Method, default "wanda"
        Chooses the support.
    tol : float > 0, default 1e-4
        Allowed gap, relative to the objective of a layer without weights.
    ridge : float > 0, default 0.01
        :math:`\lambda` relative to the mean of the diagonal of H.
    max_iter : int, default 200
        Steps of conjugate gradients.

    Raises
    ------
    ValueError
        For unknown names and settings out of their range.

    References
    ----------
    Boža (2024), Fast and effective weight update for pruned large language models. Meng, Behdin,
    Wang and Mazumder (2024), ALPS: improved optimization for highly sparse one-shot pruning for
    large language models.

    Examples
    --------
    Two inputs that are nearly the same: one weight takes over what both did.

    >>> import torch
    >>> from gossamer.nn.language import InputStatistics
    >>> from gossamer.structures import Elements
    >>> seen = InputStatistics(2)
    >>> seen.add(torch.tensor([[1.0, 1.0], [2.0, 2.0], [0.1, -0.1]]))
    >>> layer = Layer("fc", torch.tensor([[3.0, 1.0]]), seen, Elements(), 0.5)
    >>> solved = Reconstruction(ridge=1e-6).solve(layer)
    >>> solved.weight.round(decimals=2), solved.certificate.holds
    (tensor([[4., 0.]]), True)
    """

    start: str | Method = "wanda"
    tol: float = 1e-4
    ridge: float = 0.01
    max_iter: int = 200

    def __post_init__(self) -> None:
        check_settings(self, self.tol, self.ridge, max_iter=self.max_iter)
        self.start = piece_of(METHODS, self.start, Method)

    @property
    def on(self) -> Structure:
        """What lives or dies together for the method that chooses."""
        assert isinstance(self.start, Method)
        return self.start.on

    def solve(self, layer: Layer) -> Solved:
        assert isinstance(self.start, Method)
        first = self.start.solve(layer)
        problem = Quadratic.of(layer, self.ridge)
        weight, certificate = problem.reconstruct(
            first.weight * first.mask * problem.scales, first.mask, self.tol, self.max_iter
        )
        return Solved(weight / problem.scales, first.mask, certificate)
