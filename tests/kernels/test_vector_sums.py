"""Sums of vectors: the instructions compute what the plain functions of the same name say."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.formula import rebind
from gossamer.kernels import bind, vector_sums, vectors
from gossamer.kernels.vector_sums import add_scaled, dots, totals
from gossamer.kernels.vectors import load, store

ROWS, ACROSS, LANES = 2, 1, 16


def _dots(values, columns, x, y):
    factors = load(1, ACROSS, LANES, x, 3, 0)
    store(dots(ROWS, factors, x, columns, 5, 7), y, 0, LANES)


def _totals(values, columns, x, y):
    store(totals(load(ROWS, 1, LANES, x, 2, LANES + 3)), y, 1, 0)


def _add_scaled(values, columns, x, y):
    acc = load(1, ACROSS, LANES, x, 9, 0)
    store(add_scaled(acc, values, 4, load(ROWS, ACROSS, LANES, x, 1, 70)), y, 0, 0)


KERNELS = _dots, _totals, _add_scaled


@pytest.mark.parametrize(
    "sizes", [(1, 1, 16), (2, 4, 16), (16, 1, 16), (8, 2, 4), (1, 1, 4)], ids=str
)
@pytest.mark.parametrize("index", [np.uint16, np.int32])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_instructions_compute_what_the_plain_functions_do(kernel, index, sizes):
    rng = np.random.default_rng(0)
    values, x = (rng.standard_normal(size, dtype=np.float32) for size in (40, 2000))
    columns = rng.integers(200, size=40).astype(index)
    constants = dict(zip(("ROWS", "ACROSS", "LANES"), sizes, strict=True))
    plain = {
        name.removeprefix("_plain_"): function
        for module in (vectors, vector_sums)
        for name, function in vars(module).items()
        if name.startswith("_plain_")
    }
    expected, found = np.full((2, 2000), 7, np.float32)
    rebind(kernel, {**constants, **plain})(values, columns, x, expected)
    bind(kernel, **constants)(values, columns, x, found)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert (expected != 7).any()
