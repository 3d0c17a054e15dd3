"""Products of an unstructured sparse matrix with few samples, row by row."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from gossamer.kernels.strips import column, start


def gathers(values, columns, starts, x, bias, low, high, y, inputs, rows, first, last, top, bottom):
    """``y[b, r] = clamp(bias[r] + sum_k values[k] x[b, column(k)])`` for b in [first, last).

    As :func:`strips` with blocks of 1 x 1, for samples as they lie: x (samples, inputs) and y
    (samples, rows), both flat.
    """
    for b in range(first, last):
        origin = b * inputs
        for r in range(top, bottom):
            total, one, two, three = bias[r], np.float32(0), np.float32(0), np.float32(0)
            k, stop = start(starts, r), start(starts, r + 1)
            # four chains of sums: a unit starts a product before the last is done
            while k + 3 < stop:
                total += values[k] * x[origin + column(columns, k)]
                one += values[k + 1] * x[origin + column(columns, k + 1)]
                two += values[k + 2] * x[origin + column(columns, k + 2)]
                three += values[k + 3] * x[origin + column(columns, k + 3)]
                k += 4
            while k < stop:
                total += values[k] * x[origin + column(columns, k)]
                k += 1
            total = (total + one) + (two + three)
            total = low if total < low else total
            y[b * rows + r] = high if total > high else total
