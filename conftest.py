"""Tests and examples draw the same numbers whatever ran before them."""

from __future__ import annotations

import sys

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Fixed seeds for what asks for none: numpy's and, where a test's module has it, torch's."""
    np.random.seed(0)  # what random_state=None draws from
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
