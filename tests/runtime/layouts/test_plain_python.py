"""The kernels of every layout where numba compiles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import layout_cases

_PLAIN = """
import numpy as np
import numba
from layout_cases import CASES

assert numba.config.DISABLE_JIT
rng = np.random.default_rng(0)
for case in CASES:
    layout = case.build(case.weight(rng, 21, 19, 0.5))
    x = rng.standard_normal((9, layout.inputs), dtype=np.float32)
    bias = rng.standard_normal(layout.rows, dtype=np.float32)
    expected = (x @ layout.dense().T + bias).clip(0, 6)
    for product in layout.products():
        last = 9 - 9 % product.step if product.whole else 9
        y = np.zeros((9, layout.rows), np.float32)
        bounds = np.float32(0), np.float32(6)
        flat = x.ravel(), bias, *bounds, y.reshape(-1)
        product.run(layout, *flat, 0, last, 0, layout.rows)
        off = abs(y[:last] - expected[:last]).max(initial=0)
        assert off <= max(1e-5, 10 * case.tolerance), (str(case), product.name, off)
"""


def test_all_products_run_as_plain_python():
    tests = str(Path(layout_cases.__file__).parent)
    subprocess.run(
        [sys.executable, "-W", "error", "-c", _PLAIN],
        check=True,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": tests},
    )
