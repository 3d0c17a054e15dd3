"""Laws of a scalar shape on structures: what units, weights and signs must not change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import numpy as np

from gossamer.core.penalty import UnitPenalty
from gossamer.structures import Elements, Groups, Rows
from gossamer.testing.court import close, generator, hold
from gossamer.testing.shape_laws import on_elements, search

_P = 6


def _numbers(penalty: UnitPenalty, shape: tuple[int, ...] = (_P,)) -> list[float]:
    """Everything the penalty computes, at a few points."""
    rng = generator()
    found: list[float] = []
    for _ in range(4):
        w, g = 2 * rng.standard_normal((2, *shape))
        w *= rng.random(shape) < 0.7
        if penalty.nonnegative:
            w = np.abs(w)
        found += [penalty.value(w), penalty.strength_max(g)]
        found += np.ravel(penalty.prox(w + g, 0.3)).tolist()
        found += penalty.subdiff_distance(w, g).tolist()
        if penalty.convex:
            found += [penalty.dual_scale(g), penalty.conjugate(penalty.dual_scale(g) * g)]
    return found


def singleton_groups_are_elements(penalty: UnitPenalty) -> None:
    """Groups of one feature each give what Elements give."""
    for nonnegative in (False, True):
        bare = replace(on_elements(penalty), nonnegative=nonnegative)
        grouped = replace(bare, on=Groups([[j] for j in range(_P)]))
        close(_numbers(grouped), _numbers(bare))


def rows_of_one_output_are_elements(penalty: UnitPenalty) -> None:
    """Rows of one output give what Elements give."""
    bare = on_elements(penalty)
    close(_numbers(replace(bare, on=Rows()), (_P, 1)), _numbers(bare))


def unit_weights_are_none(penalty: UnitPenalty) -> None:
    """Weights of one give what no weights give."""
    for structure in (Elements(), Groups([[0, 3], [1, 2, 5], [4]])):
        bare = replace(on_elements(penalty), on=structure)
        count = structure.units((_P,)).count
        close(_numbers(replace(bare, weights=np.ones(count))), _numbers(bare))


def weights_multiply(penalty: UnitPenalty) -> None:
    """A unit's weight multiplies its value, and acts in the prox as a longer step."""
    bare = on_elements(penalty)
    weights = np.array([0.5, 1.0, 2.0, 3.0, 0.1, 7.0])
    weighted = replace(bare, weights=weights)
    v = 3 * generator().standard_normal(_P)
    close(weighted.value(v), sum(c * bare.value(v[[j]]) for j, c in enumerate(weights)))
    expected = [bare.prox(v[[j]], 0.3 * c)[0] for j, c in enumerate(weights)]
    close(weighted.prox(v, 0.3), expected, v=v, weights=weights)


def zero_weight_is_unpenalised(penalty: UnitPenalty) -> None:
    """A unit of weight zero costs nothing, stays in the prox, and is free."""
    weights = np.array([1.0, 0.0, 2.0])
    groups = Groups([[0, 3], [1, 2, 5], [4]])
    penalty = replace(on_elements(penalty), on=groups, weights=weights)
    inside = np.array([1, 2, 5])
    v, g = 3 * generator().standard_normal((2, _P))
    only = np.zeros(_P)
    only[inside] = v[inside]
    close(penalty.value(only), 0.0, 0.0)
    close(penalty.prox(v, 5.0)[inside], v[inside])
    for w in (v, np.zeros(_P)):
        close(penalty.subdiff_distance(w, g)[1], np.linalg.norm(g[inside]))
    hold(penalty.free((_P,))[inside].all(), free=penalty.free((_P,)))
    if np.isfinite(penalty.value(1e3 * v)) and penalty.value(1e3 * v) > 0:
        hold(penalty.free((_P,)).sum() == 3, free=penalty.free((_P,)))
    signed = replace(penalty, nonnegative=True)
    close(signed.prox(v, 5.0)[inside], np.maximum(v[inside], 0))
    hold((signed.free((_P,)) == penalty.free((_P,))).all(), free=signed.free((_P,)))


