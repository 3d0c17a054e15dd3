"""SpotConv2d: a convolution that computes some positions of its outputs only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import cache, partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from gossamer.kernels import bind
from gossamer.kernels.machine import registers
from gossamer.kernels.spots import spots
from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime.layout_module import watched
from gossamer.runtime.threads import share

# Lanes, vectors of output channels, positions at a time.
Tile = tuple[int, int, int]

# Weight in tiles, taps, starts, targets, bias: see the kernel.
Plan = tuple[np.ndarray, ...]

_BOUNDS = np.float32(-np.inf), np.float32(np.inf)


class SpotConv2d(MaskedConv2d):
    """A :class:`MaskedConv2d` that saves the time of what is masked, for inference on the CPU.

    Each position that is kept reads the window of its inputs where it lies: nothing is gathered,
    and any set of positions is as fast as another. Images lie with their channels last, as the
    outputs do. Wherever gradients are wanted, and on other devices and types, it computes as a
    masked convolution does.

    Examples
    --------
    >>> conv = torch.nn.Conv2d(2, 3, 3, padding=1)
    >>> MaskedConv2d.take_over(conv, 8, 8)
    >>> _ = conv.positions[:, ::2].fill_(False)
    >>> x = torch.randn(1, 2, 8, 8)
    >>> bool(torch.allclose(SpotConv2d.of(conv)(x), conv(x), atol=1e-6))
    True
    """

    # What the kernel takes, by the size of the images: a slot, so that it is not copied or saved.
    __slots__ = ("_plans",)

    @classmethod
    def of(cls, conv: MaskedConv2d) -> Self:
        """The same convolution, on the same tensors, for inference: its weight is fixed."""
        made = cls.__new__(cls)
        state = conv.__dict__ | {"_parameters": {}, "_buffers": dict(conv._buffers)}
        made.__dict__.update(state)
        for name, parameter in conv._parameters.items():
            kept = None if parameter is None else torch.nn.Parameter(parameter.detach(), False)
            made._parameters[name] = kept
        return made.eval()

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, height, width)."""
        if torch.compiler.is_compiling():
            return super().forward(x)
        if not self._takes(x):
            self._forget()
            return super().forward(x)
        batch, channels, height, width = x.shape
        weight, taps, starts, targets, bias = self._plan(height, width)
        (top, bottom), (left, right) = self._margins()
        padded = torch.zeros(batch, height + top + bottom, width + left + right, channels)
        padded[:, top : top + height, left : left + width] = x.detach().permute(0, 2, 3, 1)
        y = torch.zeros(batch, *self.positions.shape, len(bias))
        tile, threads = tile_of(self.out_channels), torch.get_num_threads()
        lanes, across, step = tile

        def piece(image: Tensor, result: Tensor, first: int, last: int, *outputs: int) -> None:
            ends = image.view(-1).numpy(), starts, bias, *_BOUNDS, result.view(-1).numpy(), targets
            _kernel(tile)(weight, taps, *ends, *outputs, first, last)

        for image, result in zip(padded, y, strict=True):
            if threads == 1:
                piece(image, result, 0, len(starts), 0, len(bias))
            else:
                of_image = partial(piece, image, result)
                share(of_image, 0, len(starts), step, len(bias), lanes * across, threads)
        return y[..., : self.out_channels].permute(0, 3, 1, 2)

    def own_macs(self, output: Tensor) -> int:
        """Multiply-accumulate operations of the call that gave ``output``, at what is kept."""
        return self.weight.numel() * int(self.positions.sum()) * len(output)

    def to_dense(self) -> MaskedConv2d:
        """The module of torch's own operations that gives the same."""
        made = MaskedConv2d.__new__(MaskedConv2d)
        made.__dict__.update(deepcopy(self).__dict__)
        return made

    def _takes(self, x: Tensor) -> bool:
        wants = watched(x) or (torch.is_grad_enabled() and self.weight.requires_grad)
        plain = self.groups == 1 and self.padding_mode == "zeros" and x.ndim == 4
        kinds = {t.dtype for t in (x, self.weight)} == {torch.float32}
        fits = plain and x.shape[1] == self.in_channels and self._output(x) == self.positions.shape
        cpu = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        return fits and kinds and cpu and not (self.training or wants)

    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros above and below, left and right of the image."""
        left, right, top, bottom = self._reversed_padding_repeated_twice
        return (top, bottom), (left, right)

    def _output(self, x: Tensor) -> tuple[int, ...]:
        sizes = zip(x.shape[2:], self._margins(), self.kernel_size, self.dilation, strict=True)
        spans = [size + sum(margin) - d * (k - 1) - 1 for size, margin, k, d in sizes]
        return tuple(span // step + 1 for span, step in zip(spans, self.stride, strict=True))

    def _plan(self, height: int, width: int) -> Plan:
        with suppress(AttributeError, KeyError):
            return self._plans[height, width]
        plan = _plan(self, width + sum(self._margins()[1]))
        self._plans: dict[tuple[int, int], Plan] = {(height, width): plan}
        return plan

    def _forget(self) -> None:
        with suppress(AttributeError):
            del self._plans

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._forget()
        return super()._apply(fn, recurse)

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **options: Any
    ) -> None:
        self._forget()
        super()._load_from_state_dict(state_dict, prefix, *args, **options)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()


def _plan(conv: SpotConv2d, pitch: int) -> Plan:
    """What the kernel takes, for padded images whose rows have ``pitch`` positions."""
    shape = conv.out_channels, conv.in_channels, *conv.kernel_size
    if conv.weight.shape != shape or min(conv.kernel_size + conv.stride + conv.dilation) < 1:
        raise ValueError(
            f"weight {tuple(conv.weight.shape)}, stride {conv.stride} and dilation {conv.dilation} "
            f"do not fit a convolution of weight {shape}: load files as they were saved."
        )
    lanes, across, count = tile_of(conv.out_channels)
    channels, tile = conv.in_channels, lanes * across
    rows = -(-conv.out_channels // tile) * tile
    # taps in the order of memory: rows and columns of the window, then channels
    by_taps = conv.weight.detach().permute(2, 3, 1, 0).reshape(-1, conv.out_channels).numpy()
    weight = np.zeros((len(by_taps), rows), np.float32)
    weight[:, : conv.out_channels] = by_taps
    tiles = weight.reshape(len(by_taps), -1, tile).transpose(1, 0, 2)
    bias = np.zeros(rows, np.float32)
    if conv.bias is not None:
        bias[: conv.out_channels] = conv.bias.detach().numpy()
    down, along = (np.arange(k) * d for k, d in zip(conv.kernel_size, conv.dilation, strict=True))
    window = (down[:, None] * pitch + along).reshape(-1, 1)
    kept = conv.positions.numpy()
    y, x = np.nonzero(kept)
    starts = (y * conv.stride[0] * pitch + x * conv.stride[1]) * channels
    targets = (y * kept.shape[1] + x) * rows
    # the last group of positions is filled up with its last one, which is computed again
    more = -len(y) % count
    filled = (np.r_[array, array[-1:].repeat(more)] for array in (starts, targets))
    taps = (window * channels + np.arange(channels)).reshape(-1)
    indices = (array.astype(np.int64) for array in (taps, *filled))
    return np.ascontiguousarray(tiles).reshape(-1), *indices, bias


@cache
def tile_of(channels: int) -> Tile:
    """As many accumulators as fit the registers, beside a vector of weights each and a number."""
    count, lanes = registers()
    widest = 64 if count * lanes >= 512 else 16
    width = next(w for w in (widest, widest // 2, 16) if channels % w == 0 or w == 16)
    across = width // lanes
    return lanes, across, min(8, (count - across - 1) // across)


@cache
def _kernel(tile: Tile) -> Callable:
    lanes, across, count = tile
    return bind(spots, LANES=lanes, ACROSS=across, COUNT=count)
