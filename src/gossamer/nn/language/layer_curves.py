"""Sensitivity: how the error of each layer falls as more of it stays, and what to keep by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from gossamer.nn.allocations.sensitivity import declines
from gossamer.nn.language.architectures import matrix_of
from gossamer.nn.language.layer import Layer
from gossamer.nn.language.methods.wanda import Wanda
from gossamer.nn.language.stream import Stream, gathering

# percents at which errors are measured; all of a layer's error is there at 0, and none at 100
LEVELS = (10, 20, 30, 40, 50, 60, 70, 80, 90)


def curves(stream: Stream, turn: int, layers: dict[str, nn.Module]) -> list[np.ndarray]:
    """Of each layer of a block, (100,) what each further percent takes off its squared error.

    Errors are relative to the outputs, of the weights that Wanda leaves; their curve is replaced by
    its convex hull, so that no percent is worth more than one before it.
    """
    with gathering(layers) as seen:
        stream.advance(turn)
    found = []
    for name, module in layers.items():
        layer = Layer(name, matrix_of(module).float(), seen[name], Wanda().on, 1.0)
        scores, whole = Wanda().scores(layer), layer.part.count
        masks = [layer.mask(scores, layer.part.rounded(level / 100 * whole)) for level in LEVELS]
        squares = [layer.error(layer.weight * mask) ** 2 for mask in masks]
        found.append(declines(np.array([0, *LEVELS, 100]), np.array([1.0, *squares, 0.0])))
    return found


def least_error(
    slopes: Sequence[np.ndarray], sizes: Sequence[int], keep: float, spread: float
) -> list[float]:
    """Shares of the least sum of squared errors, none farther than ``2 spread`` from the mean.

    Percents compete by what they take off for each weight, until the share ``keep`` is spent. Some
    of each layer stays.

    >>> steep, flat = np.linspace(2, 0, 100), np.linspace(1, 0, 100)
    >>> [round(share, 2) for share in least_error([steep, flat], [10, 10], 0.5, 0.4)]
    [0.66, 0.34]
    >>> least_error([steep, flat], [10, 10], keep=0.5, spread=0.05)
    [0.6, 0.4]
    """
    low, high = max(0.1 * keep, keep - 2 * spread), min(1.0, keep + 2 * spread)
    starts, percents = np.arange(100) / 100, np.arange(1, 101) / 100
    room = (percents.clip(low, high) - starts.clip(low, high)) * np.array(sizes)[:, None]
    worth = np.array(slopes) / np.array(sizes)[:, None]
    order = np.argsort(-worth, axis=None, kind="stable")
    before = np.concatenate([[0.0], np.cumsum(room.ravel()[order])[:-1]])
    left = (keep - low) * sum(sizes) - before
    taken = np.zeros(worth.size)
    taken[order] = left.clip(0, room.ravel()[order])
    return (low + taken.reshape(room.shape).sum(1) / sizes).tolist()
