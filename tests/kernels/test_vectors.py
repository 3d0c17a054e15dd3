"""Vectors: the instructions compute what the plain functions of the same name say."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.formula import rebind
from gossamer.kernels import bind, vectors
from gossamer.kernels.vectors import (
    add_outer,
    add_rows,
    clamp,
    copy,
    load,
    load_half,
    plus,
    spread,
    store,
    transposed,
    zeros,
)

ROWS, ACROSS, LANES = 2, 1, 16


def _zeros(values, x, y):
    store(zeros(ROWS, ACROSS, LANES), y, 0, ACROSS * LANES)


def _spread(values, x, y):
    store(spread(ROWS, ACROSS, LANES, values, 3), y, 0, ACROSS * LANES)


def _load(values, x, y):
    store(load(ROWS, ACROSS, LANES, x, 5, 37), y, 1, ACROSS * LANES + 2)


def _load_stored(values, x, y):
    store(load(ROWS, ACROSS, LANES, values, 5, 2), y, 0, ACROSS * LANES)


def _load_half(values, x, y):
    store(load_half(LANES, x, 5), y, 0, 0)


def _plus(values, x, y):
    one, other = load(ROWS, ACROSS, LANES, x, 0, 40), load(ROWS, ACROSS, LANES, x, 7, 40)
    store(plus(one, other), y, 0, ACROSS * LANES)


def _add_outer(values, x, y):
    acc = load(ROWS, ACROSS, LANES, x, 0, 40)
    for k in range(3):
        acc = add_outer(acc, values, k * ROWS, x, 3 * k)
    store(acc, y, 0, ACROSS * LANES)


def _add_rows(values, x, y):
    acc = load(ROWS, 1, LANES, x, 0, 40)
    for k in range(3):
        acc = add_rows(acc, values, k, x, 3 * k, 11)
    store(acc, y, 0, LANES)


def _clamp(values, x, y):
    low, high = np.float32(-0.5), np.float32(0.25)
    store(clamp(load(ROWS, ACROSS, LANES, x, 0, 40), low, high), y, 0, ACROSS * LANES)


def _transposed(values, x, y):
    store(transposed(load(LANES, 1, LANES, x, 3, LANES + 1)), y, 0, LANES)


def _copy(values, x, y):
    copy(x, 3, y, 5, ROWS * LANES + 1)
    copy(x, 3, y, 1000, 0)


KERNELS = (
    *(_zeros, _spread, _load, _load_stored, _plus, _add_outer, _add_rows, _clamp, _transposed),
    _copy,
    _load_half,
)


@pytest.mark.parametrize(
    "sizes", [(1, 1, 16), (2, 4, 16), (16, 1, 16), (8, 2, 8), (3, 1, 4)], ids=str
)
@pytest.mark.parametrize("stored", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)
def test_instructions_compute_what_the_plain_functions_do(kernel, stored, sizes):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(3000).astype(np.float32)
    x[11] = np.nan
    values = {
        "float32": rng.standard_normal(100).astype(np.float32),
        "bfloat16": rng.standard_normal(100).astype(np.float32).view(np.uint16)[1::2].copy(),
        "int8": rng.integers(-128, 128, 100, dtype=np.int8),
    }[stored]
    constants = dict(zip(("ROWS", "ACROSS", "LANES"), sizes, strict=True))
    names = {name: getattr(vectors, f"_plain_{name}") for name in _primitives()}
    expected, found = np.full((2, 3000), 7, np.float32)
    rebind(kernel, {**constants, **names})(values, x, expected)
    bind(kernel, **constants)(values, x, found)
    # an instruction that multiplies and adds rounds once, numpy twice
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4 if stored == "int8" else 1e-6)
    assert (expected != 7).any()


def test_every_function_has_a_plain_twin():
    assert _primitives() == {
        name for name, value in vars(vectors).items() if type(value).__name__ == "_Intrinsic"
    }
    assert _primitives() == {kernel.__name__[1:] for kernel in KERNELS} - {"load_stored"} | {
        "store"
    }


def _primitives():
    return {name[7:] for name in vars(vectors) if name.startswith("_plain_")}
