"""Labels: which entries of which tensors are the same channel.

Every channel of every weight gets a number, its label. Operators state which labels must be equal;
the classes of equal labels are the channels of the whole network, which live or die together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

# The label of what cannot be resized: the model's inputs and outputs, and what no rule knows.
PINNED = 0


class Labels:
    """Numbers for channels, and the equations between them."""

    def __init__(self) -> None:
        self.count = 1
        self._equal: list[tuple[Tensor, Tensor]] = []

    def fresh(self, size: int) -> Tensor:
        """(size,) labels that nothing else has."""
        self.count += size
        return torch.arange(self.count - size, self.count)

    def unify(self, a: Tensor, b: Tensor) -> None:
        """State that the labels of `a` and `b`, which broadcast, are equal one by one."""
        a, b = torch.broadcast_tensors(a, b)
        self._equal.append((a.reshape(-1), b.reshape(-1)))

    def pin(self, labels: Tensor) -> None:
        """State that channels with these labels cannot be removed."""
        self.unify(labels, torch.tensor(PINNED))

    def classes(self) -> np.ndarray:
        """(count,) the class of every label, from 0 on; that of label 0 is the pinned one."""
        pairs = [torch.stack(pair) for pair in self._equal]
        rows, columns = torch.cat([torch.zeros(2, 1, dtype=torch.long), *pairs], 1).numpy()
        ones = np.ones(len(rows), dtype=np.int8)
        graph = coo_array((ones, (rows, columns)), shape=(self.count, self.count))
        numbers: np.ndarray = connected_components(graph, directed=False)[1]
        return numbers


@dataclass(frozen=True, eq=False)
class Signal:
    """What is known of a tensor that flows through the network, for every input.

    Attributes
    ----------
    shape : of the tensor, for the example inputs
    axis : int or None
        The axis of the channels; `None` when the same holds for all entries.
    labels : (shape[axis],) or (1,)
    constants : like `labels`, float64
        The value of channels that are the same number everywhere for every input, else NaN.
    """

    shape: tuple[int, ...]
    axis: int | None
    labels: Tensor
    constants: Tensor

    @classmethod
    def pinned(cls, shape: Sequence[int]) -> Signal:
        """A tensor of which nothing is known."""
        return cls.unknown(shape, None, torch.tensor([PINNED]))

    @classmethod
    def unknown(cls, shape: Sequence[int], axis: int | None, labels: Tensor) -> Signal:
        """Channels, none of which is constant."""
        return cls(tuple(shape), axis, labels, torch.full(labels.shape, torch.nan).double())

    @classmethod
    def of_entries(cls, labels: Tensor, constants: Tensor) -> Signal:
        """From what holds for every entry, where labels vary along one axis at most."""
        shape = tuple(labels.shape)
        axes = varying(labels) or varying(constants)
        axis = axes[0] if len(axes) == 1 else None
        size = shape[axis] if axis is not None else 1
        flat = (labels if axis is None else labels.movedim(axis, 0)).reshape(size, -1)
        values = (constants if axis is None else constants.movedim(axis, 0)).reshape(size, -1)
        alike = (values == values[:, :1]).all(1)
        return cls(shape, axis, flat[:, 0], values[:, 0].where(alike, torch.nan))

    def on(self, axis: int) -> tuple[Tensor, Tensor] | None:
        """(labels, constants) along `axis`; `None` when the channels lie along another one."""
        axis %= len(self.shape)
        if self.axis not in (None, axis):
            return None
        size = self.shape[axis]
        return self.labels.expand(size), self.constants.expand(size)

    def entries(self) -> tuple[Tensor, Tensor]:
        """Labels and constants of every entry, of the tensor's shape."""
        view = [1] * len(self.shape)
        if self.axis is not None:
            view[self.axis] = -1
        return (
            self.labels.reshape(view).expand(self.shape),
            self.constants.reshape(view).expand(self.shape),
        )


def varying(entries: Tensor) -> list[int]:
    """The axes along which entries differ; NaN equals NaN."""
    filled = entries.nan_to_num(nan=torch.finfo(torch.float64).max)
    return [
        axis
        for axis, size in enumerate(filled.shape)
        if size > 1 and bool((filled != filled.narrow(axis, 0, 1)).any())
    ]
