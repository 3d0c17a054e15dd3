"""Representative instances of every registered piece, so that no piece escapes the laws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.loss import Loss
from gossamer.core.registry import JOINT_PENALTIES, PENALTIES, STRUCTURES, Registry
from gossamer.factorisations import (
    Latent,
    MatrixProduct,
    Ridged,
    factorise_gates,
    factorise_overlaps,
    factorise_power,
)
from gossamer.structures import Channels, Elements, Groups
from gossamer.testing.court import generator

# Parameters at which a piece changes its nature; the others are tested at their defaults.
_VARIANTS: dict[str, list[dict[str, Any]]] = {
    "Cox": [{"ties": "efron"}],
    "ElasticNet": [{"l1_ratio": 0.0}, {"l1_ratio": 1.0}],
    "Huber": [{"delta": 0.3}],
    "L0": [{"ridge": 0.5}],
    "LogSum": [{"epsilon": 2.0}],
    "Lq": [{"q": 0.5}, {"q": 0.95}, {"q": 0.05}],
    "MCP": [{"gamma": 0.5}],
    "NegativeBinomial": [{"dispersion": 0.01}, {"dispersion": 30.0}],
    "Quantile": [{"level": 0.1}, {"level": 0.95}],
    "SCAD": [{"gamma": 2.01}],
    "Tweedie": [{"power": 1.05}, {"power": 1.9}],
}
_STRENGTH = 0.7

# Arguments of penalties that are not made from a strength alone, for six features.
_GROUPS = Groups([[0, 3], [1, 2, 5], [4]])
_NESTED = ([0], [2, 1], [0, 1, 2, 3], [4, 5])
_OVERLAPPING = ([0, 1, 2], [2, 3], [3, 4, 5])
_JOINT: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "AtMost": [((2,), {}), ((1,), {"on": _GROUPS, "ridge": 0.5})],
    "GroupEnvelope": [((_STRENGTH, 2), {}), ((0.3, 1), {"on": _GROUPS, "weights": [1, 0, 2]})],
    "Exclusive": [
        ((_STRENGTH,), {}),
        ((_STRENGTH,), {"on": _GROUPS}),
        ((_STRENGTH,), {"on": _GROUPS, "weights": [1, 0, 2], "nonnegative": True}),
    ],
    "L1Ball": [
        ((1.3,), {}),
        ((1.3,), {"on": _GROUPS}),
        ((0.8,), {"on": _GROUPS, "weights": [1, 0, 2]}),
        ((0.8,), {"weights": [1, 0, 2, 1, 1, 3], "nonnegative": True}),
    ],
    "Tree": [
        ((_STRENGTH, _NESTED), {}),
        ((_STRENGTH, _NESTED[:-1]), {"weights": [1, 0.5, 0]}),
        ((_STRENGTH, ([0, 1, 2, 3, 4, 5], *_NESTED)), {"nonnegative": True}),
    ],
    # sides are open or closed: the laws scale coefficients freely
    "Bounds": [
        (
            ([-np.inf, 0, 0, -np.inf, 0, -np.inf],),
            {"strength": _STRENGTH, "weights": [1, 2, 1, 0.5, 0, 1]},
        ),
    ],
    "Fused": [((_STRENGTH,), {}), ((_STRENGTH,), {"edges": [[0, 1], [1, 2], [0, 3], [4, 5]]})],
    "SLOPE": [((np.linspace(1.0, 0.2, 6),), {}), (([0.9, 0.4, 0.0],), {"on": _GROUPS})],
    "Overlaps": [((_STRENGTH, _OVERLAPPING), {"weights": [1, 0.5, 1.5], "latent": True})],
}

# Six features, units of several sizes that are not contiguous.
_STRUCTURE_ARGUMENTS: dict[str, list[tuple[Any, ...]]] = {
    "Blocks": [((2, 1),), ((3, 1),)],
    "Channels": [(), (1,)],
    "FanIn": [(), (1,)],
    "Heads": [(2,), (3,)],
    "Groups": [(list("abacab"),), ([[5, 0], [1, 2, 4], [3]],)],
    "NofM": [(2, 3, 0), (1, 2, 0)],
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
        if registry is JOINT_PENALTIES:
            made += [kind(*given, **named) for given, named in _JOINT[kind.__name__]]
            continue
        arguments = (_STRENGTH,) if registry is PENALTIES else ()
        variants = [{}, *_VARIANTS.get(kind.__name__, [])]
        made += [kind(*arguments, **variant) for variant in variants]
    return made


def factorisation_instances() -> list[Factorisation]:
    """Smooth forms of every kind, on weights of six entries."""
    overlapping = ([0, 1, 2], [2, 3], [3, 4, 5])
    weights = np.array([1.0, 0.5, 1.5])
    groups = Groups(*_STRUCTURE_ARGUMENTS["Groups"][1])
    structures = (Elements(), groups)
    gated = [
        factorise_power(_STRENGTH, q, on, (6,), nonnegative=nonnegative)
        for q in (1.0, 0.8)
        for on in structures
        for nonnegative in (False, True)
    ]
    single = [
        factorise_power(_STRENGTH, q, Elements(), (6,), form=form)
        for q in (1.0, 2 / 3)
        for form in ("product", "shared", "power", "difference")
    ]
    deep = [
        factorise_power(_STRENGTH, 2 / 3, groups, (6,), nonnegative=nonnegative, form="product")
        for nonnegative in (False, True)
    ]
    base = factorise_power(_STRENGTH, 1.0, groups, (6,), weights=np.array([1.0, 0.0, 2.0]))
    assert base is not None
    return [form for form in gated + single + deep if form is not None] + [
        base,
        Ridged(base, 0.5, np.array([1.0, 0.0, 2.0, 1.0, 1.0, 3.0])),
        # a tree, whose branches are nested, and the outer gates of rows and columns
        factorise_gates(_STRENGTH, (Groups([0, 0, 1, 1, 2, 2]), Groups([0, 0, 0, 0, 1, 1])), (6,)),
        factorise_gates(_STRENGTH, (Channels(0), Channels(1)), (2, 3)),
        factorise_overlaps(_STRENGTH, overlapping, (6,), weights),
        factorise_overlaps(_STRENGTH, ([0], [0, 1], [0, 1, 2, 3]), (2, 3)),
        Latent(_STRENGTH, (6,), overlapping, weights),
        Latent(_STRENGTH, (2, 3), overlapping),
        MatrixProduct(_STRENGTH, (2, 3)),
        MatrixProduct(_STRENGTH, (3, 1, 2), depth=3),
    ]


def penalty_instance(penalty: Any, **parameters: Any) -> Any:
    """The penalty itself, or an instance of a class of penalties."""
    return penalty(_STRENGTH, **parameters) if isinstance(penalty, type) else penalty


def raw_targets(loss: Loss, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Targets of every kind that ``loss`` accepts, as users give them."""
    candidates = (
        rng.standard_normal(n),
        rng.standard_normal((n, 3)),
        rng.poisson(2.0, n).astype(float),
        rng.gamma(2.0, 1.0, n),
        1.0 + rng.poisson(2.0, (n, 2)),
        rng.integers(0, 2, n),
        np.arange(n) % 3,
        survival_times(np.sin(np.arange(n))),
    )
    accepted = 0
    for y in candidates:
        try:
            loss.encode(y)
        except ValueError:
            continue
        accepted += 1
        yield y
    if accepted == 0:
        raise AssertionError(f"{loss!r} accepts no numbers, counts, labels, classes or times.")


def targets(loss: Loss, n: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The same, encoded."""
    for y in raw_targets(loss, n, rng):
        yield loss.encode(y)


def survival_times(risk: np.ndarray) -> np.ndarray:
    """(n, 2) times, in whole numbers so that some are tied, and whether an event ended them."""
    rng = generator()
    times, limits = 8 * rng.exponential(np.exp(-risk)), 8 * rng.exponential(2.0, len(risk))
    return np.column_stack([np.ceil(np.minimum(times, limits)), times <= limits]).astype(float)


def plain_target(loss: Loss, signal: np.ndarray) -> np.ndarray:
    """Where the signal is positive, as zeros and ones; as ones and twos, or as survival times, for
    losses that take no others."""
    labels = (signal > 0).astype(float)
    for y in (labels, labels + 1):
        try:
            loss.encode(y)
        except ValueError:
            continue
        return y
    return survival_times(signal)
