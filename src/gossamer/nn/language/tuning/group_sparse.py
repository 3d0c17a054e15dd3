"""Group-sparse LoRA: low-rank changes of which few groups, blocks of a transformer, remain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gossamer.core.penalty import UnitPenalty
from gossamer.nn.language.architectures import is_transposed
from gossamer.nn.language.tuning.adapter import Adapted, Adapter, On, linear_layers
from gossamer.nn.language.tuning.registry import ADAPTERS
from gossamer.nn.proximal import Proximal
from gossamer.nn.rules import Key
from gossamer.penalties import L1
from gossamer.structures import Elements, Rows

Grouping = Callable[[str], str]


def feed_forward(name: str, module: nn.Module) -> bool:
    """Whether a layer belongs to a numbered block of a model and to no attention in it.

    >>> layer = nn.Linear(2, 2)
    >>> [feed_forward(name, layer) for name in ("h.0.mlp.c_fc", "h.0.attn.c_proj", "head")]
    [True, False, False]
    """
    parts = name.lower().split(".")
    return any(map(str.isdigit, parts)) and not any("att" in part for part in parts)


def block_of(name: str) -> str:
    """A layer's name as far as the first number: that of its block.

    >>> block_of("encoder.layer.3.output.dense"), block_of("head")
    ('encoder.layer.3', 'head')
    """
    parts = name.split(".")
    ends = [place for place, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: ends[0] + 1]) if ends else name


@ADAPTERS.register
class GroupSparseLoRA(Adapter):
    r"""LoRA in which whole groups of layers, the blocks of a transformer, are left as they were.

    .. math:: W'_l = W_l + U_l D_l, \qquad
        \min_{U, D} \; L(U, D) + \sum_g
            \rho\Bigl(\sqrt{\sum_{l \in g} \|U_l\|_F^2 + \|D_l\|_F^2}\Bigr)

    with the shape :math:`\rho` of a penalty, the group lasso by default. After each step of the
    optimiser comes the proximal step in its own metric, so that a group that is given up is exactly
    zero, and merging leaves its weights as they are, to the bit. In terms of the change itself,
    the group lasso is a bridge penalty, concave: among all factors of the same
    :math:`\Delta_l = U_l D_l` the smallest size of a group is the root of
    :math:`2 \sum_l \|\Delta_l\|_*`. A group that is zero stays zero.

    Parameters
    ----------
    model : nn.Module
        A transformer, of language or of images. Changed in place, as by every :class:`Adapter`.
    on : rules, default the linear layers of numbered blocks outside attention
        Which layers are adapted.
    rank : int >= 1, default 8
        Rows of D. Layers with fewer inputs or outputs have as many as these.
    groups : {"block", "module"} or function of a layer's name, default "block"
        What lives or dies together: all layers below the same number in their names, or each layer
        by itself, or those for which the function gives the same name.
    penalty : UnitPenalty, default L1(0.1)
        Of a group's size, at full strength: any shape, without ``on``, ``weights`` and
        ``nonnegative``. Groups start at a size of the root of a third of the ranks of their layers,
        which a shape that charges large sizes no more, such as MCP, must reach.
    warm_up : float in [0, 1), default 0.3
        Share of the training before the penalty sets in, for the loss to show which groups it
        needs.
    seed : int, default 0
        Of D, which is drawn as for LoRA; U starts at zero, and with it the change.

    Attributes
    ----------
    groups : dict from names to tuples of layers' names

    Raises
    ------
    TypeError, ValueError
        For settings of another kind or out of their ranges, and as every adapter.

    Notes
    -----
    The penalty acts in :func:`fine_tune` and :func:`forget` by themselves, in other loops after
    ``adapter.hold(optimiser)``; call ``adapter.at(progress)`` before each step there.

    References
    ----------
    Zhao, Ni, Fan, Wang, Chen, Meng and Zhang (2024), Continual forgetting for pre-trained vision
    models: group-sparse LoRA, penalised by subgradients, which leave small numbers instead of zero.

    Examples
    --------
    >>> import gossamer as gs
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 8), nn.Linear(8, 4))
    >>> adapter = GroupSparseLoRA(model, rank=2, penalty=gs.L1(0.3))
    >>> adapter
    GroupSparseLoRA(2 of 2 groups alive: 1, 2; 56 of 56 trained entries)
    >>> tokens = torch.arange(4).repeat(2, 5)  # 0 1 2 3 0 1 2 3 ...
    >>> tuned = gs.nn.language.fine_tune(model, [tokens], adapter, steps=100, lr=0.1)
    >>> adapter
    GroupSparseLoRA(1 of 2 groups alive: 1; 32 of 56 trained entries)
    >>> adapter.sizes()["2"]
    0.0
    """

    def __init__(
        self,
        model: nn.Module,
        on: On = feed_forward,
        *,
        rank: int = 8,
        groups: str | Grouping = "block",
        penalty: UnitPenalty | None = None,
        warm_up: float = 0.3,
        seed: int = 0,
    ) -> None:
        self.penalty = _on_groups(L1(0.1) if penalty is None else penalty)
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise ValueError(f"rank must be an integer >= 1, got {rank!r}.")
        if not 0 <= warm_up < 1:
            raise ValueError(f"warm_up must be a share in [0, 1), got {warm_up!r}.")
        self.rank, self.warm_up = rank, warm_up
        self._group_of = _grouping(groups)
        self._generator = torch.Generator().manual_seed(seed)
        self._proximal: Proximal | None = None
        self._vectors: dict[str, nn.Parameter] = {}
        self._places: dict[str, int] = {}
        self.groups: dict[str, tuple[str, ...]] = {}
        self._lay_out(linear_layers(model, on) if isinstance(model, nn.Module) else {})
        super().__init__(model, on)

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        vector = self._vectors[self._group_of(name)]
        adapted = LowRank(layer, vector, self._places[name], self._rank_of(layer))
        adapted.start_(self._generator)
        return adapted

    def hold(self, optimiser: Optimizer) -> Proximal:
        """Let the penalty act after each step of an optimiser; ``remove()`` ends that."""
        rules: dict[Key, UnitPenalty] = {
            str(place): self.penalty for place in range(len(self._vectors))
        }
        self._proximal = Proximal(optimiser, nn.ParameterList(self._vectors.values()), rules)
        self.at(0.0)
        return self._proximal

    def at(self, progress: float) -> None:
        if self._proximal is not None:
            self._proximal.scale = float(progress >= self.warm_up)

    @torch.no_grad()
    def sizes(self) -> dict[str, float]:
        """The Euclidean size of each group's factors; zero of those that change nothing."""
        return {name: float(vector.norm()) for name, vector in self._vectors.items()}

    def alive(self) -> list[str]:
        """The groups that are not zero."""
        return [name for name, size in self.sizes().items() if size > 0]

    def state_dict(self) -> dict[str, Tensor]:
        """The factors of the groups that live."""
        living = {layer for group in self.alive() for layer in self.groups[group]}
        return {
            f"{layer}.{name}": factor.detach().clone()
            for layer, name, factor in self._factors()
            if layer in living
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the change of another training; layers that it does not name get none."""
        known = {f"{layer}.{name}": factor for layer, name, factor in self._factors()}
        odd = [n for n, value in state.items() if n not in known or value.shape != known[n].shape]
        if odd:
            raise ValueError(f"The state is of another adapter: {odd[:3]} do not match.")
        for name, factor in known.items():
            factor.copy_(state.get(name, torch.zeros_like(factor)))

    def __repr__(self) -> str:
        alive = self.alive()
        entries = sum(self._vectors[name].numel() for name in alive)
        names = f": {', '.join(alive)}" if alive else ""
        return (
            f"{type(self).__name__}({len(alive)} of {len(self.groups)} groups alive{names}; "
            f"{entries:,} of {self.trained:,} trained entries)"
        )

    def _named(self) -> dict[str, nn.Parameter]:
        return self._vectors

    def _factors(self) -> Iterator[tuple[str, str, Tensor]]:
        """Layer, name and view of each factor."""
        for layer, adapted in self.layers.items():
            assert isinstance(adapted, LowRank)
            for name, factor in adapted.factors().items():
                yield layer, name, factor

    def _rank_of(self, layer: Any) -> int:
        return min(self.rank, *layer.weight.shape)

    def _lay_out(self, layers: Mapping[str, Any]) -> None:
        """One vector a group, as a penalty's unit is one parameter's; and each layer's place."""
        lengths: dict[str, int] = {}
        for name, layer in layers.items():
            group = self._group_of(name)
            self.groups[group] = (*self.groups.get(group, ()), name)
            self._places[name] = lengths.get(group, 0)
            lengths[group] = self._places[name] + self._rank_of(layer) * sum(layer.weight.shape)
        for group, names in self.groups.items():
            weight = layers[names[0]].weight
            exact = torch.promote_types(weight.dtype, torch.float32)
            zeros = torch.zeros(1, lengths[group], dtype=exact, device=weight.device)
            self._vectors[group] = nn.Parameter(zeros)


class LowRank(Adapted):
    """A layer and a change of low rank, whose factors are parts of their group's vector."""

    def __init__(self, layer: Any, vector: nn.Parameter, place: int, rank: int) -> None:
        super().__init__(layer)
        self.vector = vector
        outputs, inputs = (
            reversed(layer.weight.shape) if is_transposed(layer) else layer.weight.shape
        )
        self._shapes = (rank, inputs), (outputs, rank)
        self._place = place

    def factors(self) -> dict[str, Tensor]:
        """``down`` (rank, inputs) and ``up`` (outputs, rank), views of the vector."""
        found, start = {}, self._place
        for name, shape in zip(("down", "up"), self._shapes, strict=True):
            length = shape[0] * shape[1]
            found[name] = self.vector[0, start : start + length].view(shape)
            start += length
        return found

    @torch.no_grad()
    def start_(self, generator: torch.Generator) -> None:
        """Uniform numbers of variance 1/3 over the inputs, as LoRA's, and zeros."""
        down = self.factors()["down"]
        drawn = (2 * torch.rand(down.shape, generator=generator) - 1) / sqrt(down.shape[1])
        down.copy_(drawn)

    def forward(self, inputs: Tensor) -> Tensor:
        factors = self.factors()
        change = inputs.to(self.vector.dtype) @ factors["down"].t() @ factors["up"].t()
        outputs: Tensor = self.layer(inputs)
        return outputs + change.to(outputs.dtype)

    def changed_weight(self) -> Tensor:
        factors = self.factors()
        change = factors["up"] @ factors["down"]
        weight: Tensor = self.layer.weight
        return (weight + (change.t() if is_transposed(self.layer) else change)).to(weight.dtype)


def _grouping(groups: str | Grouping) -> Grouping:
    named: dict[str, Grouping] = {"block": block_of, "module": lambda name: name}
    if callable(groups):
        return groups
    if groups not in named:
        raise ValueError(f"groups must be 'block', 'module' or a function, got {groups!r}.")
    return named[groups]


def _on_groups(penalty: UnitPenalty) -> UnitPenalty:
    """The penalty of a vector's size: its only row is the unit."""
    if not isinstance(penalty, UnitPenalty):
        raise TypeError(f"penalty must be one of a size, such as gs.L1(0.1), got {penalty!r}.")
    if penalty.weights is not None:
        raise ValueError(f"penalty must have no weights, got {penalty!r}: groups count alike.")
    if penalty.nonnegative or not isinstance(penalty.on, Elements):
        raise ValueError(f"penalty must be without on= and nonnegative=, got {penalty!r}.")
    return replace(penalty, on=Rows())
