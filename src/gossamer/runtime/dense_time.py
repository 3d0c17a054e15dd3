"""What torch takes for a dense layer: a compact one must be faster."""

from __future__ import annotations

import numpy as np

from gossamer.runtime.cost import learn, seconds
from gossamer.runtime.dense_products import torch_products
from gossamer.runtime.layouts.dense import Dense


def dense_seconds(rows: int, inputs: int, samples: int) -> float:
    """Seconds that torch's linear layer of float32 should take, on as many threads as it has now.

    A prediction by what has been measured on this machine: nothing of that size is computed.

    Examples
    --------
    >>> bool(dense_seconds(64, 64, 8) > 0)
    True
    """
    layout = Dense(rows, inputs, np.empty((rows, inputs), np.float32))
    learn(torch_products(), layout)
    return min(seconds(product, layout, samples) for product in torch_products())
