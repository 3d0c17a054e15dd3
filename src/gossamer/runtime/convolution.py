"""RuntimeConv2d, RuntimeConv1d: convolutions with a sparse weight in a layout."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gossamer.runtime.convolution_plan import Convolve, Shape, Window, convolution
from gossamer.runtime.layout import Layout
from gossamer.runtime.layout_module import LayoutModule, admitted, watched
from gossamer.runtime.layouts import CSR, BlockRows
from gossamer.runtime.planning import run_plan
from gossamer.runtime.product import BOUNDLESS, Bounds

# A way to convolve, None where pixels are samples of an ordinary product; the outputs' shape.
Plan = tuple[Convolve | None, Shape]

_REMEMBERED = 4  # sizes of images whose plans are kept


class RuntimeConv2d(LayoutModule):
    """A convolution whose weight is a layout: what takes the place of ``nn.Conv2d``.

    Each value of the weight multiplies the whole image, shifted; a matrix of patches is never made.
    Images lie as usual or with their channels last, and the results lie as they do. A kernel of one
    pixel is computed where the images lie. All else copies them once, with their padding, a few
    rows at a time; with channels last, torch moves these to the front and back.

    Parameters
    ----------
    layout : CSR or BlockRows
        Of :func:`unfolded_weight`: a row an output channel, columns (input channels, kernel rows,
        kernel columns), where groups lie on the diagonal.
    bias, bounds, threads : as of :class:`gossamer.runtime.LayoutModule`
    kernel_size, stride, padding, dilation : pairs
        Down and across. The padding is that before and after: ((top, bottom), (left, right)).
    groups : int, default 1
    padding_mode : {"zeros", "reflect", "replicate", "circular"}

    References
    ----------
    Park, Li, Wen, Tang, Li, Chen and Dubey (2017), Faster CNNs with direct sparse convolutions and
    guided pruning.

    Examples
    --------
    >>> conv = nn.Conv2d(3, 16, 3, stride=2, padding=1)
    >>> fast = RuntimeConv2d.of(conv, BlockRows, height=16)
    >>> x = torch.randn(2, 3, 9, 9)
    >>> bool(torch.allclose(fast(x), conv(x), atol=1e-5))
    True
    """

    # How images of a size are computed: a slot, so that it is neither copied nor saved.
    __slots__ = ("_plans",)

    _plans: dict[tuple[tuple[int, ...], bool], Plan]

    def __init__(
        self,
        layout: Layout,
        bias: Tensor | None = None,
        bounds: Bounds = BOUNDLESS,
        threads: int | None = None,
        *,
        kernel_size: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        padding_mode: Any = "zeros",
    ) -> None:
        _check_kind(layout)
        super().__init__(layout, bias, bounds, threads)
        self.kernel_size, self.stride, self.dilation = kernel_size, stride, dilation
        self.padding, self.groups, self.padding_mode = padding, groups, padding_mode
        self.in_channels = layout.inputs // (kernel_size[0] * kernel_size[1])
        self.out_channels = layout.rows

    @classmethod
    def of(
        cls,
        conv: nn.Conv1d | nn.Conv2d,
        kind: type[Layout] = CSR,
        *,
        threads: int | None = None,
        **options: Any,
    ) -> Self:
        """The same convolution with its weight in a layout of a kind, built with ``options``.

        Raises
        ------
        ValueError
            Where the zeros of the weight do not have the layout's pattern.
        TypeError
            For other modules, such as transposed convolutions.
        """
        kinds = nn.Conv1d if issubclass(cls, RuntimeConv1d) else nn.Conv2d
        if not isinstance(conv, kinds):
            raise TypeError(f"conv must be an nn.{kinds.__name__}, got {type(conv).__name__}.")
        layout = kind.build(unfolded_weight(conv), **options)
        # torch has the last axis first
        around = list(conv._reversed_padding_repeated_twice)
        margins = [*zip(around[::2], around[1::2], strict=True), (0, 0)]
        return cls(
            layout,
            conv.bias,
            threads=threads,
            kernel_size=_pair(conv.kernel_size),
            stride=_pair(conv.stride),
            padding=(margins[1], margins[0]),
            dilation=_pair(conv.dilation),
            groups=conv.groups,
            padding_mode=conv.padding_mode,
        )

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, height, width), float32; or one image without the batch.

        Where torch follows the input, for gradients or a trace, the weight is a dense one.

        Raises
        ------
        ValueError
            For other shapes, and images that the kernel does not fit in.
        """
        if torch.compiler.is_compiling():
            return self.untraced(x)
        if watched(x):
            return self.dense(x)
        if x.requires_grad or x.dtype is not torch.float32:
            x = admitted(x)
        if x.ndim == 3:
            return RuntimeConv2d.forward(self, x[None])[0]
        last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        if self.padding_mode != "zeros":
            x = F.pad(x, self._margins(), self.padding_mode)
        _, bias, bounds = self.views()
        convolve, shape = self._plan(tuple(x.shape), last)
        if convolve is None:
            return self._by_samples(x, shape)
        array, y = x.contiguous().numpy(), np.empty(shape, np.float32)
        convolve(array.reshape(-1), bias, bounds, y.reshape(-1), self.allowed_threads())
        made = torch.from_numpy(y)
        return made.contiguous(memory_format=torch.channels_last) if last else made

    def dense(self, x: Tensor) -> Tensor:
        """The same by torch's convolution, which torch differentiates."""
        mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
        sizes = self.stride, 0, self.dilation, self.groups
        padded = F.pad(x, self._margins(), mode)
        return self.clipped(F.conv2d(padded, self.dense_weight(), self.bias, *sizes))

    def dense_weight(self) -> Tensor:
        """The weight (out_channels, in_channels / groups, kernel rows, kernel columns)."""
        return torch.from_numpy(_folded(self.layout.dense(), self.groups, self.kernel_size))

    def to_dense(self) -> nn.Module:
        """Dense modules that give the same, for other devices and formats."""
        with torch.no_grad():
            conv = self._dense_convolution()
            conv.weight.copy_(self.dense_weight().reshape(conv.weight.shape))
            if conv.bias is not None and self.bias is not None:
                conv.bias.copy_(self.bias)
        return self.with_clipping(conv)

    def check_sizes(self, layout: Layout) -> None:
        entries = self.in_channels * self.kernel_size[0] * self.kernel_size[1]
        least = min(self.kernel_size + self.stride + self.dilation)
        if (entries, self.out_channels) != (layout.inputs, layout.rows) or least < 1:
            raise ValueError(
                f"{self.in_channels} x {self.kernel_size} inputs and {self.out_channels} outputs, "
                f"stride {self.stride} and dilation {self.dilation}, do not fit a weight of shape "
                f"({layout.rows}, {layout.inputs}): load the file as it was saved."
            )
        if min(sum(self.padding, ())) < 0:
            raise ValueError(f"padding must not be negative, got {self.padding}.")
        _check_kind(layout)

    def forget_views(self) -> None:
        super().forget_views()
        with suppress(AttributeError):
            del self._plans

    def extra_repr(self) -> str:
        """What the layout and the window are."""
        names = ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
        return ", ".join([super().extra_repr(), *(f"{n}={getattr(self, n)}" for n in names)])

    def _by_samples(self, x: Tensor, outputs: Shape) -> Tensor:
        """With the channels last, every pixel is a sample of an ordinary product."""
        layout, bias, bounds = self.views()
        batch, rows, height, width = outputs
        y = np.empty((batch, height, width, rows), np.float32)
        if y.size:
            flat = x.permute(0, 2, 3, 1).numpy().reshape(-1), bias, bounds, y.reshape(-1)
            run_plan(layout, *flat, batch * height * width, self.allowed_threads())
        return torch.from_numpy(y).permute(0, 3, 1, 2)

    def _plan(self, shape: tuple[int, ...], last: bool) -> Plan:
        """How to convolve images of a shape, and the shape of the outputs."""
        try:
            return self._plans[shape, last]
        except AttributeError:
            self._plans = {}
        except KeyError:
            pass
        made = self._made_plan(shape, last)
        while len(self._plans) >= _REMEMBERED:
            self._plans.pop(next(iter(self._plans)), None)
        self._plans[shape, last] = made
        return made

    def _made_plan(self, shape: tuple[int, ...], last: bool) -> Plan:
        if len(shape) != 4 or shape[1] != self.in_channels:
            raise ValueError(
                f"x must have shape (batch, {self.in_channels}, height, width) or that of one "
                f"image, got {shape}."
            )
        layout, window = self.layout, self._window()
        samples, channels, *size = shape
        height, width = (window.outputs(axis, size[axis]) for axis in (0, 1))
        if not height * width:
            raise ValueError(
                f"an image of {size[0]} x {size[1]} is too small for a kernel of "
                f"{self.kernel_size} with padding {self.padding} and dilation {self.dilation}."
            )
        outputs = samples, self.out_channels, height, width
        if (last and window.pointwise) or not samples:
            return None, outputs
        return convolution(layout, window, (samples, channels, size[0], size[1])), outputs

    def _window(self) -> Window:
        """What each output reads; where other than zeros surround the image, they are in it."""
        inside = Window(self.kernel_size, self.stride, self.dilation)
        if self.padding_mode != "zeros":
            return inside
        before, after = zip(*self.padding, strict=True)
        return Window(self.kernel_size, self.stride, self.dilation, before, after)

    def _margins(self) -> tuple[int, ...]:
        """As ``F.pad`` wants them."""
        (top, bottom), (left, right) = self.padding
        return left, right, top, bottom

    def _dense_convolution(self) -> nn.Conv1d | nn.Conv2d:
        return nn.Conv2d(
            self.in_channels, self.out_channels, self.kernel_size, self.stride,
            self._dense_padding(), self.dilation, self.groups, self.bias is not None,
            self.padding_mode, dtype=torch.float32,
        )  # fmt: skip

    def _dense_padding(self) -> Any:
        """As torch's modules have it: they pad both sides alike, or as ``"same"`` does."""
        if any(before != after for before, after in self.padding):
            return "same"
        return tuple(before for before, _ in self.padding)


