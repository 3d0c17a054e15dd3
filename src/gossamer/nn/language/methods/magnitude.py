"""Magnitude: large weights stay."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gossamer.nn.language.layer import Layer
from gossamer.nn.language.method import METHODS, Method


@METHODS.register
@dataclass
class Magnitude(Method):
    r"""Scores :math:`w_{ij}^2`: the floor that other methods are measured from.

    Examples
    --------
    >>> import torch
    >>> from gossamer.nn.language import InputStatistics
    >>> from gossamer.structures import Elements
    >>> layer = Layer("fc", torch.tensor([[3.0, -1.0]]), InputStatistics(2), Elements(), 0.5)
    >>> Magnitude().solve(layer).weight
    tensor([[3., -0.]])
    """

    def scores(self, layer: Layer) -> Tensor:
        return layer.weight.square()
