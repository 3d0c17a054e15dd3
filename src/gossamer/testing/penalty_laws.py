"""Laws of any penalty, whatever its structure: they call its public methods only."""

from __future__ import annotations

import copy
import pickle

import numpy as np
from scipy.optimize import minimize

from gossamer.core.penalty import Penalty
from gossamer.testing.court import close, generator, hold

N_COEFFICIENTS = 6


def _inside(penalty: Penalty, w: np.ndarray) -> np.ndarray:
    """``w``, or its modulus where the penalty forbids negative coefficients."""
    return w if np.isfinite(penalty.value(w)) else np.abs(w)


def _samples(penalty: Penalty, count: int = 12) -> np.ndarray:
    """Coefficients of several sizes, some of them zero."""
    rng = generator()
    w = rng.standard_normal((count, N_COEFFICIENTS)) * rng.choice([0.1, 1.0, 4.0], (count, 1))
    w[::2] *= rng.random((len(w[::2]), N_COEFFICIENTS)) < 0.6
    return w


def prox_beats_descent(penalty: Penalty) -> None:
    """No point that a search without derivatives finds has a lower prox objective."""
    for v in _samples(penalty, 4):
        for step in (0.3, 2.0):

            def cost(w, v=v, step=step):  # type: ignore[no-untyped-def]
                return float(w @ (w / 2 - v)) / step + penalty.value(w)

            p = penalty.prox(v, step)
            starts = (v, 0.5 * v, p, np.where(np.abs(v) > 1, v, 0.0))
            # rounds of random moves in ever smaller balls, which may also drop coefficients
            best = min((_inside(penalty, start) for start in starts), key=cost)
            best = _wander(cost, best, penalty)
            hold(cost(p) <= cost(best) + 1e-10, v=v, step=step, prox=p, better=best)


def _wander(cost, w: np.ndarray, penalty: Penalty) -> np.ndarray:  # type: ignore[no-untyped-def]
    rng = generator()
    least = cost(w)
    for radius in np.geomspace(2.0, 1e-3, 40):
        moves = radius * rng.standard_normal((8, len(w))) * (rng.random((8, len(w))) < 0.5)
        for move in moves:
            for trial in (w + move, np.where(rng.random(len(w)) < 0.3, 0.0, w)):
                trial = _inside(penalty, trial)
                if cost(trial) < least:
                    w, least = trial, cost(trial)
    found = minimize(cost, w, method="Nelder-Mead", options={"maxfev": 300}).x
    return found if cost(found) < least else w


def prox_of_any_penalty_is_stationary(penalty: Penalty) -> None:
    """At p = prox(v) the distance of (v - p) / step to the subdifferential is zero."""
    for v in _samples(penalty):
        for step in (0.01, 0.3, 1.0, 5.0):
            p = penalty.prox(v, step)
            distance = penalty.subdiff_distance(p, (p - v) / step).max()
            slack = 1e-9 * (1 + np.abs(v).max() / step)
            hold(distance <= slack, v=v, step=step, prox=p, distance=distance)


def value_is_zero_at_zero(penalty: Penalty) -> None:
    """Zero costs nothing, anything else nothing less, and the prox of zero is zero."""
    zero = np.zeros(N_COEFFICIENTS)
    close(penalty.value(zero), 0.0, 0.0)
    close(penalty.prox(zero, 1.0), zero, 0.0)
    for w in _samples(penalty):
        hold(penalty.value(w) >= 0, w=w)


def prox_lowers_the_value(penalty: Penalty) -> None:
    """The prox costs no more than its argument, and a longer step no more than a shorter one."""
    for v in _samples(penalty):
        values = [
            penalty.value(v),
            *(penalty.value(penalty.prox(v, s)) for s in (0.01, 0.3, 5, 50)),
        ]
        hold(
            np.diff(values)[np.isfinite(values[:-1])] <= 1e-12 * (1 + values[1]), v=v, values=values
        )


