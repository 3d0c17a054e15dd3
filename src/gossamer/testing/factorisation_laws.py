"""Laws of a smooth form: its factors make the weight, induce the penalty, and can be trained.

The last ones are laws of a penalty: of all the smooth forms that it has.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from gossamer.core.factorisation import Factorisation, Factors
from gossamer.core.penalty import Penalty
from gossamer.factorisations.build import FORMS
from gossamer.testing.court import close, generator, hold

# derivatives are taken by differences: forms of more numbers, or of high powers, are spared
_MOST_NUMBERS, _GREATEST_DEPTH = 24, 8
_STEPS = 150  # of descent
_SPREADS = (None, 0.3, 3.0)


def _inside(form: Factorisation, w: np.ndarray) -> np.ndarray:
    """``w``, or its modulus where the form makes no negative weights."""
    return w if np.isfinite(form.value(w)) else np.abs(w)


def _samples(form: Factorisation, count: int = 6) -> list[np.ndarray]:
    """Weights of several sizes, some entries zero; the last ones all zero, and but for one."""
    rng = generator()
    w = rng.standard_normal((count, *form.shape)) * rng.choice([0.1, 1.0, 4.0], count).reshape(
        count, *(1 for _ in form.shape)
    )
    w[::2] *= rng.random((len(w[::2]), *form.shape)) < 0.6
    lone = np.zeros(form.shape)
    lone.flat[:1] = -2.0
    return [_inside(form, sample) for sample in (*w, np.zeros(form.shape), lone)]


def _sizes(form: Factorisation) -> list[int]:
    return [int(np.prod(shape)) for shape in form.shapes]


def _is_small(form: Factorisation) -> bool:
    return sum(_sizes(form)) <= _MOST_NUMBERS and _depth(form) <= _GREATEST_DEPTH


def _depth(form: Factorisation) -> float:
    """The degree of the weight in its factors, from how it grows with them."""
    rng = generator()
    factors = tuple(1 + rng.random(shape) for shape in form.shapes)
    doubled = form.expand(tuple(2 * f for f in factors))
    ratio = float(np.linalg.norm(doubled) / np.linalg.norm(form.expand(factors)))
    return float(np.log2(ratio))


def pack(factors: Factors) -> np.ndarray:
    return np.concatenate([np.ravel(factor) for factor in factors])


def unpack(form: Factorisation, x: np.ndarray) -> Factors:
    parts = np.split(x, np.cumsum(_sizes(form))[:-1])
    return tuple(part.reshape(shape) for part, shape in zip(parts, form.shapes, strict=True))


def derivative(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """Central differences: (numbers of the output, numbers of ``x``)."""
    step = 1e-6
    moves = step * np.eye(len(x))
    return np.stack([(function(x + m) - function(x - m)) / (2 * step) for m in moves], axis=-1)


def _jacobian(form: Factorisation, factors: Factors) -> np.ndarray:
    """(entries of the weight, numbers of the factors)"""
    return derivative(lambda x: np.ravel(form.expand(unpack(form, x))), pack(factors))


def nearest_factors(
    form: Factorisation, v: np.ndarray, start: Factors, step: float = 1.0
) -> tuple[Factors, OptimizeResult]:
    """A local minimiser of ``|expand(factors) - v|^2 / (2 step) + penalty(factors)``."""
    cost = _nearness(form, v, step)
    found = minimize(
        cost, pack(start), jac=lambda x: derivative(cost, x), method="L-BFGS-B",
        options={"maxiter": 2000, "ftol": 1e-15, "gtol": 1e-9},
    )  # fmt: skip
    return unpack(form, found.x), found


def _nearness(
    form: Factorisation, v: np.ndarray, step: float = 1.0
) -> Callable[[np.ndarray], np.ndarray]:
    def cost(x: np.ndarray) -> np.ndarray:
        factors = unpack(form, x)
        return np.square(form.expand(factors) - v).sum() / (2 * step) + form.penalty(factors)

    return cost


# -- the weight and its penalty --------------------------------------------------------------------
def factors_make_the_weight(form: Factorisation) -> None:
    """Balanced factors have the declared shapes and make the weight, zeros and all, at any size."""
    for w in _samples(form):
        for size in (1e-6, 1.0, 1e6):
            factors = form.balanced(size * w)
            hold(tuple(f.shape for f in factors) == tuple(form.shapes), shapes=form.shapes)
            made = form.expand(factors)
            hold(made.shape == tuple(form.shape), shape=made.shape)
            close(made / size, w, 1e-9, size=size)
            close(form.collapse(factors, 1e-9 * size) / size, w, 1e-8)


def balanced_factors_attain_the_value(form: Factorisation) -> None:
    """The smooth penalty of balanced factors is the penalty that the form induces."""
    for w in _samples(form):
        for size in (1e-6, 1.0, 1e6):
            value = form.value(size * w)
            hold(value >= 0, w=w, value=value)
            found = float(form.penalty(form.balanced(size * w)))
            hold(abs(found - value) <= 1e-9 * value, w=size * w, found=found, value=value)
    close(form.value(np.zeros(form.shape)), 0.0, 0.0)


def no_factors_are_cheaper(form: Factorisation) -> None:
    """Whatever the factors, their smooth penalty is at least the value of the weight they make."""
    rng = generator()
    for size in np.geomspace(1e-3, 1e3, 13):
        factors = tuple(size * rng.standard_normal(shape) for shape in form.shapes)
        cost, value = float(form.penalty(factors)), form.value(form.expand(factors))
        hold(cost >= value * (1 - 1e-9), cost=cost, value=value, factors=factors)
        close(form.excess(factors), cost - value, 1e-9)


def search_ends_at_the_value(form: Factorisation) -> None:
    """A constrained search over all factors of a weight ends at its value, and not below."""
    if not _is_small(form) or form.strength == 0:
        return
    rng = generator()
    unit = form.with_strength(1.0)
    for sample in _samples(form, 2)[:2]:
        # all units alive: what is zero lies at a saddle of the constraint
        w = np.where(sample == 0, 0.5, sample)
        value = unit.value(w)
        ends = []
        for spread in (0.3, 1.0):
            start = pack(unit.start(w, spread))
            start = start * np.exp(0.3 * rng.standard_normal(len(start)))
            found = minimize(
                lambda x: float(unit.penalty(unpack(unit, x))), start, method="SLSQP",
                constraints={"type": "eq", "fun": lambda x, w=w: _missing(unit, x, w)},
                options={"maxiter": 300, "ftol": 1e-12},
            )  # fmt: skip
            if np.abs(_missing(unit, found.x, w)).max(initial=0.0) < 1e-6:
                ends.append(float(found.fun))
        hold(bool(ends) and min(ends) >= value * (1 - 1e-5), w=w, value=value, ends=ends)
        hold(min(ends) <= value * (1 + 1e-4), w=w, value=value, ends=ends)


def _missing(form: Factorisation, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.ravel(form.expand(unpack(form, x)) - w)


def strength_is_a_factor(form: Factorisation) -> None:
    """with_strength multiplies penalty and value, leaves the factors; no strength costs nothing."""
    w = _samples(form)[1]
    unit = form.with_strength(1.0)
    factors = unit.start(w)
    for strength in (0.0, 1e-9, form.strength, 1e12):
        other = form.with_strength(strength)
        close(other.strength, strength, 0.0)
        close(other.value(w), strength * unit.value(w), 1e-12)
        close(other.penalty(factors), strength * unit.penalty(factors), 1e-12)
        close(pack(other.start(w)), pack(factors), 0.0)
        close(pack(other.balanced(w)), pack(unit.balanced(w)), 0.0)


# -- training --------------------------------------------------------------------------------------
def start_makes_the_weight(form: Factorisation) -> None:
    """A start makes the weight, but for a thousandth of its size, in the factors' shapes."""
    for w in _samples(form):
        for spread in _SPREADS:
            factors = form.start(w, spread)
            hold(tuple(f.shape for f in factors) == tuple(form.shapes), shapes=form.shapes)
            # a power of the factors' size is what a form that is flat at zero adds there
            size = max(spread or 1.0, *(float(np.abs(f).max(initial=0.0)) for f in factors))
            depth = _depth(form)
            slack = 2e-3 * max(size**depth, size ** (depth - 1), np.abs(w).max(initial=0.0))
            hold(np.abs(form.expand(factors) - w) <= slack, w=w, spread=spread)


