"""Kernels compiled for other processors give the same, with sizes that fit their registers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from gossamer.kernels import machine

_PRODUCTS = """
import numpy as np
from gossamer.kernels.machine import registers
from gossamer.runtime import CSR, BlockRows

assert registers() == {registers}, registers()
rng = np.random.default_rng(0)
single = np.where(rng.random((48, 37)) < 0.3, rng.standard_normal((48, 37)), 0)
blocks = np.kron(rng.random((3, 37)) < 0.3, np.ones((16, 1))) * rng.standard_normal((48, 37))
x, bias = rng.standard_normal((21, 37)), rng.standard_normal(48)
low, high = np.float32(-2), np.float32(3)
for layout in (CSR.build(single.astype("f4")), BlockRows.build(blocks.astype("f4"))):
    expected = (x @ layout.dense().astype(float).T + bias).clip(low, high)
    for product in layout.products():
        if "{only}" not in product.name:
            continue
        last = 21 - 21 % product.step if product.whole else 21
        y = np.zeros((21, 48), np.float32)
        given = x.astype("f4").ravel(), bias.astype("f4"), low, high, y.reshape(-1)
        product.run(layout, *given, 0, last, 0, 48)
        np.testing.assert_allclose(y[:last], expected[:last], atol=1e-5)
"""

# Environment, and the vector registers and lanes that there are then.
PROCESSORS = {
    "without-avx512": ({"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}, (16, 8)),
    "generic": ({"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}, (16, 4)),
    "features": (
        {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse4.2,+avx,+avx2,+fma"},
        (16, 8),
    ),
    "not-compiled": ({"NUMBA_DISABLE_JIT": "1"}, None),
}


def _run(processor: str, folder, only: str) -> None:
    environment, registers = PROCESSORS[processor]
    expected = machine.registers() if registers is None else registers
    subprocess.run(
        [sys.executable, "-W", "error", "-c", _PRODUCTS.format(registers=expected, only=only)],
        check=True,
        env=os.environ | environment | {"NUMBA_CACHE_DIR": str(folder)},
    )


x86 = pytest.mark.skipif("x86" not in machine.processor()[1] + os.uname().machine, reason="x86")


@x86
@pytest.mark.parametrize("processor", ("without-avx512", "not-compiled"))
def test_few_products_are_the_same_on_other_processors(processor, tmp_path):
    _run(processor, tmp_path, "slabs")


@x86
@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_products_are_the_same_on_other_processors(processor, tmp_path):
    _run(processor, tmp_path, "")


def test_sums_fit_into_the_registers(monkeypatch):
    for registers, sizes in (
        ((32, 16), (28, 28, 28)),
        ((16, 8), (12, 12, 6)),
        ((16, 4), (12, 6, 3)),
    ):
        monkeypatch.setattr(machine, "registers", lambda registers=registers: registers)
        assert tuple(machine.accumulators(lanes) for lanes in (4, 8, 16)) == sizes


def test_caches_grow_with_their_distance():
    first, second, third = machine.caches()
    assert 1 << 12 <= first <= second <= third


def test_the_digest_of_the_code_is_short_and_steady():
    assert machine.code_digest.__wrapped__() == machine.code_digest()
    assert len(machine.code_digest()) == 16
    assert np.all([len(text) > 0 for text in machine.processor()[:1]])
