"""The form of a penalty that splits by unit, with its prox and subdifferential."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gossamer.core.units import Units

# stands for "just above zero" and "at infinity" where a formula is evaluated in the limit
TINY, HUGE = 1e-290, 1e100


@dataclass(frozen=True, eq=False)
class UnitForm:
    """What block solvers need: Omega(w) = sum_u weight_u shape(|w_u|) + sum_c inner_c |w_c|.

    The prox is the soft threshold by ``inner``, then the prox of the shape on each unit's size;
    this order is exact because the inner part is positively homogeneous (Yu 2013).
    """

    units: Units
    weights: np.ndarray  # (n_units,)
    inner: np.ndarray | None  # (size,) thresholds, None for no inner L1
    nonnegative: bool
    value: Callable  # value(t, par) of the shape
    prox: Callable  # prox(v, step, par)
    dist: Callable  # dist(t, g, par)
    par: tuple[float, ...]
    elementwise: bool

    @cached_property
    def has_unit_weights(self) -> bool:
        return bool((self.weights == 1).all())

    @cached_property
    def has_free(self) -> bool:
        """Whether some unit has no penalty of its own."""
        return bool((self.weights == 0).any())

    def per_weight(self, sizes: np.ndarray) -> np.ndarray:
        """(n_units,) sizes divided by the weights.

        Infinite where nothing holds a unit at zero: without a weight, unless its size is zero.
        """
        if self.has_unit_weights:
            return sizes
        unpenalised = np.where(sizes > 0, np.inf, 0.0)
        return np.divide(sizes, self.weights, out=unpenalised, where=self.weights > 0)


def prox_of_form(form: UnitForm, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
    """Prox of a unit-wise penalty at ``v``; ``step`` is one number or one a unit."""
    step = np.asarray(step, dtype=float)
    flat = np.ravel(v)
    if form.inner is not None:
        threshold = form.units.spread(np.broadcast_to(step, form.weights.shape)) * form.inner
        flat = np.sign(flat) * np.maximum(np.abs(flat) - threshold, 0.0)
    if form.nonnegative:
        flat = np.maximum(flat, 0.0)
    if form.elementwise:
        kept = form.prox(flat, step * form.weights, form.par)
        # adding zero turns -0.0 into 0.0
        return np.where(form.weights == 0, flat, kept).reshape(v.shape) + 0.0
    sizes = form.units.norms(flat)
    kept = np.where(form.weights == 0, sizes, form.prox(sizes, step * form.weights, form.par))
    factors = np.divide(kept, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    return (flat * form.units.spread(factors)).reshape(v.shape)


def pulls_of_form(form: UnitForm, grad: np.ndarray) -> np.ndarray:
    """(n_units,) how hard minus the gradient pulls each unit away from zero, per unit weight."""
    pull = np.ravel(grad)
    if form.nonnegative:
        pull = np.minimum(pull, 0.0)
    if form.inner is not None:
        pull = np.maximum(np.abs(pull) - form.inner, 0.0)
    return form.per_weight(form.units.norms(pull))


def distance_of_form(
    form: UnitForm, w: np.ndarray, grad: np.ndarray, pulls: np.ndarray | None = None
) -> np.ndarray:
    """(n_units,) distance from ``-grad`` to the subdifferential at ``w``.

    ``pulls`` are what :func:`pulls_of_form` says of ``grad``, if known.
    """
    pulls = pulls_of_form(form, grad) if pulls is None else pulls
    if form.has_free:
        pulls = np.where(form.weights > 0, pulls, 0.0)
    distances = form.dist(np.zeros_like(pulls), pulls, form.par)
    if not form.has_unit_weights:
        distances = form.weights * distances
    # moving units, and unpenalised ones, are few: theirs coordinate by coordinate
    units = np.flatnonzero((form.units.norms(w) > 0) | (form.weights == 0))
    if units.size:
        distances[units] = _distances_of(form, units, np.ravel(w), np.ravel(grad))
    return distances


def gradient_of_form(form: UnitForm, w: np.ndarray) -> np.ndarray:
    """Gradient of the penalty in the coordinates that are not zero, of the shape of ``w``."""
    flat = np.ravel(w)
    sizes = form.units.norms(flat)
    slopes = form.weights * form.dist(np.maximum(sizes, TINY), 0.0, form.par)
    ratios = np.divide(slopes, sizes, out=np.zeros_like(slopes), where=sizes > 0)
    gradient = form.units.spread(ratios) * flat
    if form.inner is not None:
        gradient = gradient + form.inner * np.sign(flat)
    return gradient.reshape(w.shape)


def _distances_of(
    form: UnitForm, chosen: np.ndarray, w: np.ndarray, grad: np.ndarray
) -> np.ndarray:
    """The distances of some units that are not zero, or have no weight."""
    at, starts = form.units.positions(chosen)
    units = Units(np.arange(len(at)), starts)
    w, rest = w[at], grad[at]
    sizes = units.norms(w)
    slopes = form.weights[chosen] * form.dist(np.maximum(sizes, TINY), 0.0, form.par)
    alive = units.spread(sizes > 0)
    direction = np.divide(w, units.spread(sizes), out=np.zeros_like(w), where=alive)
    # part of the gradient that the smooth pull of a unit leaves over
    rest = rest + np.where(alive, units.spread(slopes) * direction, 0.0)
    if form.inner is not None:
        inner = form.inner[at]
        shrunk = np.sign(rest) * np.maximum(np.abs(rest) - inner, 0.0)
        rest = np.where(w != 0, rest + inner * np.sign(w), shrunk)
    if form.nonnegative:
        rest = np.where(w > 0, rest, np.minimum(rest, 0.0))
    return units.norms(rest)


def smooth_part(
    form: UnitForm, units: Units, weights: np.ndarray, inner: np.ndarray, w: np.ndarray,
    support: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Gradient and second derivative of a penalty in the coordinates of a support.

    The second derivative is a vector, the diagonal, where units are single coordinates.

    units, weights, inner : of ``w`` (m,), which may be a part of the coefficients.
    support : positions in ``w`` of coordinates that are not zero.
    """
    sizes = units.norms(w)
    label = units.labels[support]
    t, x = sizes[label], w[support]
    slopes = _slopes(form, weights, sizes)
    # second derivative of the shape, from its slope: exact for piecewise quadratic shapes
    h = 1e-6 * np.maximum(sizes, 1e-12)
    ahead, behind = sizes + h, np.maximum(sizes - h, 0.0)
    bends = (_slopes(form, weights, ahead) - _slopes(form, weights, behind)) / (2 * h)
    direction = x / t
    slope = slopes[label] * direction + inner[support] * np.sign(x)
    if (units.lengths == 1).all():
        return slope, bends[label]
    same = label[:, None] == label[None, :]
    outer = np.where(same, direction[:, None] * direction[None, :], 0.0)
    flat = slopes[label] / t
    bend = (bends[label] - flat)[:, None] * outer + np.diag(flat)
    return slope, bend


def _slopes(form: UnitForm, weights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """(n_units,) weighted derivative of the shape at positive sizes."""
    return weights * form.dist(np.maximum(sizes, TINY), 0.0, form.par)