def fenchel_young(penalty: Penalty) -> None:
    """Convex: value(w) + conjugate(z) >= <w, z>, with equality where z is a subgradient at w."""
    rng = generator()
    samples = _samples(penalty)
    for v in samples:
        for step in (0.3, 1.0, 5.0):
            p = penalty.prox(v, step)
            z = (v - p) / step
            close(penalty.value(p) + penalty.conjugate(z), p @ z, 1e-9, w=p, z=z)
            for w in samples:
                w = _inside(penalty, w * rng.choice([0.1, 1, 10]))
                hold(penalty.value(w) + penalty.conjugate(z) >= w @ z - 1e-9, w=w, z=z)


def dual_scale_is_the_largest(penalty: Penalty) -> None:
    """Convex: dual_scale(z) z is in the conjugate's domain, and anything longer is not."""
    for z in _samples(penalty, 20):
        z = np.where(penalty.free(z.shape), 0.0, z)
        scale = penalty.dual_scale(z)
        hold(0 <= scale <= 1, z=z, scale=scale)
        hold(np.isfinite(penalty.conjugate(scale * z)), z=z, scale=scale)
        if scale < 1:
            hold(np.isinf(penalty.conjugate((scale + 1e-6) * z)), z=z, scale=scale)


def strength_max_is_tight(penalty: Penalty) -> None:
    """Zero is optimal at strength_max, and not at 0.99 of it.

    Optimal by the subdifferential; where that holds whatever the gradient (the slope at zero is
    infinite), by the prox with unit step.
    """
    zero = np.zeros(N_COEFFICIENTS)
    for gradient in (g for g in _samples(penalty) if (g < 0).any()):
        gradient = np.where(penalty.free(zero.shape), 0.0, gradient)
        largest = penalty.strength_max(gradient)
        hold(largest >= 0, gradient=gradient, strength_max=largest)
        if np.isinf(largest):
            strong = penalty.with_strength(1e6)
            hold(strong.subdiff_distance(zero, gradient).max() > 0, gradient=gradient)
            continue
        at, below = (penalty.with_strength(c * largest) for c in (1 + 1e-9, 0.99))
        steep = not penalty.with_strength(1.0).subdiff_distance(zero, 1e30 * gradient).any()
        if steep and not penalty.convex and largest > 0:
            hold(not at.prox(-gradient, 1.0).any(), gradient=gradient, strength_max=largest)
            hold(below.prox(-gradient, 1.0).any(), gradient=gradient, strength_max=largest)
        else:
            # what no strength can hold at zero is unpenalised
            rest = penalty.with_strength(1e9 * (1 + largest)).subdiff_distance(zero, gradient)
            rest = rest + 1e-13 * np.abs(gradient).max()  # the rounding of either
            left = at.subdiff_distance(zero, gradient)
            hold((left <= rest).all(), gradient=gradient, strength_max=largest)
            left = below.subdiff_distance(zero, gradient)
            hold((left > rest).any() or largest == 0, gradient=gradient, strength_max=largest)


def strength_is_replaced(penalty: Penalty) -> None:
    """with_strength changes the strength and nothing else; zero strength penalises nothing."""
    w = np.abs(_samples(penalty)[0])
    back = penalty.with_strength(3.0).with_strength(penalty.strength)
    close(back.value(w), penalty.value(w))
    close(penalty.with_strength(3.0).strength, 3.0)
    none = penalty.with_strength(0.0)
    close(none.value(w), 0.0, 0.0)
    close(none.prox(w, 1.0), w, 1e-12)


def inputs_stay(penalty: Penalty) -> None:
    """Nothing that is handed in is modified, read-only arrays are fine."""
    w, g = _samples(penalty)[:2]
    w, g = np.abs(w), g.copy()
    before = w.copy(), g.copy()
    w.flags.writeable = g.flags.writeable = False
    penalty.value(w)
    penalty.prox(w, 0.3)
    penalty.subdiff_distance(w, g)
    if not penalty.is_budget:
        penalty.strength_max(g)
    if penalty.convex:
        penalty.conjugate(penalty.dual_scale(g) * g)
    hold((w == before[0]).all() and (g == before[1]).all(), w=w)