def start_is_alive(form: Factorisation) -> None:
    """From a start every entry, zero or not, feels its gradient."""
    if not _is_small(form):
        return
    for w in _samples(form)[2:]:
        for spread in (None, 1.0):
            felt = np.linalg.norm(_jacobian(form, form.start(w, spread)), axis=1)
            hold(felt > 1e-3 * np.minimum(1.0, np.abs(w).max(initial=1.0)), w=w, felt=felt)


def zero_is_a_saddle(form: Factorisation) -> None:
    """At balanced factors of zero nothing is felt: the reason why a start is out of balance."""
    if not _is_small(form):
        return
    felt = np.linalg.norm(_jacobian(form, form.balanced(np.zeros(form.shape))), axis=1)
    alone = np.eye(len(felt)).reshape(-1, *form.shape)
    free = np.array([form.strength > 0 and form.value(w) == 0 for w in alone])
    hold(free | (felt <= 1e-5), felt=felt)


def descent_balances(form: Factorisation) -> None:
    """By small steps of descent on any loss the excess over the induced penalty decays to zero."""
    if not _is_small(form) or form.strength == 0:
        return
    unit = form.with_strength(1.0)
    v = np.tanh(_samples(form)[1])
    cost, start = _nearness(unit, v), unit.start(v)
    # products lose their imbalance at the rate 4 / depth
    length = 2.5 * _depth(form) / _STEPS
    x = pack(start)
    for _ in range(_STEPS):
        x = x - length * derivative(cost, x)
    before = unit.excess(start)
    after = unit.excess(unpack(unit, x))
    hold(after <= 0.02 * before + 1e-9, v=v, before=before, after=after)


