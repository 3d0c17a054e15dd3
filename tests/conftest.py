"""What every test relies on."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed: a test that fails once fails again."""
    return np.random.default_rng(20260101)