def single_precision(penalty: Penalty) -> None:
    """float32 and integer coefficients give what float64 gives, up to their rounding."""
    v = _samples(penalty)[1].astype(np.float32)
    close(penalty.prox(v, 0.3), penalty.prox(v.astype(float), 0.3), 1e-5)
    whole = np.array([3, 0, 1, 2, 0, 4])
    close(penalty.value(whole), penalty.value(whole.astype(float)))
    close(penalty.prox(whole, 0.3), penalty.prox(whole.astype(float), 0.3))


def scales(penalty: Penalty) -> None:
    """Coefficients, gradients, steps and strengths of 1e-12 and 1e12 give numbers, no warnings."""
    base = np.array([1.0, -2.0, 0.0, 3.0, -0.5, 1.0])
    strengths = (1e-12, 1.0, 1e12)
    priced = [penalty] if penalty.is_budget else [penalty.with_strength(s) for s in strengths]
    for scaled in priced:
        scaled.free(base.shape)
        for size in (1e-12, 1.0, 1e12):
            v = size * base
            allowed = scaled.prox(v, 1e-12)
            numbers = [scaled.value(allowed)]
            if not scaled.is_budget:
                numbers.append(scaled.strength_max(v))
            if scaled.convex:
                numbers += [scaled.dual_scale(v), scaled.conjugate(v)]
            for step in (1e-12, 1.0, 1e12):
                p = scaled.prox(v, step)
                hold(np.isfinite(p).all(), v=v, step=step, penalty=scaled, prox=p)
                numbers.append(scaled.subdiff_distance(p, v).max())
            hold(not np.isnan(numbers).any(), v=v, penalty=scaled, numbers=numbers)


def copies(penalty: Penalty) -> None:
    """Pickles and copies equal the original, also in what they compute; repr is one line."""
    v = _samples(penalty)[1]
    fresh = pickle.dumps(pickle.loads(pickle.dumps(penalty)))
    penalty.prox(v, 0.3), penalty.value(v)
    # estimators must not change their parameters: scikit-learn compares what is pickled
    hold(pickle.dumps(pickle.loads(pickle.dumps(penalty))) == fresh, penalty=penalty)
    for other in (pickle.loads(pickle.dumps(penalty)), copy.deepcopy(penalty), copy.copy(penalty)):
        close(other.prox(v, 0.3), penalty.prox(v, 0.3), 0.0)
        hold(other == penalty and hash(other) == hash(penalty), other=other)
    changed = (
        penalty.with_k(penalty.k + 1)  # type: ignore[attr-defined]
        if penalty.is_budget
        else penalty.with_strength(penalty.strength + 1)
    )
    hold(changed != penalty, penalty=penalty)
    text = repr(penalty)
    hold(type(penalty).__name__ in text or "+" in text, repr=text)
    hold("\n" not in text, repr=text)


def outputs_have_the_shape(penalty: Penalty) -> None:
    """Coefficients of one column, (p, 1), give what (p,) gives."""
    v, g = _samples(penalty)[1:3]
    close(penalty.prox(v[:, None], 0.3)[:, 0], penalty.prox(v, 0.3), 0.0)
    close(penalty.value(np.abs(v)[:, None]), penalty.value(np.abs(v)), 0.0)
    distance = penalty.subdiff_distance(v[:, None], g[:, None])
    close(distance, penalty.subdiff_distance(v, g), 0.0)


PENALTY_LAWS = (
    prox_beats_descent,
    prox_of_any_penalty_is_stationary,
    value_is_zero_at_zero,
    prox_lowers_the_value,
    inputs_stay,
    single_precision,
    scales,
    copies,
    outputs_have_the_shape,
)
STRENGTH_LAWS = (strength_max_is_tight, strength_is_replaced)
CONVEX_PENALTY_LAWS = (fenchel_young, dual_scale_is_the_largest)
