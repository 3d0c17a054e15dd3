"""Position masks: convolutions that are trained to do without some positions of their outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.nn.channels import evaluating, positional
from gossamer.nn.rules import shares_of

CRITERIA = ("random", "variance")
_MEMORY = 0.9  # of the running mean of variances


class MaskedConv2d(nn.Conv2d):
    """A convolution whose outputs are zero at some positions, the same ones in all channels.

    In the product of matrices that a convolution is, a position is a column: what is masked needs
    no computation, which :func:`gossamer.compile` makes use of.

    Attributes
    ----------
    positions : buffer (height, width) of bool
        Where outputs are computed. Images of other sizes are refused.
    """

    positions: Tensor

    @classmethod
    def take_over(cls, conv: nn.Conv2d, height: int, width: int) -> None:
        """Make a convolution one of these, in its place, with all positions of its outputs."""
        conv.__class__ = cls
        conv.register_buffer("positions", torch.ones(height, width, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, height, width)."""
        return self.masked(super().forward(x))

    def masked(self, y: Tensor) -> Tensor:
        """The outputs, zero where they are masked."""
        if y.shape[-2:] != self.positions.shape:
            raise ValueError(
                f"the outputs have {tuple(y.shape[-2:])} positions, their mask "
                f"{tuple(self.positions.shape)}: give images of the size that it was made for."
            )
        return y * self.positions

    def extra_repr(self) -> str:
        """What the layer is."""
        kept = f"positions={int(self.positions.sum())} of {self.positions.numel()}"
        return f"{super().extra_repr()}, {kept}"


class PositionMasks:
    r"""Train a network whose convolutions compute some positions of their feature maps only.

    A mask is shared by all channels and all images. While the share of masked positions grows to
    its end, :math:`s_t = s (1 - (1 - t / t_f)^2)`, masks are drawn anew at each step; from step
    :math:`t_f` on they are frozen, and the network adapts to these.

    Parameters
    ----------
    model : nn.Module
        Changed in place: its convolutions become :class:`MaskedConv2d`, with the same parameters.
    example_inputs : tensor, or sequence of the forward method's positional arguments
        Images of the size that will come.
    keep : float or mapping of patterns of layer names to floats, default 0.8
        Share of the positions that each layer computes; a mapping leaves other layers alone.
    total_steps : int
        Of the training.
    freeze : float, default 0.5
        After which share of the steps masks are frozen.
    criterion : {"random", "variance"}, default "random"
        Which positions go: by one random map of the size of the largest feature map, averaged for
        the smaller ones, so that what a layer leaves out its successors do not see either; or those
        whose outputs vary least between images, in a running mean.
    seed : int, default 0

    Attributes
    ----------
    layers : dict of names to MaskedConv2d

    References
    ----------
    Grimaldi, Ganji, Lazarevich and Sah, "Accelerating Deep Neural Networks via Semi-Structured
    Activation Sparsity" (ICCV workshops 2023). The criterion "variance" is not theirs.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
    >>> masks = PositionMasks(model, torch.zeros(1, 1, 10, 10), keep=0.7, total_steps=4)
    >>> for _ in range(4):
    ...     masks.step()
    >>> model[0]
    MaskedConv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), positions=70 of 100)
    """

    def __init__(
        self,
        model: nn.Module,
        example_inputs: Tensor | Sequence[Any],
        keep: float | Mapping[str, float] = 0.8,
        *,
        total_steps: int,
        freeze: float = 0.5,
        criterion: str = "random",
        seed: int = 0,
    ) -> None:
        if criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}, got {criterion!r}.")
        if not 0 < freeze <= 1:
            raise ValueError(f"freeze must be a share of the steps, above 0, got {freeze}.")
        self._keep = _shares(model, keep)
        self._criterion = criterion
        self._frozen_from = max(1, round(freeze * total_steps))
        self._steps = 0
        self._generator = torch.Generator().manual_seed(seed)
        self.layers = _take_over(model, example_inputs, list(self._keep))
        self._variances: dict[str, Tensor] = {}
        self._hooks = ExitStack()
        if criterion == "variance":
            for name, layer in self.layers.items():
                hook = layer.register_forward_pre_hook(self._watch(name))
                self._hooks.callback(hook.remove)

    def step(self) -> None:
        """Call after each step of the optimiser."""
        self._steps += 1
        if self._steps > self._frozen_from:
            return
        done = self._steps / self._frozen_from
        scores = self._scores()
        for name, layer in self.layers.items():
            masked = (1 - self._keep[name]) * (1 - (1 - done) ** 2)
            _mask(layer.positions, scores[name], masked)
        if self._steps == self._frozen_from:
            self._hooks.close()

    def _scores(self) -> dict[str, Tensor]:
        shapes = {name: layer.positions.shape for name, layer in self.layers.items()}
        if self._criterion == "variance":
            return {n: self._variances.get(n, torch.ones(shape)) for n, shape in shapes.items()}
        largest = [max(sides) for sides in zip(*shapes.values(), strict=True)]
        image = torch.rand(1, 1, *largest, generator=self._generator)
        return {n: F.adaptive_avg_pool2d(image, (h, w))[0, 0] for n, (h, w) in shapes.items()}

    def _watch(self, name: str) -> Any:
        def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            assert isinstance(layer, MaskedConv2d)
            if not layer.training or len(inputs[0]) < 2:
                return
            with torch.no_grad():
                found = nn.Conv2d.forward(layer, inputs[0]).var(0).mean(0)
            before = self._variances.get(name, found)
            self._variances[name] = _MEMORY * before + (1 - _MEMORY) * found

        return note


def _mask(positions: Tensor, scores: Tensor, masked: float) -> None:
    """Leave out this share of the positions, those of the smallest scores."""
    order = scores.flatten().argsort()
    count = round(masked * positions.numel())
    positions.fill_(True)
    positions.view(-1)[order[:count].to(positions.device)] = False


def _shares(model: nn.Module, keep: float | Mapping[str, float]) -> dict[str, float]:
    names = [name for name, module in model.named_modules() if type(module) is nn.Conv2d]
    shares = shares_of(names, keep)
    if not shares:
        raise ValueError(f"keep names no layer of class nn.Conv2d: {keep!r}.")
    return shares


def _take_over(
    model: nn.Module, example_inputs: Any, names: Sequence[str]
) -> dict[str, MaskedConv2d]:
    """Masked convolutions in the place of those named, of the sizes that the examples give."""
    sizes: dict[str, tuple[int, int]] = {}
    with evaluating(model), torch.no_grad(), ExitStack() as stack:
        for name in names:

            def note(module: nn.Module, inputs: Any, y: Tensor, name: str = name) -> None:
                sizes[name] = y.shape[-2], y.shape[-1]

            stack.callback(model.get_submodule(name).register_forward_hook(note).remove)
        model(*positional(example_inputs))
    unused = [name for name in names if name not in sizes]
    if unused:
        raise ValueError(f"example_inputs do not reach {unused}: leave these out of keep.")
    layers: dict[str, MaskedConv2d] = {}
    for name, (height, width) in sizes.items():
        layer = model.get_submodule(name)
        assert isinstance(layer, nn.Conv2d)
        MaskedConv2d.take_over(layer, height, width)
        layer.positions = layer.positions.to(layer.weight.device)
        assert isinstance(layer, MaskedConv2d)
        layers[name] = layer
    return layers
