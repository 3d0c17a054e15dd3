"""Wanda: weights stay that are large and see large inputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gossamer.core.structure import Structure
from gossamer.nn.language.layer import Layer
from gossamer.nn.language.method import METHODS, Method
from gossamer.structures import FanIn


@METHODS.register
@dataclass
class Wanda(Method):
    r"""Scores :math:`w_{ij}^2 H_{jj}`, the error of the outputs if inputs were uncorrelated.

    This is the square of the authors' :math:`|w_{ij}| \|x_j\|`, so that the scores of a unit add
    up. Each output keeps as many inputs where no structure is asked for, which the authors found
    to matter.

    References
    ----------
    Sun, Liu, Bair and Kolter (2024), A simple and effective pruning approach for large language
    models.

    Examples
    --------
    >>> import torch
    >>> from gossamer.nn.language import InputStatistics
    >>> seen = InputStatistics(2)
    >>> seen.add(torch.tensor([[0.1, 9.0]]))
    >>> layer = Layer("fc", torch.tensor([[3.0, 1.0]]), seen, FanIn(), 0.5)
    >>> Wanda().solve(layer).weight
    tensor([[0., 1.]])
    """

    @property
    def on(self) -> Structure:
        return FanIn()

    def scores(self, layer: Layer) -> Tensor:
        return layer.weight.square() * layer.statistics.mean_squares
