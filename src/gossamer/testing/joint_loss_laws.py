"""Laws of a loss whose samples interact: only sums over its samples have a meaning."""

from __future__ import annotations

import numpy as np

from gossamer.core.loss import Loss
from gossamer.testing.court import close, generator, hold
from gossamer.testing.loss_laws import LOSS_MANNERS, bound_cases


def total_is_nonnegative(loss: Loss) -> None:
    """The weighted sum of the values is at least zero, one number a sample."""
    for bound, z, y, s in bound_cases(loss):
        value = bound.value(z, y)
        hold(value.shape == (len(y),), shape=value.shape)
        hold(s @ value >= -1e-12, total=s @ value)


def total_is_convex(loss: Loss) -> None:
    """The loss at the mean of two predictions is at most the mean of the losses."""
    for bound, z, y, s in bound_cases(loss):
        middle, ends = s @ bound.value(z - z[::-1], y), s @ bound.value(2 * z, y)
        ends = (ends + s @ bound.value(-2 * z[::-1], y)) / 2
        hold(middle <= ends + 1e-12 * (1 + abs(ends)), middle=middle, ends=ends)


def weighted_gradient_is_the_derivative(loss: Loss) -> None:
    """The weighted gradient agrees with central differences of the weighted sum of the values."""
    h = 1e-5
    for bound, z, y, s in bound_cases(loss):
        gradient = bound.gradient(z, y)
        hold(gradient.shape == z.shape, shape=gradient.shape)
        for i, move in enumerate(h * np.eye(len(y))):
            there, back = bound.value(z + move[:, None], y), bound.value(z - move[:, None], y)
            close((s * gradient[:, 0])[i], s @ (there - back) / (2 * h), 1e-7, sample=i)


def second_derivative_is_known(loss: Loss) -> None:
    """Curvature less interaction is the second derivative, which the curvature alone bounds."""
    h = 1e-5
    for bound, z, y, s in bound_cases(loss):
        curvature = bound.curvature(z, y)
        hold(curvature >= 0, curvature=curvature[:, 0])
        moves = h * np.eye(len(y))[:, :, None]
        hessian = np.array(
            [(bound.gradient(z + m, y) - bound.gradient(z - m, y))[:, 0] * s for m in moves]
        ) / (2 * h)
        excess = np.diag(s * curvature[:, 0]) - hessian
        hold(np.linalg.eigvalsh(excess)[0] >= -1e-7, smallest=np.linalg.eigvalsh(excess)[0])
        crossed = bound.interaction(z, y, np.eye(len(y)))
        if crossed is not None:
            close(crossed.T @ crossed, excess, 1e-6)


def conjugate_of_the_total(loss: Loss) -> None:
    """conjugate(theta) >= <theta, z> - loss(z) in sums, with equality at gradients, also shrunk."""
    for bound, z, y, s in bound_cases(loss):
        gradient = bound.gradient(z, y)
        for scale in (1.0, 0.7, 0.0):
            theta = scale * gradient
            conjugate = bound.conjugate(theta, y)
            hold(conjugate.shape == (len(y),), shape=conjugate.shape)
            total = s @ conjugate
            gains = [
                s @ ((theta * other)[:, 0] - bound.value(other, y))
                for other in (z, z[::-1], 0.5 * z, 3 * z, np.zeros_like(z))
            ]
            hold(total >= max(gains) - 1e-9 * (1 + abs(total)), total=total, gains=gains)
            if scale == 1.0:
                close(total, gains[0], 1e-9)


def conjugate_knows_its_domain(loss: Loss) -> None:
    """A finite conjugate bounds the gain along every ray, far out too."""
    rng = generator()
    for bound, z, y, s in bound_cases(loss):
        for theta in (1.2 * bound.gradient(z, y), z, -z, rng.standard_normal(z.shape) * 0.3):
            total = s @ bound.conjugate(theta, y)
            rays = [600 * theta, *(600 * rng.standard_normal((20, *z.shape)))]
            gains = [s @ ((theta * ray)[:, 0] - bound.value(ray, y)) for ray in rays]
            hold(total >= max(gains) - 1e-9, total=total, gains=max(gains))


def weight_zero_is_absence(loss: Loss) -> None:
    """Samples without weight change nothing, whatever is predicted for them."""
    for _, z, y, s in bound_cases(loss):
        s = s.copy()
        s[::3] = 0.0
        s, there = s / s.sum(), s > 0
        whole, part = loss.bind(y, s), loss.bind(y[there], s[there])
        wild = np.where(there[:, None], z, 1e3)
        for name in ("value", "gradient", "curvature", "conjugate"):
            at = part.gradient(z[there], y[there]) if name == "conjugate" else z[there]
            other = wild.copy()
            other[there] = at
            found, expected = getattr(whole, name)(other, y), getattr(part, name)(at, y[there])
            close(found[there], expected, 1e-10)
        columns = np.eye(len(y))
        crossed, expected = whole.interaction(wild, y, columns), None
        if crossed is not None:
            expected = part.interaction(z[there], y[there], columns[there])
            assert expected is not None
            close(crossed.T @ crossed, expected.T @ expected, 1e-10)


def order_does_not_matter(loss: Loss) -> None:
    """Permuted samples have permuted gradients."""
    rng = generator()
    for bound, z, y, s in bound_cases(loss):
        order = rng.permutation(len(y))
        other = loss.bind(y[order], s[order])
        close(other.gradient(z[order], y[order]), bound.gradient(z, y)[order], 1e-12)


def has_to_be_bound(loss: Loss) -> None:
    """A loss that knows no samples says so."""
    _, z, y, _ = next(iter(bound_cases(loss)))
    try:
        loss.value(z, y)
    except ValueError as error:
        hold("bind" in str(error), message=error)
    else:
        raise AssertionError("value() of an unbound joint loss")


JOINT_LOSS_LAWS = (
    total_is_nonnegative,
    total_is_convex,
    weighted_gradient_is_the_derivative,
    second_derivative_is_known,
    conjugate_of_the_total,
    conjugate_knows_its_domain,
    weight_zero_is_absence,
    order_does_not_matter,
    has_to_be_bound,
    *LOSS_MANNERS,
)
