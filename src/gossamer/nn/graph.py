"""The dependency graph: which channels of a network's weights belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gossamer.nn.channels import Flow, Weight, export, positional, propagate


@dataclass(frozen=True, eq=False)
class Member:
    """Where the channels of a group lie in one parameter.

    Attributes
    ----------
    parameter : str
        Its name in the model.
    axis : int
    index : (size, repeat)
        Row i holds the positions along `axis` that belong to channel i.
    made : bool
        Whether the parameter makes the channels along this axis (a filter, its bias, its
        normalisation), rather than reads them (the next layer's inputs).
    """

    parameter: str
    axis: int
    index: Tensor
    made: bool

    def take(self, value: Tensor) -> Tensor:
        """(size, -1) the entries of the parameter's `value` that belong to each channel."""
        size = len(self.index)
        index = self.index.reshape(-1).to(value.device)
        return value.movedim(self.axis, 0)[index].reshape(size, -1)


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Channels of several parameters that live or die together, one by one.

    Attributes
    ----------
    size : int
        Number of channels.
    members : the parameters that have them
    mixed : bool
        Whether the channels also enter a normalisation or sum over all of them: then removing one
        changes the others, even if it is zero.
    """

    size: int
    members: tuple[Member, ...]
    mixed: bool

    def sizes(self, model: nn.Module, made: bool = True, read: bool = False) -> Tensor:
        """(size,) Euclidean norm of each channel's entries in the members that make or read it."""
        squares = [
            member.take(model.get_parameter(member.parameter)).square().sum(1)
            for member in self.members
            if (member.made and made) or (not member.made and read)
        ]
        return torch.stack(squares).sum(0).sqrt()

    def __repr__(self) -> str:
        parts = ", ".join(f"{member.parameter}[{member.axis}]" for member in self.members)
        return f"ChannelGroup({self.size}: {parts}{', mixed' if self.mixed else ''})"


def coupled_channels(
    model: nn.Module, example_inputs: Tensor | Sequence[Any]
) -> list[ChannelGroup]:
    """The channels of a model that can be removed, and all parameters that each one touches.

    Channels are coupled by what the model computes: a filter with its bias, its normalisation and
    the inputs of the next layer; the two ends of a residual connection; the pixels of a channel
    that is flattened; the uses of a shared or tied weight. Nothing of the model's inputs and
    outputs is in a group.

    Parameters
    ----------
    model : nn.Module
        Looked at in evaluation mode; left as it is.
    example_inputs : tensor, or sequence of the forward method's positional arguments

    Raises
    ------
    ValueError
        If `torch.export` cannot trace the model, or its weights are parametrised.

    References
    ----------
    Fang, Ma, Song, Mi and Wang (2023), DepGraph: towards any structural pruning.

    Examples
    --------
    >>> from gossamer.nn.models import LeNet300
    >>> for group in coupled_channels(LeNet300(), torch.zeros(1, 784)):
    ...     print(group)
    ChannelGroup(300: fc1.weight[0], fc1.bias[0], fc2.weight[1])
    ChannelGroup(100: fc2.weight[0], fc2.bias[0], fc3.weight[1])
    """
    return ChannelGraph(model, example_inputs).groups()


class ChannelGraph:
    """What the operators of a model state about its channels.

    Attributes
    ----------
    flow : the weights, with labels along their axes, and the layers that read channels
    classes : the channel of the whole network that each label stands for
    pinned, mixed : of each channel, whether it must stay, and whether all others depend on it
    """

    def __init__(
        self,
        model: nn.Module,
        example_inputs: Tensor | Sequence[Any],
        pins_sizes: bool = False,
    ) -> None:
        self.model = model
        self.flow = Flow(pins_sizes)
        self._parameters = dict(model.named_parameters())
        propagate(self.flow, model, export(model, positional(example_inputs)))
        self.classes = self.flow.labels.classes()
        count = int(self.classes.max()) + 1
        self.pinned = np.arange(count) == self.classes[0]
        self.mixed = np.zeros(count, dtype=bool)
        for labels in self.flow.mixed:
            self.mixed[self.classes[labels.numpy()]] = True

    def axes(self) -> list[tuple[Weight, int, np.ndarray]]:
        """Every axis of a weight that has channels: (weight, axis, channel of each position)."""
        return [
            (weight, axis, self.classes[labels.numpy()])
            for weight in self.flow.weights
            for axis, labels in sorted(weight.axes.items())
        ]

    def groups(self) -> list[ChannelGroup]:
        """The channels that may be removed, those with the same members together."""
        axes = [entry for entry in self.axes() if entry[0].name in self._parameters]
        places: dict[int, list[tuple[int, int]]] = {}
        for place, (_, _, classes) in enumerate(axes):
            numbers, repeats = np.unique(classes, return_counts=True)
            for number, repeat in zip(numbers.tolist(), repeats.tolist(), strict=True):
                places.setdefault(number, []).append((place, repeat))
        alike: dict[tuple[bool, tuple[tuple[int, int], ...]], list[int]] = {}
        for number in sorted(places):
            if not self.pinned[number]:
                key = (bool(self.mixed[number]), tuple(places[number]))
                alike.setdefault(key, []).append(number)
        return [
            ChannelGroup(
                len(numbers),
                tuple(_member(*axes[place], numbers, repeat) for place, repeat in where),
                mixed,
            )
            for (mixed, where), numbers in sorted(alike.items(), key=lambda item: item[0][1])
        ]


def _member(
    weight: Weight, axis: int, classes: np.ndarray, numbers: list[int], repeat: int
) -> Member:
    """Where channels `numbers`, each with `repeat` positions, lie along an axis of a weight."""
    positions = np.flatnonzero(np.isin(classes, numbers))
    order = np.argsort(np.searchsorted(numbers, classes[positions]), kind="stable")
    index = torch.from_numpy(positions[order].reshape(len(numbers), repeat))
    return Member(weight.name, axis, index, axis in weight.made)
