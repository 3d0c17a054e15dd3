"""How much of the loss a prediction explains."""

from __future__ import annotations

import numpy as np

from gossamer.core.certificate import optimal_intercept
from gossamer.core.loss import Loss


def explained_share(
    loss: Loss, z: np.ndarray, target: np.ndarray, weights: np.ndarray, offset: np.ndarray | None
) -> float:
    """1 - loss / loss of the best constant (beside the offset); zero where that is perfect.

    Parameters
    ----------
    z, target : (n, K) linear prediction, offset included, and encoded target
    weights : (n,) that sum to one
    offset : (n, K), or None
    """
    loss = loss.bind(target, weights)
    nothing = np.zeros((len(target), loss.n_outputs(target)))
    if offset is not None:
        nothing = nothing + offset
    null = optimal_intercept(loss, nothing, target, weights, np.zeros(nothing.shape[1]))
    total = weights @ loss.value(nothing + null, target)
    left = weights @ loss.value(z, target)
    return float(1 - left / total) if total > 0 else 0.0
