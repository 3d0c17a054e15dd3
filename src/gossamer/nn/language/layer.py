"""The problem of one linear layer: few weights that give nearly the same outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.core.result import Certificate
from gossamer.core.structure import Structure
from gossamer.nn.language.quantisation import Quantised
from gossamer.nn.language.statistics import InputStatistics
from gossamer.nn.pruning.parts import WeightPart
from gossamer.nn.rules import Match


@dataclass(eq=False)
class Layer:
    r"""A linear layer's weight, what it has seen, and how much of it may stay.

    .. math:: \min_U \tfrac1n \|(W - U) X\|_F^2 = \operatorname{tr} (W - U) H (W - U)^\top
        \quad \text{s.t. } U \text{ has at most so many units},
        \qquad H = \tfrac1n X X^\top

    Attributes
    ----------
    name : str
        Of the module.
    weight : (m, p) float32 tensor
        Outputs by inputs, whatever the module's own layout.
    statistics : InputStatistics
    structure : Structure
    keep : float
        Share of the units that stays, unless the structure fixes it.
    """

    name: str
    weight: Tensor
    statistics: InputStatistics
    structure: Structure
    keep: float

    @cached_property
    def part(self) -> WeightPart:
        """The units of the weight."""
        holder = nn.Parameter(self.weight, requires_grad=False)
        return WeightPart(Match(self.name, nn.Module(), "weight", holder, None), self.structure)

    @property
    def count(self) -> int:
        """How many units stay."""
        return self.part.rounded(self.keep * self.part.count)

    @cached_property
    def hessian(self) -> Tensor:
        """(p, p) H, half the Hessian of the error of each output."""
        return self.statistics.second_moments

    def mask(self, scores: Tensor, count: int | None = None) -> Tensor:
        """(m, p) bool, the units with the largest sums of scores: as many as may stay, or these."""
        count = self.count if count is None else count
        return self.spread(self.part.select(self.sums(scores), count))

    def sums(self, values: Tensor) -> Tensor:
        """(units,) of (m, p) values over the entries of each unit."""
        (parameter,) = self.part.parameters
        return self.part.sums({parameter: values})

    def spread(self, values: Tensor) -> Tensor:
        """(m, p) from one value a unit."""
        (parameter,) = self.part.parameters
        return self.part.masks(values)[parameter]

    def error(self, weight: Tensor) -> float:
        """Of the outputs, relative to their norm; 0 for a layer without outputs."""
        size = _form(self.weight, self.hessian)
        return (_form(self.weight - weight, self.hessian) / size) ** 0.5 if size > 0 else 0.0


def _form(rows: Tensor, hessian: Tensor) -> float:
    """tr R H R', at least 0."""
    return max(0.0, float(((rows @ hessian) * rows).sum(dtype=torch.float64)))


@dataclass(eq=False)
class Solved:
    """What a method makes of a layer.

    Attributes
    ----------
    weight : (m, p) tensor
        Zero outside of the mask.
    mask : (m, p) bool tensor
    certificate : Certificate or None
        Of methods that solve a convex problem.
    facts : dict
        Plain data that a report may show.
    quantised : Quantised or None
        Of methods that round what stays: the same weight as small integers.
    """

    weight: Tensor
    mask: Tensor
    certificate: Certificate | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    quantised: Quantised | None = None
