"""Norms: samples divided by their root mean square."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np


def root_mean_square(x, weight, eps, y):
    """``y = weight * x / sqrt(mean(x^2) + eps)`` for each sample of flat x and y."""
    size = weight.size
    for first in range(0, x.size, size):
        given, made = x[first : first + size], y[first : first + size]
        total = np.float32(0.0)
        for c in range(size):
            total += given[c] * given[c]
        scale = np.float32(1.0) / np.sqrt(total / np.float32(size) + eps)
        for c in range(size):
            made[c] = given[c] * scale * weight[c]
