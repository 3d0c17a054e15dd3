"""Laws of a penalty's scalar shape: prox, subdifferential and conjugate against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gossamer.core.penalty import UnitPenalty
from gossamer.kernels import bind
from gossamer.structures import Elements
from gossamer.testing.court import close, hold

_STEPS = (0.01, 0.3, 1.0, 5.0, 50.0)
_FRACTIONS = np.linspace(-0.1, 1.1, 1201)


def on_elements(penalty: UnitPenalty) -> UnitPenalty:
    """The bare shape, one coefficient a unit."""
    return replace(penalty, on=Elements(), weights=None, nonnegative=False)


def points(penalty: UnitPenalty, step: float) -> np.ndarray:
    """Points of all sizes, and those just around the one where the prox starts to keep them."""
    spread = np.linspace(-6.0, 6.0, 121) * max(1.0, step * max(penalty.strength, 1e-3))
    low, high = 0.0, 1.0
    while penalty.prox(np.array([high]), step)[0] == 0 and high < 1e6:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        kept = penalty.prox(np.array([middle]), step)[0] != 0
        low, high = (low, middle) if kept else (middle, high)
    around = high * np.array([1 - 1e-3, 1 - 1e-9, 1, 1 + 1e-9, 1 + 1e-3])
    small = np.array([0.0, 1e-9, 1e-3, 0.01, 0.1])
    return np.concatenate([spread, small, around, -around])


def _cost(penalty: UnitPenalty, t: np.ndarray, v: np.ndarray, step: float) -> np.ndarray:
    # without the constant v^2 / (2 step), in which small differences would drown
    return t * (t / 2 - v) / step + penalty.shape_value(np.abs(t), penalty.par)


def search(penalty: UnitPenalty, v: np.ndarray, step: float, low: float = -np.inf) -> np.ndarray:
    """The least cost of the prox problem, from a grid around [0, v] refined three times."""
    t = np.maximum(v[:, None] * _FRACTIONS, low)
    t = np.concatenate([t, np.zeros((len(v), 1))], axis=1)
    width = np.abs(v) * (_FRACTIONS[1] - _FRACTIONS[0])
    for _ in range(4):
        cost = _cost(penalty, t, v[:, None], step)
        best = t[np.arange(len(v)), cost.argmin(axis=1)]
        t = np.maximum(best[:, None] + width[:, None] * np.linspace(-1, 1, 101), low)
        t = np.concatenate([t, best[:, None]], axis=1)
        width = width / 50
    return _cost(penalty, t, v[:, None], step).min(axis=1)


def prox_beats_a_grid(penalty: UnitPenalty) -> None:
    """No point of a dense grid has a lower prox objective than the prox."""
    penalty = on_elements(penalty)
    for step in _STEPS:
        v = points(penalty, step)
        p = penalty.prox(v, step)
        reached, least = _cost(penalty, p, v, step), search(penalty, v, step)
        slack = 1e-13 * (1 + v * v / step)
        hold(reached <= least + slack, v=v, step=step, prox=p, cost=reached, grid=least)


def nonnegative_prox_beats_a_grid(penalty: UnitPenalty) -> None:
    """With nonnegative=True no point t >= 0 has a lower prox objective than the prox."""
    penalty = on_elements(penalty)
    for step in _STEPS:
        v = points(penalty, step)
        p = replace(penalty, nonnegative=True).prox(v, step)
        hold(p >= 0, v=v, step=step, prox=p)
        reached, least = _cost(penalty, p, v, step), search(penalty, v, step, low=0.0)
        slack = 1e-13 * (1 + v * v / step)
        hold(reached <= least + slack, v=v, step=step, prox=p, cost=reached, grid=least)


def shape_is_symmetric(penalty: UnitPenalty) -> None:
    """The value is even, the prox odd, and zero costs nothing."""
    penalty = on_elements(penalty)
    v = points(penalty, 1.0)
    g = np.linspace(-3, 3, len(v))
    close(penalty.value(np.zeros(3)), 0.0, 0.0)
    close(penalty.value(-v), penalty.value(v), 0.0)
    for step in _STEPS:
        close(penalty.prox(-v, step), -penalty.prox(v, step), 0.0, v=v, step=step)
    close(penalty.subdiff_distance(-v, -g), penalty.subdiff_distance(v, g), 0.0, w=v, grad=g)


def value_grows_with_size(penalty: UnitPenalty) -> None:
    """The shape is nonnegative and does not fall as a coefficient grows."""
    t = np.concatenate([[0.0], np.geomspace(1e-9, 1e6, 400)])
    value = penalty.shape_value(t, penalty.par)
    hold(np.diff(value) >= -1e-12 * (1 + value[1:]), t=t[1:], value=value[1:])


def prox_shrinks(penalty: UnitPenalty) -> None:
    """The prox lies between zero and its argument, and keeps their order."""
    penalty = on_elements(penalty)
    for step in _STEPS:
        v = np.sort(points(penalty, step))
        p = penalty.prox(v, step)
        rounding = 1e-12 * (1 + np.abs(v))
        hold((p * v >= 0) & (np.abs(p) <= np.abs(v) + rounding), v=v, step=step, prox=p)
        hold(np.diff(p) >= -rounding[1:], v=v[1:], step=step, prox=p[1:])


def prox_is_stationary(penalty: UnitPenalty) -> None:
    """At p = prox(v) the distance of (v - p) / step to the subdifferential is zero."""
    penalty = on_elements(penalty)
    for step in _STEPS:
        v = points(penalty, step)
        p = penalty.prox(v, step)
        distance = penalty.subdiff_distance(p, (p - v) / step)
        # a rounding of p is magnified by the curvature of the prox problem, 1 / step and shape''
        bend = _slope(penalty, p * (1 + 1e-6)) - _slope(penalty, p)
        slack = 1e-12 * (1 + np.abs(v) / step) + 1e-9 * np.abs(bend) + 1e-7 * (np.abs(p) < 1e-6)
        hold(distance <= slack, v=v, step=step, prox=p, distance=distance)


def _slope(penalty: UnitPenalty, t: np.ndarray) -> np.ndarray:
    return penalty.shape_dist(np.maximum(np.abs(t), 1e-12), np.zeros_like(t), penalty.par)


def distance_is_of_the_derivative(penalty: UnitPenalty) -> None:
    """Off zero, the distance is that of minus the gradient to the derivative of the value."""
    penalty = on_elements(penalty)
    t = np.concatenate([np.linspace(0.0137, 6.01, 200), -np.linspace(0.0137, 6.01, 200)])
    g = np.linspace(-3, 3, len(t))
    h = 1e-6 * np.abs(t)
    value = lambda x: penalty.shape_value(np.abs(x), penalty.par)  # noqa: E731
    derivative = (value(t + h) - value(t - h)) / (2 * h)
    # central differences lose half the digits, and more at a corner of the derivative
    found = penalty.subdiff_distance(t, g)
    close(found, np.abs(g + derivative), 1e-5, w=t, grad=g)


def numba_equals_numpy(penalty: UnitPenalty) -> None:
    """The compiled formulas give what numpy gives."""
    penalty = on_elements(penalty)
    evaluate = bind(
        _evaluate, prox=penalty.shape_prox, value=penalty.shape_value, dist=penalty.shape_dist
    )
    v = np.concatenate([[0.0, 1e-3], np.linspace(-6.013, 6.0, 97)])
    g = np.linspace(-3.0, 3.0, len(v))
    for step in (0.3, 5.0):
        found = np.empty((3, len(v)))
        evaluate(v, g, step, penalty.par, found)
        close(found[0], penalty.shape_prox(v, step, penalty.par), v=v, step=step)
    close(found[1], penalty.shape_value(v, penalty.par), v=v)
    close(found[2], penalty.shape_dist(v, g, penalty.par), t=v, g=g)


def _evaluate(v, g, step, par, out):  # type: ignore[no-untyped-def]
    for i in range(v.size):
        out[0, i] = prox(v[i], step, par)  # type: ignore[name-defined]  # noqa: F821
        out[1, i] = value(v[i], par)  # type: ignore[name-defined]  # noqa: F821
        out[2, i] = dist(v[i], g[i], par)  # type: ignore[name-defined]  # noqa: F821


# -- convex shapes ---------------------------------------------------------------------------------
def prox_is_nonexpansive(penalty: UnitPenalty) -> None:
    """Convex: the prox does not move two points apart."""
    penalty = on_elements(penalty)
    for step in _STEPS:
        v = np.sort(points(penalty, step))
        p = penalty.prox(v, step)
        moved = np.diff(p) - np.diff(v)
        hold(moved <= 1e-12 * (1 + np.abs(v[1:])), v=v[1:], step=step, prox=p[1:])


def conjugate_is_a_supremum(penalty: UnitPenalty) -> None:
    """Convex: the conjugate is sup_t <s, t> - shape(t), infinite where that grows for ever."""
    t = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 20_001)])
    value = penalty.shape_value(t, penalty.par)
    s = penalty.strength * np.array([0.0, 0.1, 0.5, 0.999, 1.0, 1.001, 1.7, 5.0])
    found = np.asarray(penalty.shape_conjugate(s, penalty.par), dtype=float)
    gains = s[:, None] * t - value
    least = gains.max(axis=1)
    unbounded = gains.argmax(axis=1) == len(t) - 1
    hold(np.isinf(found) == unbounded, s=s, conjugate=found, supremum=least)
    finite = ~unbounded
    # the grid's relative spacing is 1e-3: its supremum falls short by its square
    close(found[finite], least[finite], 1e-5, s=s[finite])


def moreau(penalty: UnitPenalty) -> None:
    """Convex: (v - prox(v)) / step is the prox of the conjugate at v / step."""
    penalty = on_elements(penalty)
    for step in (0.3, 1.0, 5.0):
        v = np.linspace(-4.0, 4.0, 41)
        y = (v - penalty.prox(v, step)) / step
        grid = np.linspace(-1.0, 1.0, 2001) * np.abs(v / step)[:, None]
        reached = _dual_cost(penalty, y, v, step)
        least = _dual_cost(penalty, grid, v[:, None], step).min(axis=1)
        hold(reached <= least + 1e-9, v=v, step=step, dual=y, cost=reached, grid=least)


def _dual_cost(penalty: UnitPenalty, y: np.ndarray, v: np.ndarray, step: float) -> np.ndarray:
    conjugate = penalty.shape_conjugate(np.abs(y), penalty.par)
    return conjugate + step / 2 * (y - v / step) ** 2


SHAPE_LAWS = (
    prox_beats_a_grid,
    nonnegative_prox_beats_a_grid,
    shape_is_symmetric,
    value_grows_with_size,
    prox_shrinks,
    prox_is_stationary,
    distance_is_of_the_derivative,
    numba_equals_numpy,
)
CONVEX_SHAPE_LAWS = (prox_is_nonexpansive, conjugate_is_a_supremum, moreau)
