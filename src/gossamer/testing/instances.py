"""Representative instances of every registered piece, so that no piece escapes the laws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.registry import PENALTIES, STRUCTURES, Registry

# Parameters at which a piece changes its nature; the others are tested at their defaults.
_VARIANTS: dict[str, list[dict[str, Any]]] = {
    "ElasticNet": [{"l1_ratio": 0.0}, {"l1_ratio": 1.0}],
    "Huber": [{"delta": 0.3}],
    "LogSum": [{"epsilon": 2.0}],
    "Lq": [{"q": 0.5}, {"q": 0.95}, {"q": 0.05}],
    "MCP": [{"gamma": 0.5}],
    "SCAD": [{"gamma": 2.01}],
}
_STRENGTH = 0.7

# Six features, units of several sizes that are not contiguous.
_STRUCTURE_ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "Blocks": [((2, 1),), ((3, 1),)],
    "Channels": [(), (1,)],
    "Heads": [(2,), (3,)],
    "Groups": [(list("abacab"),), ([[5, 0], [1, 2, 4], [3]],)],
}


def instances(registry: Registry) -> list[Any]:
    """Every piece of the registry of penalties, losses, structures or solvers, made with its
    defaults and with the parameters at which it changes its nature. Structures have six features.
    """
    made = []
    for kind in registry:
        if registry is STRUCTURES:
            made += [
                kind(*arguments) for arguments in _STRUCTURE_ARGUMENTS.get(kind.__name__, [()])
            ]
            continue
        arguments = (_STRENGTH,) if registry is PENALTIES else ()
        variants = [{}, *_VARIANTS.get(kind.__name__, [])]
        made += [kind(*arguments, **variant) for variant in variants]
    return made


def penalty_instance(penalty: Any, **parameters: Any) -> Any:
    """The penalty itself, or an instance of a class of penalties."""
    return penalty(_STRENGTH, **parameters) if isinstance(penalty, type) else penalty


def targets(loss: Loss, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Encoded targets (n, K) of every kind that ``loss`` accepts."""
    candidates = (
        rng.standard_normal(n),
        rng.standard_normal((n, 3)),
        rng.poisson(2.0, n).astype(float),
        rng.integers(0, 2, n),
        np.arange(n) % 3,
    )
    accepted = 0
    for y in candidates:
        try:
            encoded = loss.encode(y)
        except ValueError:
            continue
        accepted += 1
        yield encoded
    if accepted == 0:
        raise AssertionError(f"{loss!r} accepts no numbers, counts, labels or classes.")
