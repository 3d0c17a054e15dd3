"""What the workers of a cluster are asked to run: they import it by name, as test files are not."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

N, P, BLOCK = 4000, 20, 500


def rows_of_block(block_info: Any = None) -> np.ndarray:
    """Rows that the workers draw themselves, always the same."""
    number = block_info[None]["chunk-location"][0]
    return np.random.default_rng(number).standard_normal((BLOCK, P))


def process_of(item: int, data: np.ndarray) -> int:
    """The process that runs this."""
    time.sleep(0.01)
    return os.getpid()
