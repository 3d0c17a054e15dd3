"""Shrinking: a smaller network that computes the same, without the channels that are dead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.nn.channels import Read, Weight, evaluating, positional
from gossamer.nn.flops import count_macs
from gossamer.nn.graph import ChannelGraph
from gossamer.nn.resizing import Positions, positions_left, resize


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """What :func:`shrink` did, as attribute ``shrinkage`` of the model that it returns.

    Attributes
    ----------
    channels : dict
        Of each dense layer: the name of its weight, and the channels it makes (before, after).
    parameters, macs : (before, after)
        Multiply-accumulate operations are those of the example inputs.
    difference : float
        Largest one of an output to the original model's, relative to the largest output.
    kept : tuple of str
        Why more was not removed: operators that no rule understands, and constants that do not
        fold, with what to do about them.
    positions : dict
        Of each weight that got smaller: by axis, the positions that were left.
    """

    channels: dict[str, tuple[int, int]] = field(repr=False)
    parameters: tuple[int, int]
    macs: tuple[int, int]
    difference: float
    kept: tuple[str, ...]
    positions: Positions = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a file or a report."""
        left = {
            name: {axis: kept.tolist() for axis, kept in axes.items()}
            for name, axes in self.positions.items()
        }
        return {item.name: getattr(self, item.name) for item in fields(self)} | {"positions": left}


def shrink(
    model: nn.Module, example_inputs: Tensor | Sequence[Any], *, tolerance: float = 1e-5
) -> nn.Module:
    r"""A physically smaller model with the same outputs.

    A channel goes when every layer that reads it either has only zero weights for it, or gets the
    same number from it for every input: a filter of zeros sends its bias, through normalisation
    and activation, which becomes a part of the next layer's bias. That in turn silences what came
    before: :math:`W_{:c} = 0` for all readers, or :math:`x_c \equiv a` and
    :math:`b \leftarrow b + W_{:c}\, a`. A convolution with zero padding does not see the same
    number at its border: there only :math:`a = 0` will do. Every layer keeps one channel at least.

    Parameters
    ----------
    model : nn.Module
        Left as it is. What it computes in evaluation mode is what is kept.
    example_inputs : tensor, or sequence of the forward method's positional arguments
    tolerance : float, default 1e-5
        Allowed difference of outputs, relative to the largest output: about a hundred times the
        rounding of float32, since sums get other orders. For coarser types it grows with theirs.

    Returns
    -------
    A new model of the same class, with smaller layers; attribute ``shrinkage`` is a
    :class:`Shrinkage`. It loads into a model of the old size no more.

    Raises
    ------
    ValueError
        If `torch.export` cannot trace the model, or its weights are parametrised.
    RuntimeError
        If the smaller model's outputs differ on the example inputs or on random ones; this would
        be a bug, or a model whose outputs are random.

    References
    ----------
    Bragagnolo and Barbano (2022), Simplify: a Python library for optimizing pruned neural
    networks. Fang, Ma, Song, Mi and Wang (2023), DepGraph: towards any structural pruning.

    Examples
    --------
    >>> from gossamer.nn.models import LeNet300
    >>> model = LeNet300()
    >>> with torch.no_grad():
    ...     _ = model.fc1.weight[::2].zero_()
    >>> small = shrink(model, torch.zeros(1, 784))
    >>> small.fc1
    Linear(in_features=784, out_features=150, bias=True)
    >>> small.shrinkage.parameters
    (266610, 133860)
    """
    inputs = positional(example_inputs)
    # A forward method that spells out the number of channels breaks when it changes: the second
    # attempt leaves those channels alone.
    for pins_sizes in (False, True):
        graph = ChannelGraph(model, inputs, pins_sizes)
        alive, folds = surviving(graph)
        small = resize(model, graph, alive, folds)
        failure: Exception | None = None
        try:
            difference = largest_difference(model, small, inputs)
        except (RuntimeError, IndexError, ValueError) as error:
            difference, failure = float("inf"), error
        if difference <= tolerance_of(model, tolerance):
            account = report(model, small, inputs, graph, alive, difference)
            small.shrinkage = account  # type: ignore[assignment]
            return small
    raise RuntimeError(
        f"The smaller {type(model).__name__} would differ from the original one by {difference:.2g}"
        " of its largest output, so it is withheld. If the model is random in evaluation mode, "
        "make it deterministic first."
    ) from failure


def surviving(graph: ChannelGraph) -> tuple[np.ndarray, list[tuple[Read, Tensor]]]:
    """Which channels stay, and what the biases of the layers that read the others get.

    Returns
    -------
    alive : (n_channels,) mask over the classes of the graph
    folds : (read, addend) pairs, the addend of shape (made,)
    """
    stays = graph.pinned | graph.mixed
    axes = [classes for _, _, classes in graph.axes()]
    while True:
        alive = _fixed_point(graph, stays)
        empty = [classes for classes in axes if not alive[classes].any()]
        if not empty:
            break
        stays[[classes[0] for classes in empty]] = True
    folds = []
    for read in graph.flow.reads:
        gone = ~torch.from_numpy(alive[_channels(graph, read)])
        addend = read.taps()[:, gone] @ read.constants[gone].nan_to_num()
        if bool((addend != 0).any()):
            folds.append((read, addend))
    return alive, folds


