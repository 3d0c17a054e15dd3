"""Laws of a loss: derivatives against finite differences, the conjugate against brute force."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import numpy as np

from gossamer.core.loss import Loss
from gossamer.testing.court import close, generator, hold
from gossamer.testing.instances import raw_targets, targets

_N = 60


def _cases(loss: Loss) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Predictions (n, K) and targets of a loss whose samples stand alone."""
    for _, z, y, _ in bound_cases(loss):
        yield z, y


def bound_cases(loss: Loss) -> Iterator[tuple[Loss, np.ndarray, np.ndarray, np.ndarray]]:
    """The loss of some samples, predictions (n, K), targets and weights that sum to one."""
    rng = generator()
    for y in targets(loss, _N, rng):
        shape = _N, loss.n_outputs(y)
        weight = np.full(_N, 1.0) if not loss.joint else rng.uniform(0.5, 2.0, _N)
        bound = loss.bind(y, weight / weight.sum())
        for size in (0.3, 3.0):
            yield bound, size * rng.standard_normal(shape), y, weight / weight.sum()


def value_is_nonnegative(loss: Loss) -> None:
    """The loss of a sample is at least zero, one number a sample."""
    for z, y in _cases(loss):
        value = loss.value(z, y)
        hold(value.shape == (_N,), shape=value.shape)
        hold(value >= -1e-12, z=z, y=y, value=value)


def is_convex(loss: Loss) -> None:
    """The loss of the mean of two predictions is at most the mean of their losses."""
    for z, y in _cases(loss):
        other = z[::-1]
        middle, mean = loss.value((z + other) / 2, y), (loss.value(z, y) + loss.value(other, y)) / 2
        hold(middle <= mean + 1e-12 * (1 + mean), middle=middle, mean=mean)


def gradient_is_the_derivative(loss: Loss) -> None:
    """The gradient agrees with central differences of the value."""
    h = 1e-5
    for z, y in _cases(loss):
        gradient = loss.gradient(z, y)
        hold(gradient.shape == z.shape, shape=gradient.shape)
        for k in range(z.shape[1]):
            move = h * (np.arange(z.shape[1]) == k)
            slope = (loss.value(z + move, y) - loss.value(z - move, y)) / (2 * h)
            close(gradient[:, k], slope, 1e-6, z=z[:, k], y=y[:, k])


def curvature_is_the_second_derivative(loss: Loss) -> None:
    """The curvature agrees with differences of the gradient off its corners, and is >= 0."""
    h = 1e-6
    for z, y in _cases(loss):
        curvature = loss.curvature(z, y)
        hold(curvature >= 0, z=z, y=y, curvature=curvature)
        for k in range(z.shape[1]):
            move = h * (np.arange(z.shape[1]) == k)
            here = loss.gradient(z, y)[:, k]
            right = (loss.gradient(z + move, y)[:, k] - here) / h
            left = (here - loss.gradient(z - move, y)[:, k]) / h
            smooth = np.abs(right - left) <= 1e-3 * (1 + np.abs(right))
            hold(smooth.mean() > 0.9, smooth=smooth.mean())
            close(curvature[smooth, k], ((left + right) / 2)[smooth], 1e-5)


def smoothness_bounds(loss: Loss) -> None:
    """The gradient moves by at most smoothness times the move of the prediction."""
    if loss.smoothness is None:
        return
    for z, y in _cases(loss):
        hold(loss.curvature(z, y) <= loss.smoothness + 1e-12, z=z, y=y)
        other = z[::-1]
        moved = np.linalg.norm(loss.gradient(z, y) - loss.gradient(other, y), axis=1)
        bound = loss.smoothness * np.linalg.norm(z - other, axis=1)
        hold(moved <= bound + 1e-12, moved=moved, bound=bound)


def coupling_is_known(loss: Loss) -> None:
    """Second derivatives across outputs are -p_k p_m where the loss is coupled, else zero."""
    h = 1e-5
    for z, y in _cases(loss):
        p = loss.mean(z)
        for k in range(z.shape[1]):
            move = h * (np.arange(z.shape[1]) == k)
            across = (loss.gradient(z + move, y) - loss.gradient(z - move, y)) / (2 * h)
            expected = -p * p[:, [k]] if loss.coupled else np.zeros_like(z)
            others = np.arange(z.shape[1]) != k
            close(across[:, others], expected[:, others], 1e-6)


def conjugate_is_a_supremum(loss: Loss) -> None:
    """conjugate(theta) >= <theta, z> - loss(z), with equality where theta is the gradient at z."""
    for z, y in _cases(loss):
        theta = loss.gradient(z, y)
        conjugate = loss.conjugate(theta, y)
        hold(conjugate.shape == (_N,), shape=conjugate.shape)
        close(conjugate, (theta * z).sum(axis=1) - loss.value(z, y), 1e-9, theta=theta[:, 0])
        for other in (z[::-1], 3 * z + 1, np.zeros_like(z)):
            gain = (theta * other).sum(axis=1) - loss.value(other, y)
            hold(conjugate >= gain - 1e-9 * (1 + np.abs(gain)), conjugate=conjugate, gain=gain)