class RuntimeConv1d(RuntimeConv2d):
    """A convolution of lines: of images of one row.

    Examples
    --------
    >>> conv = nn.Conv1d(3, 4, 5, padding="same")
    >>> x = torch.randn(2, 3, 9)
    >>> bool(torch.allclose(RuntimeConv1d.of(conv)(x), conv(x), atol=1e-5))
    True
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, channels, length), float32; or one line without the batch."""
        return super().forward(x.unsqueeze(-2)).squeeze(-2)

    def _dense_convolution(self) -> nn.Conv1d:
        padding = self._dense_padding()
        return nn.Conv1d(
            self.in_channels, self.out_channels, self.kernel_size[1], self.stride[1],
            padding if padding == "same" else padding[1], self.dilation[1], self.groups,
            self.bias is not None, self.padding_mode, dtype=torch.float32,
        )  # fmt: skip


def _check_kind(layout: Layout) -> None:
    if not isinstance(layout, CSR | BlockRows):
        raise TypeError(f"layout must be CSR or BlockRows, got {type(layout).__name__}.")
    if layout.scales is not None:
        raise ValueError("a convolution takes no int8 values: build its layout with bfloat16.")


def unfolded_weight(conv: nn.Conv1d | nn.Conv2d) -> np.ndarray:
    """The weight as a matrix (out_channels, in_channels x kernel), zero between groups."""
    weight = conv.weight.detach().to("cpu", torch.float32).numpy()
    groups, rows = conv.groups, len(weight) // conv.groups
    unfolded = np.zeros((groups, rows, groups, weight[0].size), np.float32)
    each = np.arange(groups)
    unfolded[each, :, each] = weight.reshape(groups, rows, -1)
    return unfolded.reshape(len(weight), -1)


def _folded(unfolded: np.ndarray, groups: int, kernel: tuple[int, int]) -> np.ndarray:
    """The opposite of :func:`unfolded_weight`."""
    rows = len(unfolded) // groups
    each = np.arange(groups)
    weight = unfolded.reshape(groups, rows, groups, -1)[each, :, each]
    return weight.reshape(len(unfolded), -1, *kernel)


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Down and across: a line is an image of one row."""
    return (1, *sizes)[-2], sizes[-1]
