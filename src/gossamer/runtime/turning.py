"""Turning: coordinates of a layer's inputs in which few of them say most of its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gossamer.runtime.layer_inputs import linear_layer

_RIDGE = 1e-3  # of the mean variance, added to the inputs' second moments


class Turning(nn.Module):
    """``z = x A``: other coordinates of the inputs.

    Layers that read the same tensor one after the other share one, which is computed once.

    Parameters
    ----------
    forth : (inputs, inputs) tensor, A
    """

    forth: Tensor

    def __init__(self, forth: Tensor) -> None:
        super().__init__()
        self.register_buffer("forth", forth)
        self._latest: tuple[Tensor, int, Tensor] | None = None  # read, its version, and put out

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) in the other coordinates."""
        if x.is_inference():  # has no version, by which one sees that it was changed in place
            return self._turned(x)
        if self._latest is not None and self._latest[0] is x and self._latest[1] == x._version:
            return self._latest[2]
        turned = self._turned(x)
        self._latest = None if turned.requires_grad else (x, x._version, turned)
        return turned

    def _turned(self, x: Tensor) -> Tensor:
        return x @ self.forth.to(x.dtype)


@dataclass(frozen=True)
class Turn:
    """Coordinates ``z = x A``, and how to come back.

    Examples
    --------
    >>> turn = Turn(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.5], [1.0, 0.0]]))
    >>> linear, x = nn.Linear(2, 1), torch.tensor([[3.0, -1.0]])
    >>> bool(torch.allclose(turn.turned(linear)(turn.module(x)), linear(x)))
    True
    """

    forth: Tensor
    back: Tensor

    @cached_property
    def module(self) -> Turning:
        """One for all the layers that read these coordinates."""
        return Turning(self.forth)

    def turned(self, linear: nn.Linear) -> nn.Linear:
        """The layer that gives for z what the given one gives for x."""
        made = copy(linear)
        weight = linear.weight.detach()
        turned = weight.float() @ self.back.T.to(weight.device)
        made._parameters = linear._parameters | {"weight": nn.Parameter(turned.to(weight.dtype))}
        return made


def turns_of(
    model: nn.Module, inputs: Mapping[str, Tensor], names: Sequence[str]
) -> dict[str, Turn]:
    r"""One turning for all the layers that read the same tensor.

    Its coordinates are uncorrelated and of unit variance, and the columns of the turned weights,
    on top of each other, are orthogonal: with the second moments :math:`C` of the inputs,

    .. math:: A = C^{-1/2} V, \qquad W C^{1/2} = U S V^\top .

    So :math:`z_c S_c` are the principal components of the outputs.

    Parameters
    ----------
    model : nn.Module
    inputs : mapping of names to (samples, inputs) tensors
        The very same tensor for layers that read the same.
    names : of the layers, of class nn.Linear
    """
    readers: dict[int, list[str]] = {}
    for name in names:
        readers.setdefault(id(inputs[name]), []).append(name)
    found: dict[str, Turn] = {}
    for group in readers.values():
        x = inputs[group[0]].float()
        if len(x) < x.shape[1]:
            raise ValueError(
                f"turn: {len(x)} samples are too few for {group[0]}, which has {x.shape[1]} inputs:"
                " give more in example_inputs."
            )
        weights = [linear_layer(model, name).weight for name in group]
        stacked = torch.cat([w.detach().to("cpu", torch.float32) for w in weights])
        found |= dict.fromkeys(group, _principal(x, stacked))
    return found


def _principal(x: Tensor, weight: Tensor) -> Turn:
    moments = x.T @ x / len(x)
    moments.diagonal().add_(_RIDGE * moments.diagonal().mean())
    variances, axes = torch.linalg.eigh(moments)
    root = axes * variances.sqrt() @ axes.T
    inverse = axes / variances.sqrt() @ axes.T
    basis = torch.linalg.eigh(root @ (weight.T @ weight) @ root).eigenvectors.flip(1)
    return Turn(inverse @ basis, basis.T @ root)