def _fixed_point(graph: ChannelGraph, stays: np.ndarray) -> np.ndarray:
    """Channels that must live, given some that stay: what a living one needs lives too."""
    readers = [
        (
            _channels(graph, read),
            graph.classes[read.weight.axes[read.makes].numpy()],
            ~read.silent().numpy() & ~_foldable(graph, read)[None, :],
        )
        for read in graph.flow.reads
    ]
    alive = stays.copy()
    while True:
        before = alive.sum()
        for incoming, made, needs in readers:
            alive[incoming[needs[alive[made]].any(0)]] = True
        if alive.sum() == before:
            return alive


def _channels(graph: ChannelGraph, read: Read) -> np.ndarray:
    """(read,) the channel that each input of a layer is."""
    return graph.classes[read.weight.axes[read.reads].numpy()]


def _foldable(graph: ChannelGraph, read: Read) -> np.ndarray:
    """(read,) whether a layer's input is constant, and its part of the sum fits into the bias."""
    constants = read.constants.numpy()
    takes_bias = read.folds and _has_own_bias(graph, read)
    return (constants == 0) | (takes_bias & ~np.isnan(constants))


def _has_own_bias(graph: ChannelGraph, read: Read) -> bool:
    """Whether the layer has, or can be given, a bias that nothing else uses."""

    def uses(weight: Weight) -> int:
        return sum(weight in (other.weight, other.bias) for other in graph.flow.reads)

    if read.bias is not None:
        return uses(read.bias) == 1 and uses(read.weight) == 1 and not read.bias.tied
    layer = read.weight.owner
    can_have_one = (
        isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)
        and layer.bias is None
        and read.weight.name == f"{read.place}.weight".removeprefix("(model).")
    )
    return can_have_one and uses(read.weight) == 1 and not read.weight.tied


def unfolded(graph: ChannelGraph, alive: np.ndarray) -> Iterator[str]:
    """Layers that keep channels alive only because their constants cannot go to a bias."""
    for read in graph.flow.reads:
        channels = _channels(graph, read)
        free = alive[channels] & ~graph.pinned[channels] & ~graph.mixed[channels]
        constant = ~np.isnan(read.constants.numpy()) & ~_foldable(graph, read)
        heard = ~read.silent().numpy().all(0)
        if count := int((free & constant & heard).sum()):
            yield (
                f"{read.weight.name}: {count} of its inputs are constant, but not zero; what they "
                "add depends on the position (zero padding, transposed convolution), or there is "
                "no bias that is this layer's own: set the biases and normalisation of these "
                "channels to zero as well"
            )


def largest_difference(model: nn.Module, small: nn.Module, inputs: tuple[Any, ...]) -> float:
    """Of any output, over the largest output, on the example inputs and on random ones."""
    generator = torch.Generator().manual_seed(0)

    def random_like(item: Any) -> Any:
        if not isinstance(item, Tensor) or not item.is_floating_point():
            return item
        return torch.randn(item.shape, generator=generator).to(item)

    worst = 0.0
    with evaluating(model), evaluating(small), torch.no_grad():
        for drawn in (inputs, tuple(map(random_like, inputs))):
            try:
                expected = _leaves(model(*drawn))
            except Exception:
                if drawn is inputs:
                    raise
                continue  # the model refuses random inputs
            worst = max([worst, *map(_apart, expected, _leaves(small(*drawn)))])
    return worst


def _apart(a: Tensor, b: Tensor) -> float:
    """Largest difference of `b` to `a`, over the largest entry of `a`; NaN equals NaN."""
    if a.shape != b.shape:
        return float("inf")
    if not a.numel():
        return 0.0
    a, b = a.double(), b.double()
    apart = (a - b).abs().where((a != b) & ~(a.isnan() & b.isnan()), 0)
    return float(
        apart.nan_to_num(nan=torch.inf).max() / a.nan_to_num().abs().max().clamp_min(1e-30)
    )


def _leaves(outputs: Any) -> list[Tensor]:
    leaves = torch.utils._pytree.tree_leaves(outputs)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def tolerance_of(model: nn.Module, tolerance: float) -> float:
    """The tolerance for the coarsest type of the model's parameters; as given for float32."""
    precisions = [torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point()]
    float32 = torch.finfo(torch.float32).eps
    return tolerance * max(1.0, max(precisions, default=float32) / float32)


def report(
    model: nn.Module,
    small: nn.Module,
    inputs: tuple[Any, ...],
    graph: ChannelGraph,
    alive: np.ndarray,
    difference: float,
) -> Shrinkage:
    left = positions_left(graph, alive)
    channels = {}
    for read in graph.flow.reads:
        before = read.weight.shape[read.makes]
        kept = left.get(read.weight.name, {}).get(read.makes)
        channels[read.weight.name] = (before, before if kept is None else len(kept))
    return Shrinkage(
        channels=channels,
        parameters=(_count(model), _count(small)),
        macs=(sum(count_macs(model, inputs).values()), sum(count_macs(small, inputs).values())),
        difference=difference,
        kept=tuple(dict.fromkeys((*graph.flow.kept, *unfolded(graph, alive)))),
        positions=left,
    )


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