def minima_are_minima(form: Factorisation) -> None:
    """Where descent on the factors ends, they are balanced, and no weight nearby is better."""
    if not _is_small(form):
        return
    rng = generator()
    for v in _samples(form)[:2]:
        factors, found = nearest_factors(form, v, form.start(v))
        w = _inside(form, np.asarray(form.expand(factors)))
        hold(form.excess(factors) <= 1e-6 * (1 + found.fun), v=v, excess=form.excess(factors))
        for radius in (1e-4, 1e-2):
            for _ in range(6):
                near = _inside(form, w + radius * rng.standard_normal(form.shape))
                cost = float(np.square(near - v).sum() / 2 + form.value(near))
                hold(cost >= found.fun - 1e-7 * (1 + found.fun), v=v, w=w, better=near)


# -- manners ---------------------------------------------------------------------------------------
def inputs_stay(form: Factorisation) -> None:
    """Nothing that is handed in is modified; read-only and strided arrays are fine."""
    w = _samples(form)[1]
    strided = np.repeat(w[None], 2, axis=0)[1]
    transposed = np.asfortranarray(w)
    w.flags.writeable = False
    before = w.copy()
    for given in (w, strided, transposed):
        factors = form.start(given)
        for factor in factors:
            factor.flags.writeable = False
        close(form.expand(factors), form.expand(form.start(before)), 0.0)
        close(form.penalty(form.balanced(given)), form.penalty(form.balanced(before)), 0.0)
        close(form.value(given), form.value(before), 0.0)
        form.penalty(factors)
        form.collapse(factors, 0.1)
    hold((w == before).all(), w=w)


def single_precision(form: Factorisation) -> None:
    """float32 weights are taken, and float32 factors give what float64 factors give."""
    w = _samples(form)[1]
    form = form.with_strength(1.0)
    factors = form.start(w.astype(np.float32))
    half = tuple(factor.astype(np.float32) for factor in factors)
    size = float(np.abs(form.expand(factors)).max(initial=0.0))
    hold(np.abs(form.expand(half) - form.expand(factors)) <= 1e-4 * size, w=w)
    close(form.penalty(half) / form.penalty(factors), 1.0, 1e-5)


def copies(form: Factorisation) -> None:
    """Pickles and copies compute what the original does."""
    w = _samples(form)[1]
    for other in (pickle.loads(pickle.dumps(form)), copy.deepcopy(form), copy.copy(form)):
        close(pack(other.start(w)), pack(form.start(w)), 0.0)
        close(other.value(w), form.value(w), 0.0)


