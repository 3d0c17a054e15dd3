"""Every registered loss keeps the laws; each loss's own labels and formulas."""

from __future__ import annotations

import numpy as np
import pytest

from gossamer.core.certificate import optimal_intercept
from gossamer.core.registry import LOSSES
from gossamer.losses import Huber, Logistic, Multinomial, Poisson, Quadratic
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
        (Huber(), [[0, 1], [1, 0]], "one column"),
    ],
)
def test_labels_that_do_not_fit(loss, y, message):
    with pytest.raises(ValueError, match=message):
        loss.encode(y)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf])
def test_huber_delta(delta):
    with pytest.raises(ValueError, match="delta"):
        Huber(delta)


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
        slope = np.abs(s @ loss.gradient(z + b, y)).max()
        assert slope <= 1e-9 * (1 + np.abs(y).max())