def conjugate_has_the_right_domain(loss: Loss) -> None:
    """The conjugate is infinite exactly where the supremum is, along each axis and its opposite."""
    for z, y in _cases(loss):
        if loss.takes_columns:
            # the losses of columns add up, and one sum may hide an infinite part of it
            z, y = z[:, :1], y[:, :1]
        for direction in (z, 5 * z, -5 * z):
            conjugate = loss.conjugate(direction, y)
            # far along some ray the gain of an infinite supremum still grows
            rays = [direction, *np.eye(z.shape[1]), *-np.eye(z.shape[1])]
            rays += [np.ones(z.shape[1]), -np.ones(z.shape[1])]
            rays = [np.broadcast_to(ray, z.shape) for ray in rays]
            near, far = (
                [(direction * at * ray).sum(axis=1) - loss.value(at * ray, y) for ray in rays]
                for at in (300.0, 600.0)
            )
            largest = np.max(far, axis=0)
            grows = np.any(np.array(far) > np.array(near), axis=0)
            finite = np.isfinite(conjugate)
            hold(largest[finite] <= conjugate[finite] + 1e-9, theta=direction[finite, 0])
            hold(grows | finite, theta=direction[:, 0], y=y[:, 0])


def columns_add_up(loss: Loss) -> None:
    """A target of several columns costs what its columns cost one by one."""
    if not loss.takes_columns:
        return
    for z, y in _cases(loss):
        theta = loss.gradient(z, y)
        columns = [slice(k, k + 1) for k in range(z.shape[1])]
        for name, at in (("value", z), ("conjugate", theta)):
            method = getattr(loss, name)
            close(method(at, y), sum(method(at[:, k], y[:, k]) for k in columns), 1e-12)
        for name in ("gradient", "curvature"):
            method = getattr(loss, name)
            close(method(z, y), np.hstack([method(z[:, k], y[:, k]) for k in columns]), 1e-12)


def extremes(loss: Loss) -> None:
    """Predictions of 800 and -800 give numbers without warnings, finite where the loss allows."""
    for bound, z, y, _ in bound_cases(loss):
        for size in (800.0, -800.0):
            z = size * np.cos(np.arange(z.size).reshape(z.shape))
            for name in ("value", "gradient", "curvature"):
                found = getattr(bound, name)(z, y)
                hold(not np.isnan(found).any(), name=name, size=size)
                if loss.smoothness is not None:
                    hold(np.isfinite(found).all(), name=name, size=size)
            hold(not np.isnan(loss.mean(z)).any(), size=size)


def mean_is_monotone(loss: Loss) -> None:
    """The expected target has the shape of the prediction, and grows with it."""
    for z, _ in _cases(loss):
        mean = loss.mean(z)
        hold(mean.shape == z.shape, shape=mean.shape)
        for k in range(z.shape[1]):
            move = 0.1 * (np.arange(z.shape[1]) == k)
            hold(loss.mean(z + move)[:, k] > mean[:, k], z=z[:, k])


def encode_refuses(loss: Loss) -> None:
    """NaN, inf, words, and arrays of three dimensions raise ValueError that names y."""
    good = np.array([0.0, 1.0, 1.0, 0.0])
    bad = (
        np.where(good == 1, np.nan, good),
        np.where(good == 1, np.inf, good),
        np.array(["a", "b", "a", "b"]),
        np.array(["a", None, 1, 2.0], dtype=object),
        good.reshape(2, 2, 1),
        good + 1j,
        np.zeros(0),
    )
    for y in bad:
        try:
            loss.encode(y)
        except ValueError as error:
            hold("y " in str(error), message=error, y=y)
        else:
            raise AssertionError(f"encode accepts y = {y!r}")


def encode_makes_floats(loss: Loss) -> None:
    """Integers, booleans, lists and object arrays of numbers encode as float arrays (n, K)."""
    # the last one is made of whole numbers, whatever the loss takes
    *_, y = raw_targets(loss, 4, generator())
    expected = loss.encode(y.astype(float))
    hold(expected.dtype == float and expected.ndim == 2, encoded=expected)
    same = [y.astype(int), y.astype(int).tolist(), y.astype(object)]
    same += [y.astype(bool)] if np.isin(y, (0, 1)).all() else []
    for other in same:
        close(loss.encode(other), expected, 0.0)


def inputs_stay(loss: Loss) -> None:
    """Nothing that is handed in is modified, read-only arrays are fine."""
    for bound, z, y, _ in bound_cases(loss):
        before = z.copy(), y.copy()
        z.flags.writeable = y.flags.writeable = False
        theta = bound.gradient(z, y)
        bound.value(z, y), bound.curvature(z, y), bound.mean(z), bound.conjugate(theta, y)
        hold((z == before[0]).all() and (y == before[1]).all(), z=z)


def copies(loss: Loss) -> None:
    """Pickles and copies are equal, hash alike, and print as their constructor."""
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        hold(other == loss and hash(other) == hash(loss), other=other)
    hold(repr(loss).startswith(type(loss).__name__ + "("), repr=repr(loss))


LOSS_MANNERS = (
    columns_add_up,
    extremes,
    mean_is_monotone,
    encode_refuses,
    encode_makes_floats,
    inputs_stay,
    copies,
)
LOSS_LAWS = (
    value_is_nonnegative,
    is_convex,
    gradient_is_the_derivative,
    curvature_is_the_second_derivative,
    smoothness_bounds,
    coupling_is_known,
    conjugate_is_a_supremum,
    conjugate_has_the_right_domain,
    *LOSS_MANNERS,
)
