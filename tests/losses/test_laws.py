"""Every registered loss keeps the laws; each loss's own labels and formulas."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.certificate import optimal_intercept
from gossamer.core.registry import LOSSES
from gossamer.losses import (
    Gamma,
    Hinge,
    Huber,
    Logistic,
    Multinomial,
    NegativeBinomial,
    Poisson,
    Quadratic,
    Quantile,
    SquaredHinge,
    Tweedie,
)
from gossamer.testing import apply, check_loss, instances, laws_of
from gossamer.testing.instances import targets


@pytest.mark.parametrize(
    ("loss", "law"),
    [
        pytest.param(x, law, id=f"{x}-{law.__name__}")
        for x in instances(LOSSES)
        for law in laws_of(x)
    ],
)
def test_registered(loss, law):
    apply(law, loss)


def test_the_laws_catch_a_wrong_gradient():
    class Doubled(Quadratic):
        def gradient(self, z, y):
            return 2 * (z - y)

    with pytest.raises(AssertionError, match="gradient_is_the_derivative"):
        check_loss(Doubled)


def test_the_laws_catch_a_conjugate_without_domain():
    class Everywhere(Huber):
        def conjugate(self, theta, y):
            return (theta * (0.5 * theta + y)).sum(axis=1)

    with pytest.raises(AssertionError, match="conjugate_has_the_right_domain"):
        check_loss(Everywhere)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (Logistic(), [0, 1, 2], "SparseLogistic"),
        (Logistic(), [[0, 1], [1, 0]], "one column"),
        (Multinomial(), [0, 1, -1], "class numbers"),
        (Multinomial(), [0.5, 1, 0], "class numbers"),
        (Multinomial(), [[1, 1], [0, 1]], "one-hot"),
        (Multinomial(), [0, 1_000_000], "samples"),
        (Poisson(), [1, -1], ">= 0"),
        (Hinge(), [0, 1, 2], "SparseLogistic"),
        (SquaredHinge(), [[0, 1], [1, 0]], "one column"),
        (Gamma(), [1.0, 0.0], "Tweedie"),
        (Tweedie(), [1.0, -0.5], ">= 0"),
        (NegativeBinomial(), [[1, 0], [2, 0]], "zero everywhere"),
    ],
)
def test_labels_that_do_not_fit(loss, y, message):
    with pytest.raises(ValueError, match=message):
        loss.encode(y)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf])
def test_huber_delta(delta):
    with pytest.raises(ValueError, match="delta"):
        Huber(delta)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Tweedie, 1, "Poisson"),
        (Tweedie, 2.0, "Gamma"),
        (Tweedie, 0, "Quadratic"),
        (Tweedie, 3.0, "power"),
        (NegativeBinomial, 0.0, "Poisson"),
        (NegativeBinomial, np.inf, "dispersion"),
        (Quantile, 0.0, "level"),
        (Quantile, 1.0, "level"),
    ],
)
def test_parameters_that_do_not_fit(kind, value, message):
    with pytest.raises(ValueError, match=message):
        kind(value)


def test_limits_are_continuous(rng):
    """Tweedie at its ends, and the negative binomial without dispersion."""
    z, y = rng.standard_normal((50, 1)), rng.gamma(2.0, 1.0, (50, 1))
    near = ((Tweedie(1 + 1e-6), Poisson()), (Tweedie(2 - 1e-6), Gamma()))
    for loss, limit in (*near, (NegativeBinomial(1e-6), Poisson())):
        for method in ("value", "gradient", "curvature"):
            found, expected = (getattr(x, method)(z, y) for x in (loss, limit))
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("power", [1.05, 1.3, 1.5, 1.8, 1.95])
def test_tweedie_conjugate_against_bisection(power):
    """Over many orders of magnitude, where Newton's method has to go far."""
    from scipy.optimize import brentq

    loss = Tweedie(power)
    for target in (1e-6, 1.0, 1e6):
        y = np.array([[target]])
        for theta in np.concatenate([-np.geomspace(1e-5, 10, 10), np.geomspace(1e-5, 10, 10)]):

            def excess(z, y=y, theta=theta):
                return loss.gradient(np.array([[z]]), y)[0, 0] - theta

            z = brentq(excess, -900, 900)
            expected = theta * z - loss.value(np.array([[z]]), y)[0]
            found = loss.conjugate(np.array([[theta]]), y)[0]
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * abs(theta * z))


def test_logistic_labels_of_both_kinds():
    np.testing.assert_array_equal(Logistic().encode([-1, 1]), Logistic().encode([False, True]))


def test_a_perfect_poisson_prediction_costs_nothing():
    y = np.array([[0.5], [3.0], [100.0]])
    np.testing.assert_allclose(Poisson().value(np.log(y), y), 0.0, atol=1e-12)


def _scipy_intercept(loss, z, y, s):
    from scipy.optimize import minimize

    def cost(b):
        return float(s @ loss.value(z + b, y)), s @ loss.gradient(z + b, y)

    start = np.zeros(loss.n_outputs(y))
    found = minimize(cost, start, jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-11})
    return float(s @ loss.value(z + found.x, y))


@pytest.mark.parametrize("loss", instances(LOSSES), ids=repr)
@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0])
def test_intercept_against_scipy(loss, spread, rng):
    for y in targets(loss, 50, rng):
        shape = 50, loss.n_outputs(y)
        z = np.minimum(spread * rng.standard_normal(shape), 20.0)
        s = rng.integers(0, 3, 50) / 1.0
        s /= s.sum()
        loss = loss.bind(y, s)
        b = optimal_intercept(loss, z, y, s, np.zeros(shape[1]))
        value = float(s @ loss.value(z + b, y))
        least = _scipy_intercept(loss, z, y, s)
        # scipy stops where the gradient is 1e-11 or the line search sees no gain
        assert value <= least + 1e-12 * (1 + abs(least))
        # on a kink the slope jumps; elsewhere what it sums up may be large, and cancels
        slopes = loss.gradient(z + b, y)
        if loss.is_smooth:
            assert (np.abs(s @ slopes) <= 1e-9 * (1 + np.abs(y).max() + s @ np.abs(slopes))).all()