def group_prox_beats_search(penalty: UnitPenalty) -> None:
    """On a group the prox is the best point: along its argument, by brute force, and off it."""
    rng = generator()
    bare = on_elements(penalty)
    for nonnegative in (False, True):
        grouped = replace(bare, on=Groups([[0, 1, 2]]), nonnegative=nonnegative)
        for step in (0.01, 0.3, 1.0, 5.0, 50.0):
            v = rng.standard_normal((12, 3)) * np.geomspace(0.1, 6 * max(1, step), 12)[:, None]
            reach = np.maximum(v, 0) if nonnegative else v
            sizes = np.linalg.norm(reach, axis=1)
            least = search(bare, sizes, step)
            for row, best in zip(v, least, strict=True):
                p = grouped.prox(row, step)
                cost = p @ (p / 2 - row) / step + grouped.value(p)
                hold(cost <= best + 1e-12 * (1 + row @ row / step), v=row, step=step, prox=p)
                near = p + rng.standard_normal((50, 3)) * rng.choice([1e-3, 0.1, 1.0], (50, 1))
                near = np.maximum(near, 0) if nonnegative else near
                others = [q @ (q / 2 - row) / step + grouped.value(q) for q in near]
                hold(cost <= min(others) + 1e-12 * (1 + row @ row / step), v=row, step=step, prox=p)


def several_outputs_are_flattened(penalty: UnitPenalty) -> None:
    """On elements, coefficients (p, K) give what their flattened array gives."""
    bare = on_elements(penalty)
    v = 3 * generator().standard_normal((3, 2))
    close(bare.prox(v, 0.3), bare.prox(v.ravel(), 0.3).reshape(3, 2), 0.0)
    close(bare.value(v), bare.value(v.ravel()))


def negative_is_forbidden(penalty: UnitPenalty) -> None:
    """With nonnegative=True a negative coefficient has infinite value, a positive one the same."""
    signed = replace(on_elements(penalty), nonnegative=True)
    w = np.array([1.0, 0.0, 2.0])
    close(signed.value(w), on_elements(penalty).value(w))
    hold(signed.value(-w) == np.inf, value=signed.value(-w))
    # a gradient that pushes a zero coefficient down is no violation
    close(signed.subdiff_distance(np.zeros(3), np.full(3, 1e3)), np.zeros(3))


def parameters_are_equality(penalty: UnitPenalty) -> None:
    """Penalties are equal when all parameters, structure, weights and sign are."""
    weights = np.array([1.0, 2.0])
    changed = [
        replace(penalty, on=Groups([0, 0])),
        replace(penalty, weights=weights),
        replace(penalty, nonnegative=not penalty.nonnegative),
    ]
    shared = {"on", "weights", "nonnegative"}
    for name in (f.name for f in fields(penalty) if f.name not in shared):
        # halfway between two admissible values is admissible, for intervals
        changed.append(replace(penalty, **{name: 0.999 * getattr(penalty, name) + 1e-4}))
    for other in changed:
        hold(other != penalty, penalty=penalty, other=other)
        same = replace(other)
        hold(same == other and hash(same) == hash(other), other=other)
    hold(replace(penalty, weights=weights) != replace(penalty, weights=2 * weights), w=weights)
    stranger: object = "a penalty"
    hold(penalty != stranger, penalty=penalty)


def bad_arguments_are_refused(penalty: UnitPenalty) -> None:
    """Strengths and weights that make no sense raise ValueError with the argument's name."""
    for name, value in (
        ("strength", -1.0),
        ("strength", np.nan),
        ("strength", np.inf),
        ("weights", [-1.0, 1.0]),
        ("weights", [np.nan]),
        ("weights", [[1.0]]),
    ):
        _refuses(partial(replace, penalty, **{name: value}), name)
    short = replace(on_elements(penalty), weights=[1.0, 2.0])
    _refuses(partial(short.prox, np.ones(3), 1.0), "weights")


def _refuses(action: Callable[[], object], name: str) -> None:
    try:
        action()
    except ValueError as error:
        hold(name in str(error), message=error)
    else:
        raise AssertionError(f"no ValueError that names {name}")


def no_coefficients(penalty: UnitPenalty) -> None:
    """Empty coefficients are fine."""
    empty = np.zeros(0)
    bare = on_elements(penalty)
    close(bare.value(empty), 0.0, 0.0)
    hold(bare.prox(empty, 1.0).shape == (0,), prox=bare.prox(empty, 1.0))
    hold(bare.subdiff_distance(empty, empty).shape == (0,), w=empty)
    close(bare.strength_max(empty), 0.0, 0.0)


UNIT_LAWS = (
    singleton_groups_are_elements,
    rows_of_one_output_are_elements,
    unit_weights_are_none,
    weights_multiply,
    zero_weight_is_unpenalised,
    group_prox_beats_search,
    several_outputs_are_flattened,
    negative_is_forbidden,
    parameters_are_equality,
    bad_arguments_are_refused,
    no_coefficients,
)
