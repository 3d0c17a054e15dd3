"""Sparse training of models: layers that train faster sparse than dense, in the places of these."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.channels import positional
from gossamer.nn.hooks import has_hooks
from gossamer.runtime.racing import race
from gossamer.runtime.swapping import swapped
from gossamer.runtime.training_linear import SparseLinear

BLOCKS = ((16, 1), (8, 1), (4, 4))
_SECONDS = 0.3  # to decide on a layer
_LEAST_ZEROS = 0.5  # no layer with fewer was seen to gain


def sparse_training(model: nn.Module, example_inputs: Tensor | Sequence[Any]) -> nn.Module:
    """A copy of a pruned model that trains its non-zero weights only, where that is faster.

    Every :class:`torch.nn.Linear` of which at least half the weights are zero is timed against
    :class:`SparseLinear`, forward and backward, on inputs of the shape that it has in the example
    batch: with the layout of blocks, too, if its zeros have that pattern. The fastest stays.

    Parameters
    ----------
    model : nn.Module
        Left as it is. Layers with hooks, with parametrised or with tied weights stay dense, and
        those whose weight the model reads without calling them.
    example_inputs : tensor, or sequence of the forward method's positional arguments
        A batch as it comes in training.

    Returns
    -------
    nn.Module
        Make the optimiser for its parameters: these are others, and fewer. What is zero now stays
        zero. :func:`gossamer.runtime.to_dense` is the way back, for saving or other devices.

    Raises
    ------
    TypeError
        Where a layer that has zeros is not float32 on the CPU.

    References
    ----------
    Nikdan, Pegolotti, Iofinova, Kurtic and Alistarh (2023), SparseProp: efficient sparse
    backpropagation for faster training of neural networks.

    Examples
    --------
    >>> import gossamer as gs
    >>> model = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    >>> _ = gs.nn.prune(model[0], keep=0.02)
    >>> sparse_training(model, torch.zeros(64, 1024))
    Sequential(
      (0): SparseLinear(in_features=1024, out_features=1024, bias=True, stored=20971, layout=csr)
      (1): ReLU()
      (2): Linear(in_features=1024, out_features=10, bias=True)
    )
    """
    shapes = _shapes(model, positional(example_inputs))

    def make(name: str, module: nn.Module) -> nn.Module | None:
        if name not in shapes:
            return None
        assert isinstance(module, nn.Linear)
        return _fastest(module, shapes[name])

    return swapped(model, make)


def _candidates(model: nn.Module) -> dict[str, nn.Linear]:
    """Layers whose weight is theirs alone, and mostly zero."""
    owners: dict[int, int] = {}
    for _, parameter in model.named_parameters(remove_duplicate=False):
        owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {
        name: module
        for name, module in model.named_modules()
        # not subclasses: torch's attention has one whose weight it uses without calling it
        if type(module) is nn.Linear
        and owners.get(id(module.weight)) == 1
        and not (has_hooks(module) or module._backward_hooks)
        and int((module.weight == 0).sum()) >= max(_LEAST_ZEROS * module.weight.numel(), 1)
    }


class _Called(nn.Module):
    """A layer that notes the shape of its input, and whose weight nobody else can read."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear
        self.shape: torch.Size | None = None

    def forward(self, input: Tensor) -> Tensor:
        self.shape = input.shape
        y: Tensor = self.linear(input)
        return y


def _shapes(model: nn.Module, inputs: tuple[Any, ...]) -> dict[str, torch.Size]:
    """The inputs' shapes of those candidates that are called, and not read in another way."""

    def seen(names: Collection[str]) -> dict[str, torch.Size]:
        # a copy: in training mode batch norms take note of what they see
        watched = swapped(model, lambda name, part: _Called(part) if name in names else None)
        with torch.no_grad():
            watched(*inputs)
        return {
            name: part.shape
            for name, part in watched.named_modules()
            if isinstance(part, _Called) and part.shape is not None
        }

    def alone(name: str) -> dict[str, torch.Size]:
        try:
            return seen([name])
        except AttributeError:
            return {}

    names = _candidates(model)
    try:
        return seen(names)
    except AttributeError:
        seen([])  # where the model itself is at fault, it says so
        return {name: shape for each in names for name, shape in alone(each).items()}


def _fastest(linear: nn.Linear, shape: torch.Size) -> nn.Module:
    """Of the layers that compute the same, by the least time of many runs in turn."""
    layers: list[nn.Module] = [linear, SparseLinear.from_linear(linear)]
    for block in BLOCKS:
        if linear.out_features % block[0] == 0 and linear.in_features % block[1] == 0:
            made = SparseLinear.from_linear(linear, layout="blocks", block=block)
            if made.values.numel() == layers[1].values.numel():  # type: ignore[operator]
                layers.append(made)
    x = torch.randn(shape, dtype=torch.float32)
    g = torch.randn(*shape[:-1], linear.out_features, dtype=torch.float32)
    times = race([partial(_run, layer, x, g) for layer in layers], _SECONDS / len(layers))
    # on a draw the dense layer stays, as it comes first
    return layers[times.index(min(times))]


@torch.enable_grad()
def _run(layer: nn.Module, x: Tensor, g: Tensor) -> None:
    """A forward and a backward pass."""
    parameters = [p for p in layer.parameters() if p.requires_grad]
    x = x.detach().requires_grad_()
    torch.autograd.grad(layer(x), [x, *parameters], g)