def wrong_shapes_are_refused(form: Factorisation) -> None:
    """A weight or factors of other shapes, or another number of factors: ValueError says which."""
    factors = form.start(np.zeros(form.shape))
    wrong_weight = np.zeros((*form.shape, 2))
    longer = (np.zeros((*form.shapes[0], 2)), *factors[1:])
    for action, word in (
        (lambda: form.value(wrong_weight), "w has shape"),
        (lambda: form.balanced(wrong_weight), "w has shape"),
        (lambda: form.start(wrong_weight), "w has shape"),
        (lambda: form.expand((*factors, factors[0])), "factors have shapes"),
        (lambda: form.expand(longer), "factors have shapes"),
        (lambda: form.penalty(longer), "factors have shapes"),
    ):
        try:
            action()
        except ValueError as error:
            hold(word in str(error), message=error)
        else:
            raise AssertionError(f"no ValueError that says {word!r}")


FACTORISATION_LAWS = (
    factors_make_the_weight,
    balanced_factors_attain_the_value,
    no_factors_are_cheaper,
    search_ends_at_the_value,
    strength_is_a_factor,
    start_makes_the_weight,
    start_is_alive,
    zero_is_a_saddle,
    descent_balances,
    minima_are_minima,
    inputs_stay,
    single_precision,
    copies,
    wrong_shapes_are_refused,
)


# -- the smooth forms of a penalty -----------------------------------------------------------------
def smooth_forms(penalty: Penalty, shape: tuple[int, ...] = (6,)) -> list[Factorisation]:
    """All different smooth forms of ``penalty`` on weights of ``shape``."""
    found: dict[str, Factorisation] = {}
    for name in FORMS:
        try:
            form = penalty.factorise(shape, form=name)
        except ValueError:
            if name == "auto":
                raise
            continue
        if form is not None:
            found.setdefault(repr(form), form)
    return list(found.values())


def smooth_forms_keep_their_laws(penalty: Penalty) -> None:
    """Every smooth form keeps the laws of smooth forms."""
    for form in smooth_forms(penalty):
        for law in FACTORISATION_LAWS:
            try:
                law(form)
            except AssertionError as error:
                raise AssertionError(f"{form!r} breaks the law {law.__name__}: {error}") from error


def smooth_forms_induce_the_penalty(penalty: Penalty) -> None:
    """The least smooth penalty of all factors of a weight is the penalty, whatever its strength."""
    for form in smooth_forms(penalty):
        for w in [*_samples(form), -np.ones(form.shape)]:
            close(form.value(w), penalty.value(w), 1e-11, w=w)
        w = _samples(form)[1]
        twice = form.with_strength(2 * form.strength)
        close(twice.value(w), 2 * penalty.value(w), 1e-11, w=w)


def smooth_forms_reach_the_prox(penalty: Penalty) -> None:
    """Descent on the factors of ``|w - v|^2 / (2 step) + penalty`` ends at the prox.

    Where the penalty is not convex, from a start near enough, and nowhere at less.
    """
    step = 0.5
    for form in filter(_is_small, smooth_forms(penalty)):
        for v in _samples(form)[1:3]:
            prox = penalty.prox(v, step)
            least = float(np.square(prox - v).sum() / (2 * step) + penalty.value(prox))
            starts = (v, prox) if not penalty.convex else (v,)
            ends = [nearest_factors(form, v, form.start(start), step) for start in starts]
            costs = np.array([end.fun for _, end in ends])
            hold(costs >= least - 1e-9 * (1 + least), v=v, least=least, costs=costs)
            hold(costs.min() <= least + 1e-6 * (1 + least), v=v, least=least, costs=costs)
            for factors, _ in ends:
                w = form.collapse(factors, 1e-5)
                distance = penalty.subdiff_distance(w, (w - v) / step)
                hold(distance <= 1e-4 * (1 + np.abs(v).max()), v=v, w=w, distance=distance)


SMOOTH_FORM_LAWS = (
    smooth_forms_keep_their_laws,
    smooth_forms_induce_the_penalty,
    smooth_forms_reach_the_prox,
)
