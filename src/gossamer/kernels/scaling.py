"""Products with values that are stored in units of their column: the inputs are scaled first."""

# mypy: disable-error-code="no-untyped-def,call-arg"

from __future__ import annotations

import numpy as np


def product(*arguments):
    """Bound: the kernel that multiplies the scaled inputs."""


def scaled(scales, stored, x, bias, low, high, y, sides, first, last, top, bottom):
    """``product`` of samples [first, last) whose inputs are ``x[b, c] * scales[c]``.

    Parameters
    ----------
    scales : (inputs,)
    stored : tuple of arrays
        Those that ``product`` takes before its inputs.
    sides : tuple of whole numbers
        Inputs, rows, and what else ``product`` takes after its results.
    x, y, bias, low, high, top, bottom
        As of the product.
    """
    inputs, rows, count = sides[0], sides[1], last - first
    part = np.empty(count * inputs, np.float32)
    for b in range(count):
        given, made = x[(first + b) * inputs :], part[b * inputs :]
        for c in range(inputs):
            made[c] = given[c] * scales[c]
    own = part, bias, low, high, y[first * rows : last * rows]
    product(*(stored + own + sides + (0, count, top, bottom)))
