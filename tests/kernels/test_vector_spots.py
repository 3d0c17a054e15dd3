"""Rows at places of their own: the instructions compute what the plain functions say."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.kernels import bind, skipping
from gossamer.kernels.spots import spots

LOW, HIGH = np.float32(-1.0), np.float32(2.0)


@pytest.mark.parametrize(
    ("lanes", "across", "count"), ((16, 4, 6), (8, 2, 6), (4, 4, 6), (4, 1, 1))
)
def test_spots_are_sums_over_taps(rng, lanes, across, count):
    width, positions = lanes * across, 2 * count
    taps = np.array([0, 1, 5, 7])
    weight = rng.standard_normal((2, taps.size, width), dtype=np.float32)
    x = rng.standard_normal(60, dtype=np.float32)
    starts, targets = rng.integers(0, 50, positions), rng.permutation(positions) * 2 * width
    bias = rng.standard_normal(2 * width, dtype=np.float32)
    y = np.full(positions * 2 * width, 7.0, np.float32)
    kernel = bind(spots, LANES=lanes, ACROSS=across, COUNT=count)
    stored = weight.reshape(-1), taps, x, starts, bias, LOW, HIGH, y, targets
    kernel(*stored, 0, 2 * width, 0, positions)
    sums = np.einsum("pk,ikw->piw", x[starts[:, None] + taps], weight).reshape(positions, -1)
    found = y.reshape(positions, -1)[targets // (2 * width)]
    np.testing.assert_allclose(found, (sums + bias).clip(LOW, HIGH), rtol=1e-5, atol=1e-5)
    # the second tile and half the positions alone
    part = np.full_like(y, 7.0)
    kernel(*stored[:7], part, targets, width, 2 * width, 0, count)
    changed = (part != 7.0).reshape(positions, -1)
    assert not changed[:, :width].any() and changed.any(1).sum() == count


@pytest.mark.parametrize("rows", (1, 17, 150, 300))
@pytest.mark.parametrize("kept", (0, 1, 7, 8, 21))
def test_skipping_adds_the_columns_that_are_left(rng, rows, kept):
    names = ("collect", "add_columns", "add_column", "bound")
    kernel = bind(skipping.skipping, **{name: getattr(skipping, name) for name in names})
    inputs = 21
    weight = rng.standard_normal((inputs, rows), dtype=np.float32)
    x = np.zeros((2, inputs), np.float32)
    x[:, rng.permutation(inputs)[:kept]] = rng.uniform(0.5, 1.0, (2, kept))
    cuts, bias = np.full(inputs, 0.4, np.float32), rng.standard_normal(rows, dtype=np.float32)
    y = np.full((2, rows), 7.0, np.float32)
    sides = inputs, rows, 0, 2, rows // 3, rows
    kernel(weight.reshape(-1), cuts, x.reshape(-1), bias, LOW, HIGH, y.reshape(-1), *sides)
    expected = (x @ weight + bias).clip(LOW, HIGH)
    np.testing.assert_allclose(y[:, rows // 3 :], expected[:, rows // 3 :], rtol=1e-5, atol=1e-5)
    assert (y[:, : rows // 3] == 7.0).all()
