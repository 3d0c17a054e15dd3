"""Look-ups in registers: with the instructions of each processor, and as plain numpy."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from gossamer.kernels import bind, machine
from gossamer.kernels.vector_lookups import _plain_add_picked, add_picked
from gossamer.kernels.vectors import store, zeros

BITS, WINDOW = 8, 32


def _pick(values, k, places, x, offset, pitch, shift, y):
    acc = zeros(3, 1, 16)
    for _ in range(2):
        acc = add_picked(acc, values, k, places, BITS, WINDOW, shift, x, offset, pitch)
    store(acc, y, 0, 16)


def check(bits: int, window: int, stored: str = "f4") -> None:
    """Two steps of three samples against the plain twin."""
    rng = np.random.default_rng(bits + window)
    shift = 3
    most = min(1 << bits, window - shift)
    places = rng.integers(0, most, 48)
    packed = (places.reshape(-1, 8 // bits) << np.arange(0, 8, bits)).sum(1).astype(np.uint8)
    values = rng.integers(-90, 90, 48).astype(np.float32)  # the upper halves tell all of them
    kept = values.view(np.uint32) >> 16 if stored == "u2" else values
    x, y = rng.standard_normal(200, dtype=np.float32), np.zeros(48, np.float32)
    bind(_pick, BITS=bits, WINDOW=window)(kept.astype(stored), 16, packed, x, 9, 40, shift, y)
    acc = np.zeros((3, 1, 16), np.float32)
    for _ in range(2):
        acc = _plain_add_picked(acc, kept.astype(stored), 16, packed, bits, window, shift, x, 9, 40)
    numbers = [x[9 + 40 * row + shift + places[16:32]] for row in range(3)]
    np.testing.assert_allclose(acc[:, 0], 2 * values[16:32] * np.array(numbers), rtol=1e-5)
    np.testing.assert_allclose(y.reshape(acc.shape), acc, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stored", ["f4", "u2", "i1"])
@pytest.mark.parametrize(("bits", "window"), [(2, 16), (4, 16), (8, 16), (8, 32)])
def test_each_lane_picks_its_own(bits, window, stored):
    check(bits, window, stored)


@pytest.mark.skipif("x86" not in os.uname().machine, reason="names features of x86")
@pytest.mark.parametrize("features", ["+sse2,+sse4.1", "+sse4.2,+avx,+avx2,+fma"])
def test_other_processors_pick_the_same(features, tmp_path):
    subprocess.run(
        [sys.executable, __file__],
        check=True,
        env=os.environ
        | {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
        | {"NUMBA_CACHE_DIR": str(tmp_path)},
    )


if __name__ == "__main__":
    assert "avx512f" not in machine.processor()[1]
    for case in ((2, 16), (4, 16), (8, 16), (8, 32)):
        check(*case)
