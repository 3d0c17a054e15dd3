"""How a convolution with a sparse weight is computed for images of one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from typing import Any

import numpy as np

from gossamer.kernels import bind, shifts, strips
from gossamer.kernels.machine import caches, registers
from gossamer.runtime.cost import seconds_to_share
from gossamer.runtime.layout import Layout
from gossamer.runtime.product import Bounds, offsets
from gossamer.runtime.threads import share

Shape = tuple[int, int, int, int]  # samples, channels, height, width
# Of flat x to flat y: x, bias, bounds, y, threads.
Convolve = Callable[[np.ndarray, np.ndarray, Bounds, np.ndarray, int], None]

ACROSS = (1, 2, 4, 8)  # vectors across a panel, as far as there are registers
PANEL = 2  # what a panel takes beside its vectors, in vectors
SECONDS = 3e-11  # that a product of a value and an input takes, about
FEWEST_POINTS = 32  # in smaller images, panels are filled from several


@dataclass(frozen=True)
class Window:
    """What each output of a convolution reads. Pairs are (down, across).

    Parameters
    ----------
    kernel, stride, dilation : pairs
    before, after : pairs
        Rows and columns of zeros around the image.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)

    def taps(self, axis: int) -> np.ndarray:
        """Where along an axis the kernel's entries lie."""
        return self.dilation[axis] * np.arange(self.kernel[axis])

    def outputs(self, axis: int, inputs: int) -> int:
        """How many outputs there are along an axis; none where the kernel does not fit."""
        most = inputs + self.before[axis] + self.after[axis] - 1 - int(self.taps(axis)[-1])
        return max(0, most // self.stride[axis] + 1)

    @property
    def pointwise(self) -> bool:
        """Whether outputs are where inputs are, and read nothing else."""
        return self == Window((1, 1), dilation=self.dilation)


def convolution(layout: Layout, window: Window, shape: Shape, room: int | None = None) -> Convolve:
    """The fastest way to convolve images of ``shape`` (samples, channels, height, width).

    The layout's columns are (channels, kernel rows, kernel columns), and it consists of blocks.
    ``room`` is that of :func:`lay_out`.
    """
    samples, channels, height, width = shape
    values, columns, starts = _by_columns(layout)
    if window.pointwise and height * width >= FEWEST_POINTS:
        size = height * width
        kernel = _points(layout.block[0], _across(layout.block[0], size, most=size))
        places = columns * np.uint32(size)
        sizes = channels, layout.rows, size
        seconds = SECONDS * values.size * samples * size
        return _shared(kernel, (values, places, starts), sizes, samples, layout.rows, seconds)
    geometry, phases, origins = lay_out(window, shape, room)
    positions = geometry.images * geometry.plane_rows * geometry.pitch
    kernel = _shifts(layout.block[0], _across(layout.block[0], positions))
    places = origins.astype(np.uint32)[columns]
    parts = -(-samples // geometry.images) * -(-geometry.out_height // geometry.band)
    arguments = values, places, starts, phases
    seconds = SECONDS * values.size * samples * geometry.out_height * geometry.out_width
    return _shared(kernel, arguments, (geometry, layout.rows), parts, layout.rows, seconds)


def lay_out(
    window: Window, shape: Shape, room: int | None = None
) -> tuple[shifts.Geometry, np.ndarray, np.ndarray]:
    """The geometry, its phases, and where in the buffer each column of the weight begins.

    Parts of the images take at most ``room`` numbers where that is possible at all: by default
    what leaves most of the second cache to the weight and the results.
    """
    samples, channels, height, width = shape
    room = caches()[1] * 3 // 8 // 4 if room is None else room
    spread = [_spread(window, axis) for axis in (0, 1)]
    rows, columns = (window.outputs(axis, shape[2 + axis]) for axis in (0, 1))
    pitch = columns + spread[1].more - spread[1].shared
    whole = rows + spread[0].more - spread[0].shared
    count = len(spread[0].phases) * len(spread[1].phases)
    room //= channels * count * pitch  # in rows
    if whole <= room:
        images, band, plane = min(samples, room // whole), rows, whole
    else:
        bands = -(-rows // max(1, room - spread[0].more))
        images, band = 1, -(-rows // bands)
        plane = band + spread[0].more
    size = images * plane * pitch
    # rows and columns of the last image find their zeros behind it
    channel = count * size + spread[0].shared * pitch + spread[1].shared
    channel = (-(-channel // 16) | 1) * 16  # whole lines of the cache, which do not meet in it
    top, left = window.before
    sizes = samples, channels, height, width, rows, columns, *window.stride, top, left
    phases = np.array([(a, b) for a in spread[0].phases for b in spread[1].phases], np.intp)
    down, across = spread
    taps = (down.phase[:, None] * len(across.phases) + across.phase) * size
    taps = taps + down.shift[:, None] * pitch + across.shift
    origins = np.arange(channels)[:, None, None] * channel + taps
    geometry = shifts.Geometry(*sizes, images, band, plane, pitch, channel)
    return geometry, phases, origins.reshape(-1)


@dataclass(frozen=True)
class _Spread:
    """The taps along one axis: their phases, shifts within these, and the room that they need.

    ``more`` is by how much inputs in a phase outnumber outputs, ``shared`` how many of these are
    zeros that lie before the next row or image anyway.
    """

    phases: tuple[int, ...]
    phase: np.ndarray
    shift: np.ndarray
    more: int
    shared: int


def _spread(window: Window, axis: int) -> _Spread:
    taps, stride = window.taps(axis), window.stride[axis]
    phases, phase = np.unique(taps % stride, return_inverse=True)
    more = int(taps[-1]) // stride
    shared = min(window.before[axis], window.after[axis], more) if stride == 1 else 0
    return _Spread(tuple(phases.tolist()), phase, taps // stride, more, shared)


def _by_columns(layout: Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values, columns and starts of the blocks' single columns."""
    width = layout.block[1]
    values, columns, starts = (layout.arrays()[name] for name in ("values", "columns", "starts"))
    single = columns.astype(np.uint32)[:, None] * np.uint32(width) + np.arange(
        width, dtype=np.uint32
    )
    return values, single.reshape(-1), offsets(starts * np.int64(width))


def _across(height: int, positions: int, most: float = inf) -> int:
    """Vectors across a panel for so many outputs; ``most`` that a panel may have."""
    count, lanes = registers()
    fitting = [
        across
        for across in ACROSS
        if height * across <= max(count * 3 // 4, height) and lanes * across <= most
    ]
    return min(fitting, key=lambda across: -(-positions // (lanes * across)) * (across + PANEL))


def _shared(
    kernel: Callable,
    arguments: tuple[Any, ...],
    sizes: tuple[Any, ...],
    parts: int,
    rows: int,
    seconds: float,
) -> Convolve:
    """The kernel for all parts, shared by threads where that should save time."""

    def convolve(
        x: np.ndarray, bias: np.ndarray, bounds: Bounds, y: np.ndarray, threads: int
    ) -> None:
        given = *arguments, x, bias, *bounds.limits, y, *sizes
        if threads == 1 or seconds * (1 - 1 / threads) < seconds_to_share("pool", threads):
            kernel(*given, 0, parts, 0, rows)
        else:
            share(lambda *part: kernel(*given, *part), 0, parts, 1, rows, strips.GROUP, threads)

    return convolve


@cache
def _points(height: int, across: int) -> Callable:
    formulas = {"pack": shifts.pack_point, "unpack": shifts.unpack_point}
    return _bound(shifts.points, height, across, formulas)


@cache
def _shifts(height: int, across: int) -> Callable:
    formulas = {name: getattr(shifts, name) for name in ("pack", "unpack", "fill")}
    return _bound(shifts.shifts, height, across, formulas)


def _bound(kernel: Callable, height: int, across: int, formulas: Mapping[str, Any]) -> Callable:
    sizes = {"LANES": registers()[1], "ACROSS": across, "HEIGHT": height}
    shared = {name: getattr(strips, name) for name in ("strips", "start", "aligned")}
    return bind(kernel, add_block=shifts.add_block, **sizes, **shared, **formulas)
