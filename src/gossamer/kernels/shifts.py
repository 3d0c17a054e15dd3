"""Convolutions with a sparse weight: each value multiplies the whole image, shifted.

No matrix of patches is made. Where the padded image lies in memory row by row, a value of the
kernel multiplies the same numbers for all outputs, shifted by a place that belongs to the value. So
outputs are the samples of :func:`gossamer.kernels.strips.strips`, and the panels that it wants are
there already, each a vector's width from the last.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gossamer.kernels.strips import aligned, strips
from gossamer.kernels.vectors import add_outer, copy, load, load_half, store, zeros

# Bound: lanes of a vector, vectors across a panel, rows of a block.
LANES, ACROSS, HEIGHT = 16, 4, 1


class Geometry(NamedTuple):
    """Images, and how parts of them lie in the buffer that the kernel works on.

    A part is ``images`` whole images or ``band`` rows of one, seen from the outputs. The buffer
    holds its inputs with their padding, (channels, phases, images, plane_rows, pitch), and a
    channel takes ``channel_pitch``. A phase is what every ``stride``-th row and column make up, so
    that neighbours among the outputs read neighbours. Where the zeros after a row can serve as
    those before the next, they are there once.
    """

    samples: int
    inputs: int
    height: int
    width: int
    out_height: int
    out_width: int
    stride_down: int
    stride_across: int
    pad_top: int
    pad_left: int
    images: int
    band: int
    plane_rows: int
    pitch: int
    channel_pitch: int


def shifts(
    values, places, starts, phases, x, bias, low, high, y, g, outputs, first, last, top, bottom
):
    """``y[n, r] = clamp(bias[r] + sum_k values[k] image[n] shifted by places[k])``.

    Parameters
    ----------
    values : (n_blocks * HEIGHT,)
    places : (n_blocks,) of integers
        Where in the buffer a block's inputs of the first output are.
    starts : of integers
        Where the blocks of each block row begin.
    phases : (n_phases, 2)
        First row and column of each, in the padded image.
    x : flat (samples, inputs, height, width); y : likewise of ``outputs``
    bias : (outputs,)
    low, high : bounds of the results
    g : Geometry
    first, last : parts to compute
    top, bottom : output channels to compute, ``top`` a multiple of ``strips.GROUP``

    What is computed for the end of each row of the buffer, where the padding is, belongs nowhere
    and is left out.
    """
    buffer = aligned(g.inputs * g.channel_pitch + LANES * ACROSS + 16)
    bands = (g.out_height + g.band - 1) // g.band
    for part in range(first, last):
        n, h = part // bands * g.images, part % bands * g.band
        images, band = min(g.images, g.samples - n), min(g.band, g.out_height - h)
        fill(x, n, h, images, phases, g, buffer)
        count = ((images - 1) * g.plane_rows + band - 1) * g.pitch + g.out_width
        strips(
            values, places, starts, buffer, bias, low, high, y,
            0, outputs, (g, n, h, band), 0, count, top, bottom,
        )  # fmt: skip


def pack(buffer, b, count, inputs, part, room):
    """The part of the buffer that begins with output ``b``."""
    return buffer[b:]


def add_block(acc, values, places, k, shifted):
    """Add the product of block ``k`` with its inputs."""
    return add_outer(acc, values, k * HEIGHT, shifted, np.int64(places[k]))


def fill(x, n, h, images, phases, g, buffer):
    """Copy the inputs of a part into the buffer, zeros around them."""
    clear(buffer, 0, g.inputs * g.channel_pitch)
    down, across = g.stride_down, g.stride_across
    for phase in range(len(phases)):
        above, before = phases[phase, 0] - g.pad_top, phases[phase, 1] - g.pad_left
        # rows and columns of the buffer that hold some of the image
        upper = max(0, (-above + down - 1) // down - h)
        lower = min(g.plane_rows, (g.height - above + down - 1) // down - h)
        left = max(0, (-before + across - 1) // across)
        count = min(g.pitch, (g.width - before + across - 1) // across) - left
        for c in range(g.inputs if count > 0 else 0):
            for image in range(images):
                line = (phase * g.images + image) * g.plane_rows
                to = c * g.channel_pitch + line * g.pitch + left
                k = (((n + image) * g.inputs + c) * g.height + above + h * down) * g.width
                for q in range(upper, lower):
                    at = k + q * down * g.width + before + left * across
                    if across == 1:
                        copy(x, at, buffer, to + q * g.pitch, count)
                        continue
                    i = 0
                    while across == 2 and i + LANES < count:
                        store(load_half(LANES, x, at + 2 * i), buffer, to + q * g.pitch + i, 0)
                        i += LANES
                    while i < count:
                        # unsigned, as numba looks whether an index counts from the end
                        buffer[np.uint64(to + q * g.pitch + i)] = x[np.uint64(at + i * across)]
                        i += 1


def clear(buffer, to, count):
    """Zeros in place of ``count`` numbers, and of those behind up to a whole vector."""
    for i in range(0, count, 16):
        store(zeros(1, 1, 16), buffer, to + i, 0)


def unpack(tile, b, count, group, end, rows, part, y):
    """Copy the results of a panel to where they belong, one piece of an image's row at a time."""
    g, n, h, band = part
    size, across = g.out_height * g.out_width, LANES * ACROSS
    at = b
    while at < b + count:
        line, w = at // g.pitch, at % g.pitch
        image, q = line // g.plane_rows, line % g.plane_rows
        width = min(g.out_width - w, b + count - at)
        if q < band and width > 0:
            to = ((n + image) * rows + group) * size + (h + q) * g.out_width + w
            for r in range(end - group):
                if width == across:
                    store(load(1, ACROSS, LANES, tile, r * across, 0), y, to + r * size, 0)
                else:
                    copy(tile, r * across + at - b, y, to + r * size, width)
        at = (line + 1) * g.pitch


def points(
    values, places, starts, x, bias, low, high, y, inputs, outputs, size, first, last, top, bottom
):
    """The convolution 1 x 1: ``y[n, r] = clamp(bias[r] + sum_k values[k] x[n, column(k)])``.

    As :func:`shifts`, with the images where they are: x is flat (samples, inputs, size), y
    (samples, outputs, size), and places are columns times ``size``, which must be that of a panel
    or more. ``first`` and ``last`` are samples.
    """
    for n in range(first, last):
        strips(
            values, places, starts, x[n * inputs * size :], bias, low, high,
            y[n * outputs * size :], 0, outputs, size, 0, size, top, bottom,
        )  # fmt: skip


def pack_point(x, b, count, inputs, size, room):
    """The panel from ``b`` on; the last one begins early enough to end with the image."""
    return x[b + count - LANES * ACROSS :]


def unpack_point(tile, b, count, group, end, rows, size, y):
    """Copy the results of a panel to where they belong."""
    across = LANES * ACROSS
    to = group * size + b + count - across
    for r in range(end - group):
        store(load(1, ACROSS, LANES, tile, r * across, 0), y, to + r * size, 0)
