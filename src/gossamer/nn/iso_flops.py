"""Iso-FLOP layers: more weights, sparse, for the operations of the dense layer they replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from gossamer.nn.rules import Key, Match, match
from gossamer.structures import Elements

_EXAMPLE = '{"fc*": gs.nn.SparseParallel(0.75)}'
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class IsoFlopLayer:
    """What replaces a dense layer: a subclass says which layers are sparse and which are dense.

    Parameters
    ----------
    sparsity : float in (0, 1)
        Share of zeros in the sparse layers.
    """

    sparsity: float

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ValueError(
                f"{type(self).__name__}: sparsity must be in (0, 1), got {self.sparsity!r}."
            )

    def build(self, layer: nn.Module) -> nn.Module:
        """The replacement; what is to be sparse lies under names that start with ``sparse``."""
        raise NotImplementedError(f"{type(self).__name__} needs build().")


@dataclass(frozen=True)
class SparseParallel(IsoFlopLayer):
    r"""As many branches as zeros save: :math:`\sum_{j=1}^{k} \sigma(W_j x)`, k = 1 / (1 - s).

    Parameters
    ----------
    sparsity : float in (0, 1)
        s; k is rounded to a whole number.
    activation : callable, default torch.relu
        :math:`\sigma`, of each branch, without which the branches were one denser layer.
    """

    activation: Activation = torch.relu

    def build(self, layer: nn.Module) -> nn.Module:
        count = max(2, round(1 / (1 - self.sparsity)))
        branches = [like(layer, *_ends(layer)) for _ in range(count)]
        return _Parallel(branches, self.activation)


@dataclass(frozen=True)
class SparseFactorised(IsoFlopLayer):
    r"""Two sparse layers with a wide one between them: :math:`V \sigma(U x)`.

    The width is what the operations of the dense layer pay for. Of a convolution, U has the kernel
    and V is of size 1.

    Parameters
    ----------
    sparsity : float in (0, 1)
    activation : callable, default torch.relu
        :math:`\sigma`.
    """

    activation: Activation = torch.relu

    def build(self, layer: nn.Module) -> nn.Module:
        inputs, outputs = _ends(layer)
        width = _rank(layer) / (1 - self.sparsity)
        inner = max(1, int(width))
        return _Factorised(
            like(layer, inputs, inner, bias=True), after(layer, inner, outputs), self.activation
        )


@dataclass(frozen=True)
class SparseDoped(IsoFlopLayer):
    """A sparse layer plus a dense one of low rank, for which the zeros pay."""

    def build(self, layer: nn.Module) -> nn.Module:
        inputs, outputs = _ends(layer)
        rank = max(1, int(_rank(layer) * self.sparsity))
        return Doped(
            like(layer, inputs, outputs),
            like(layer, inputs, rank, bias=False),
            after(layer, rank, outputs, bias=False),
        )


@dataclass(frozen=True)
class IsoFlop:
    """What to prune of the layers that :func:`iso_flop` has put in.

    Attributes
    ----------
    on : dict
        Rules for :func:`gossamer.nn.prune` and :class:`gossamer.nn.SparseTraining`.
    keep : float
        Share of these weights with which no layer does more than the dense one did.
    """

    on: dict[Key, Elements]
    keep: float


def iso_flop(model: nn.Module, rules: Mapping[Key, Any]) -> IsoFlop:
    r"""Replace dense layers by larger ones that, once sparse, do as many operations.

    A sparse layer of the same size can do less than the dense one it replaces; a larger one with as
    many non-zero weights can do more. Layers are replaced in place; train the model sparsely with
    what is returned, every layer by the same share:

    .. code-block:: python

        budget = gs.nn.iso_flop(model, {"fc1": gs.nn.SparseParallel(0.75)})
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        training = gs.nn.SparseTraining(
            model, optimiser, "rigl", on=budget.on, keep=budget.keep, allocation="uniform", ...
        )

    Parameters
    ----------
    model : nn.Module
    rules : mapping
        As in :func:`gossamer.nn.rules.match`, with values :class:`SparseParallel`,
        :class:`SparseFactorised` or :class:`SparseDoped`. What they select must be the weights of
        ``Linear``, ``Conv1d``, ``Conv2d`` or ``Conv3d`` layers without groups.

    Returns
    -------
    IsoFlop

    Raises
    ------
    TypeError, ValueError
        As :func:`gossamer.nn.rules.match`, and for layers that cannot be replaced; the model is
        then as it was.

    Notes
    -----
    The fourth of the family, Sparse Wide, needs no new layers: make the model :math:`1 / \sqrt{1 -
    s}` times as wide, and train it with the parameters of the narrow one as the budget
    (``params=``, or ``flops=``).

    New layers are initialised anew, as PyTorch does.

    References
    ----------
    Thangarasa, Saxena, Gupta and Lie (2024), Sparse-IFT: sparse iso-FLOP transformations for
    maximizing training efficiency.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    >>> budget = iso_flop(model, {"0": SparseParallel(0.75)})
    >>> budget.keep, [name for name, _ in model.named_parameters() if "weight" in name][:2]
    (0.25, ['0.sparse.0.weight', '0.sparse.1.weight'])
    """
    found = match(model, rules, IsoFlopLayer, _EXAMPLE)
    built = [(each, _replacement(each)) for each in found]
    on: dict[Key, Elements] = {}
    keep = 1.0
    for each, (new, share) in built:
        name = each.name.rpartition(".")[0]
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, new)
        on[f"{name}.sparse*"] = Elements()
        keep = min(keep, share)
    return IsoFlop(on, keep)


def _replacement(found: Match) -> tuple[nn.Module, float]:
    """The new layer, and the share of its sparse weights that the dense one pays for."""
    layer, name = found.module, found.name
    if not isinstance(layer, (nn.Linear, *_CONVOLUTIONS)) or getattr(layer, "groups", 1) > 1:
        raise ValueError(
            f"{name!r} belongs to {layer}: only Linear and convolutional layers without groups "
            "can be replaced."
        )
    if "." not in name or found.tied:
        raise ValueError(
            f"{name!r} is the model's own or shared with {found.names[1:]}: only layers of their "
            "own inside a model can be replaced."
        )
    new = found.penalty.build(layer)
    sizes = {n: p.numel() for n, p in new.named_parameters() if n.endswith("weight")}
    sparse = sum(size for n, size in sizes.items() if n.startswith("sparse"))
    share = (found.parameter.numel() - (sum(sizes.values()) - sparse)) / sparse
    if not 0 < share <= 1:
        raise ValueError(f"{name!r} is too small for {found.penalty!r}: leave it out.")
    return new.train(layer.training), share


def _ends(layer: nn.Module) -> tuple[int, int]:
    """Numbers of inputs and outputs."""
    weight = cast(Tensor, layer.weight)
    return weight.shape[1], weight.shape[0]


def _rank(layer: nn.Module) -> float:
    """The rank at which two factors have as many weights as the layer."""
    weight = cast(Tensor, layer.weight)
    reads = weight.numel() // weight.shape[0]
    return weight.numel() / (reads + weight.shape[0])


def like(layer: nn.Module, inputs: int, outputs: int, bias: bool | None = None) -> nn.Module:
    """A new layer with the settings of another and other ends."""
    options = _common(layer, bias)
    if isinstance(layer, _CONVOLUTIONS):
        names = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        options |= {name: getattr(layer, name) for name in names}
    return _kind(layer)(inputs, outputs, **options)


def after(layer: nn.Module, inputs: int, outputs: int, bias: bool | None = None) -> nn.Module:
    """A new layer that mixes the channels of each position."""
    options = _common(layer, bias)
    if isinstance(layer, _CONVOLUTIONS):
        options["kernel_size"] = 1
    return _kind(layer)(inputs, outputs, **options)


def _common(layer: nn.Module, bias: bool | None) -> dict[str, Any]:
    """What linear layers and convolutions have in common; ``bias`` as the layer's by default."""
    weight = cast(Tensor, layer.weight)
    has_bias = layer.bias is not None if bias is None else bias
    return {"bias": has_bias, "device": weight.device, "dtype": weight.dtype}


def _kind(layer: nn.Module) -> type[nn.Module]:
    kinds = (nn.Linear, *_CONVOLUTIONS)
    return next(kind for kind in kinds if isinstance(layer, kind))


class _Parallel(nn.Module):
    def __init__(self, branches: list[nn.Module], activation: Activation) -> None:
        super().__init__()
        self.sparse, self.activation = nn.ModuleList(branches), activation

    def forward(self, x: Tensor) -> Tensor:
        first, *others = (self.activation(branch(x)) for branch in self.sparse)
        for other in others:
            first = first + other
        return first


class _Factorised(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.sparse_in, self.sparse_out, self.activation = first, second, activation

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.sparse_out(self.activation(self.sparse_in(x))))


class Doped(nn.Module):
    """A sparse layer, and a dense one of low rank beside it."""

    def __init__(self, sparse: nn.Module, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.sparse, self.dense_in, self.dense_out = sparse, first, second

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.sparse(x) + self.dense_out(self.dense_in(x)))
