"""The example on bad designs with random supports: beside random columns the lasso works.

The figures: ``python -m pytest -s -m slow tests/solvers/test_random_supports.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = str(Path(__file__).resolve().parents[2] / "examples")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::gossamer.core.ConvergenceWarning")
def test_beside_random_columns_half_the_samples_are_enough(monkeypatch):
    monkeypatch.setattr(sys, "path", [EXAMPLES, *sys.path])
    from random_supports import NOISE, errors

    found = {name: np.median(e, axis=1) for name, e in errors((60, 120), seeds=5).items()}
    print({name: np.round(error, 4).tolist() for name, error in found.items()})
    assert found["preconditioned lasso"][0] < 10 * NOISE**2
    assert found["lasso"][0] > 10 * found["preconditioned lasso"][0]
    assert found["matching pursuit"][1] > 100 * found["preconditioned lasso"][1]
