"""Examples in docstrings draw the same weights whatever ran before them."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A fixed seed of torch, where the example's module has loaded it."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)
