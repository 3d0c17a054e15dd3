"""Streams: the leader is the leader, and tends to the batch optimum."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.linear import FTRL
from gossamer.linear.online.ftrl import _SLOPES

# one step of weight two is not two steps, as for all that learns row by row
ORDERED = {
    f"check_sample_weight_equivalence_on_{kind}_data": "a stream is no sum"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [FTRL(), FTRL("logistic"), FTRL(gs.losses.Huber())], expected_failed_checks=lambda _: ORDERED
)
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


def stream(rng: np.random.Generator, n: int = 3000, p: int = 20) -> tuple[np.ndarray, np.ndarray]:
    X = rng.standard_normal((n, p))
    return X, X[:, 0] - 0.5 * X[:, 1] + 0.5 + rng.standard_normal(n)


@pytest.mark.parametrize("loss", _SLOPES)
def test_slopes_are_the_derivatives_of_the_losses(loss: type) -> None:
    for z in (-800.0, -2.0, 0.0, 1.5, 600.0):
        for y in (0.0, 1.0):
            expected = loss().gradient(np.array([[z]]), np.array([[y]]))[0, 0]
            assert math.isclose(_SLOPES[loss](z, y), expected, rel_tol=1e-12, abs_tol=1e-300)


def test_the_leader_is_the_minimiser_of_its_sum(rng: np.random.Generator) -> None:
    """By the definition: gradients and centres of all rows kept, the minimiser in closed form."""
    X, y = stream(rng, n=12, p=3)
    model, alpha, rate, beta = FTRL(penalty=gs.L1(0.1), fit_intercept=False), 0.1, 0.5, 1.0
    gradients, centres = [], []
    w = np.zeros(3)
    for t, (x, target) in enumerate(zip(X, y, strict=True), start=1):
        gradients.append((x @ w - target) * x)
        centres.append(w)
        totals = np.sqrt(np.cumsum(np.square(gradients), axis=0)) / rate
        added = np.diff(totals, axis=0, prepend=0.0)
        # quadratic around the centres, the first beta around zero
        bend = totals[-1] + beta / rate
        linear = np.sum(gradients, axis=0) - (added * centres).sum(axis=0)
        w = -np.sign(linear) * np.maximum(np.abs(linear) - t * alpha, 0) / bend
        model.partial_fit(x[None], [target])
        np.testing.assert_allclose(model.coef_, w, atol=1e-12)


@pytest.mark.parametrize("loss", ["quadratic", "logistic", "poisson"])
@pytest.mark.parametrize("penalty", [gs.L1(0.05), gs.ElasticNet(0.05, l1_ratio=0.5), gs.MCP(0.05)])
def test_compiled_and_plain_rows_agree(loss: str, penalty: Any, rng: np.random.Generator) -> None:
    X, y = stream(rng, n=100, p=5)
    y = {"quadratic": y, "logistic": (y > 0).astype(int), "poisson": np.abs(y).round()}[loss]
    weight = rng.integers(0, 3, 100).astype(float)
    fast = FTRL(loss, penalty, learning_rate=0.2).partial_fit(X, y, sample_weight=weight)
    slow = FTRL(loss, penalty, learning_rate=0.2)
    form = penalty.unit_form((5, 1))
    rows, target, weights = slow._rows(X, y, weight, first=True, classes=None)
    args = (rows, target, weights, np.arange(100), slow._loss(), penalty, form, np.zeros(100))
    slow._learn_any(*args)
    np.testing.assert_allclose(slow._weights(penalty, form), np.ravel(fast.coef_), atol=1e-10)


@pytest.mark.parametrize(
    "penalty",
    [gs.L1(0.1), gs.L1(0.1, on=gs.Groups(np.arange(20) // 2)), gs.L1(0.1, nonnegative=True)],
)
def test_the_stream_tends_to_the_batch_optimum(penalty: Any, rng: np.random.Generator) -> None:
    X, y = stream(rng)
    model = FTRL(penalty=penalty).partial_fit(X, y)
    best = gs.Problem(X, y, gs.losses.Quadratic(), penalty).solve(tol=1e-9)
    np.testing.assert_array_equal(np.flatnonzero(model.coef_), np.flatnonzero(best.coef))
    certificate = model.certificate(X, y)
    assert certificate.objective - best.certificate.objective <= certificate.gap + 1e-9
    assert certificate.objective < 1.02 * best.certificate.objective


def test_regret_is_small_per_row(rng: np.random.Generator) -> None:
    X, y = stream(rng, n=8000)
    best = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.01)).solve()
    left = gs.losses.Quadratic().value((X @ best.coef + best.intercept)[:, None], y[:, None])
    model = FTRL()
    for rows in np.split(np.arange(8000), [1000, 4000]):
        model.partial_fit(X[rows], y[rows])
    assert 0 < model.cumulative_loss_ - left.sum() < 0.08 * left.sum()
    again = FTRL().partial_fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(again.cumulative_loss_, model.cumulative_loss_)
    np.testing.assert_allclose(again.coef_, model.coef_)


def test_weights_count_and_zero_ones_do_not(rng: np.random.Generator) -> None:
    X, y = stream(rng, n=200, p=4)
    weight = np.r_[np.ones(100), np.zeros(100)]
    half = FTRL().partial_fit(X[:100], y[:100])
    whole = FTRL().partial_fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(half.coef_, whole.coef_)
    assert whole.n_seen_ == 100


def test_labels_and_files(rng: np.random.Generator, tmp_path: Path) -> None:
    X, y = stream(rng, n=600)
    labels = np.where(y > 0.5, "yes", "no")
    model = FTRL("logistic", gs.L1(0.02)).partial_fit(X[:1], labels[:1], classes=["yes", "no"])
    model.partial_fit(X, labels)
    assert model.score(X, labels) > 0.65 and model.predict_proba(X).shape == (600, 2)
    assert model.certificate(X, labels).gap < 0.1
    with pytest.raises(ValueError, match="not in classes_"):
        model.partial_fit(X[:2], ["yes", "maybe"])
    with pytest.raises(ValueError, match="classes="):
        FTRL("logistic").partial_fit(X[:1], labels[:1])
    gs.save(model, tmp_path / "model.gossamer")
    again = gs.load(tmp_path / "model.gossamer").partial_fit(X, labels)
    np.testing.assert_array_equal(again.coef_, model.partial_fit(X, labels).coef_)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be > 0"),
        ({"beta": -1.0}, ValueError, "beta must be"),
        ({"n_passes": 0}, ValueError, "n_passes"),
        ({"loss": 3}, TypeError, "loss must be"),
        ({"loss": gs.losses.Quantile(0.5)}, ValueError, "kinks"),
        ({"penalty": "l1"}, TypeError, "penalty must be"),
    ],
)
def test_arguments_are_named(
    arguments: dict, error: type, message: str, rng: np.random.Generator
) -> None:
    X, y = stream(rng, n=20, p=3)
    with pytest.raises(error, match=message):
        FTRL(**arguments).fit(X, y)


def test_huge_penalties_give_nothing(rng: np.random.Generator) -> None:
    X, y = stream(rng, n=300)
    model = FTRL(penalty=gs.L1(1e6), random_state=0).fit(X, y)
    assert not model.coef_.any() and abs(model.intercept_ - y.mean()) < 0.2
