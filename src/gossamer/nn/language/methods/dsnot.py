"""DSnoT: weights change places so that outputs are right on average, without any training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gossamer.core.structure import Structure
from gossamer.nn.language.layer import Layer, Solved
from gossamer.nn.language.method import METHODS, Method
from gossamer.nn.pruning.registries import piece_of


@METHODS.register
@dataclass
class DSnoT(Method):
    r"""From another method's mask, weights that are gone and weights that stay change places.

    Of each output i, with inputs of mean :math:`\mu_j` and variance :math:`\sigma_j^2`, the error
    expected is

    .. math:: e_i = \sum_j (w_{ij} - u_{ij}) \mu_j.

    In each cycle, the weight comes back that has :math:`\operatorname{sign}(e_i) w_{ij} \mu_j /
    \sigma_j^2` the largest, and of those whose loss takes the error towards zero as well,
    :math:`\operatorname{sign}(e_i) u_{ij} \mu_j < 0`, the one goes that has :math:`u_{ij}^2 H_{jj}`
    the smallest; in patterns such as 2:4, the latter of those in the tile of the first one.

    Parameters
    ----------
    start : str or Method, default "wanda"
        The method that is to be improved.
    cycles : int >= 1, default 50
        The authors'.
    threshold : float >= 0, default 5e-5
        Expected errors this small are left: the authors' 0.1 for a sum over windows of 2048 tokens.
    power : float >= 0, default 1.0
        Of the variance, in what decides which weights come back; the authors'.
    checked : bool, default True
        Whether weights change places only where that makes the squared error smaller, as H tells,
        and the next ones are tried where not. So the error is never larger than at the start.
        Otherwise only expected errors must become smaller, and an output is done when they would
        not; the authors go on even then, which made narrow layers worse.

    References
    ----------
    Zhang, Zhao, Lin, Sun, Yao, Han, Tanner, Liu and Ji (2024), Dynamic sparse no training:
    training-free fine-tuning for sparse LLMs.

    Examples
    --------
    The last input is the largest, but the output is right more nearly by another one.

    >>> from gossamer.nn.language import InputStatistics
    >>> from gossamer.structures import FanIn
    >>> seen = InputStatistics(3)
    >>> seen.add(torch.tensor([[1.1, 0.9, 0.5], [0.9, 1.1, -1.5]]))
    >>> layer = Layer("fc", torch.ones(1, 3), seen, FanIn(1), 1.0)
    >>> solved = DSnoT(start="wanda").solve(layer)
    >>> solved.mask, solved.facts
    (tensor([[ True, False, False]]), {'swaps': 1})
    """

    start: str | Method = "wanda"
    cycles: int = 50
    threshold: float = 5e-5
    power: float = 1.0
    checked: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.cycles, bool) or not isinstance(self.cycles, int) or self.cycles < 1:
            raise ValueError(f"DSnoT: cycles must be an integer >= 1, got {self.cycles!r}.")
        for name in ("threshold", "power"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"DSnoT: {name} must be >= 0, got {getattr(self, name)!r}.")
        piece_of(METHODS, self.start, Method)

    @property
    def on(self) -> Structure:
        return piece_of(METHODS, self.start, Method).on

    def solve(self, layer: Layer) -> Solved:
        tiles = _tiles(layer)
        begun = piece_of(METHODS, self.start, Method).solve(layer)
        swaps = _Swaps(layer, begun, tiles, self)
        for _ in range(self.cycles):
            swaps.cycle()
        return Solved(swaps.weight, swaps.mask, facts={"swaps": swaps.count})


class _Swaps:
    """A layer between cycles, of which outputs that are done are not looked at any more."""

    def __init__(self, layer: Layer, begun: Solved, tiles: Tensor | None, settings: DSnoT) -> None:
        seen = layer.statistics
        self.dense, self.tiles, self.settings = layer.weight, tiles, settings
        self.weight, self.mask = begun.weight * begun.mask, begun.mask.clone()
        self.hessian, self.means = layer.hessian, seen.mean
        variance = seen.variance.clamp(min=torch.finfo(seen.sums.dtype).tiny)
        self.scales = self.means / variance**settings.power
        self.expected = (self.dense - self.weight) @ self.means
        self.slopes = (self.dense - self.weight) @ self.hessian
        self.can_come, self.can_go = ~begun.mask, begun.mask.clone()
        self.rows = torch.arange(len(self.dense), device=self.dense.device)
        self.count = 0

    def cycle(self) -> None:
        """At most one swap in each row."""
        rows = self.rows[self.expected[self.rows].abs() > self.settings.threshold]
        comes, goes, found = self._candidates(rows)
        rows, comes, goes = rows[found], comes[found], goes[found]
        better = self._is_better(rows, comes, goes)
        self.can_come[rows, comes], self.can_go[rows, goes] = False, False
        self._swap(rows[better], comes[better], goes[better])
        self.rows = rows if self.settings.checked else rows[better]

    def _candidates(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What may come and go in some rows, and where there is something."""
        side = self.expected[rows].sign()[:, None]
        gains = side * self.dense[rows] * self.scales
        gain, comes = gains.masked_fill(~self.can_come[rows], -torch.inf).max(1)
        kept = self.weight[rows]
        if self.tiles is None:
            fits = side * kept * self.means < 0
        else:
            fits = self.tiles == self.tiles[comes][:, None]
        costs = kept.square() * self.hessian.diagonal()
        cost, goes = costs.masked_fill(~(fits & self.can_go[rows]), torch.inf).min(1)
        return comes, goes, (gain > 0) & cost.isfinite()

    def _is_better(self, rows: Tensor, comes: Tensor, goes: Tensor) -> Tensor:
        """Whether the squared error, or the expected one, would be smaller after a swap."""
        new, old = self.dense[rows, comes], self.weight[rows, goes]
        if not self.settings.checked:
            before = self.expected[rows]
            return (before + old * self.means[goes] - new * self.means[comes]).abs() < before.abs()
        sizes, both = self.hessian.diagonal(), self.hessian[comes, goes]
        linear = 2 * (old * self.slopes[rows, goes] - new * self.slopes[rows, comes])
        square = old**2 * sizes[goes] + new**2 * sizes[comes] - 2 * old * new * both
        return linear + square < 0

    def _swap(self, rows: Tensor, comes: Tensor, goes: Tensor) -> None:
        new, old = self.dense[rows, comes], self.weight[rows, goes]
        self.expected[rows] += old * self.means[goes] - new * self.means[comes]
        self.slopes[rows] += old[:, None] * self.hessian[goes] - new[:, None] * self.hessian[comes]
        self.weight[rows, comes], self.weight[rows, goes] = new, 0.0
        self.mask[rows, comes], self.mask[rows, goes] = True, False
        self.count += len(rows)


def _tiles(layer: Layer) -> Tensor | None:
    """(p,) the tile of each input in a pattern along inputs; None where a whole row is free."""
    part = layer.part
    if part.count == layer.weight.numel():
        if part.quota is None:
            return None
        numbers = part.quota.spread(torch.arange(part.quota.count))
        if bool((numbers[1:].amin(1) > numbers[:-1].amax(1)).all()):  # each in one row
            tiles = numbers[0].unique(return_inverse=True)[1]
            return None if int(tiles.max()) == 0 else tiles
    raise ValueError(
        f"DSnoT: weights of one output change places, which {layer.structure!r} does not allow: "
        "take single weights, as many of each output, or a pattern of inputs such as 2:4."
    )
