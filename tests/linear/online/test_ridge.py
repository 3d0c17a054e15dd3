"""Ridge regression row by row is ridge regression, and its regret is logarithmic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.linear.online import OnlineRidge


@parametrize_with_checks([OnlineRidge(), OnlineRidge(fit_intercept=True)])
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_is_the_batch_solution(rng: np.random.Generator, tmp_path: Path) -> None:
    X, y, weight = rng.standard_normal((60, 4)), rng.standard_normal(60), rng.random(60)
    batch = Ridge(alpha=2.0, fit_intercept=False).fit(X, y, sample_weight=weight)
    model = OnlineRidge(2.0).partial_fit(X[:9], y[:9], weight[:9])
    gs.save(model, tmp_path / "model.gossamer")
    model = gs.load(tmp_path / "model.gossamer").partial_fit(X[9:], y[9:], weight[9:])
    np.testing.assert_allclose(model.coef_, batch.coef_)
    mean, deviation = model.predict(X, return_std=True)
    covariance = np.linalg.inv((X.T * weight) @ X + 2 * np.eye(4))
    np.testing.assert_allclose(deviation, np.sqrt(np.diag(X @ covariance @ X.T)))
    np.testing.assert_allclose(mean, X @ batch.coef_)
    with pytest.raises(ValueError, match="ridge must be > 0"):
        OnlineRidge(0.0).fit(X, y)


TIMES, SIZE = np.array([500, 1000, 2000, 4000]), 10


def regrets(noise: float, seed: int) -> np.ndarray:
    """Loss beyond that of the true coefficients, after each of the times."""
    rng = np.random.default_rng(seed)
    X, theta = rng.standard_normal((TIMES[-1], SIZE)), rng.standard_normal(SIZE)
    errors = noise * rng.standard_normal(TIMES[-1])
    y, model, found = X @ theta + errors, OnlineRidge(), []
    for rows in np.split(np.arange(TIMES[-1]), TIMES[:-1]):
        model.partial_fit(X[rows], y[rows])
        found.append(model.cumulative_loss_ - 0.5 * float((errors[: rows[-1] + 1] ** 2).sum()))
    return np.array(found)


@pytest.mark.slow
def test_regret_is_logarithmic_and_scales_with_the_variance() -> None:
    """Row 432: the slope in log T is half the variance times the dimension."""
    for noise in (1.0, 3.0):
        found = np.mean([regrets(noise, seed) for seed in range(20)], axis=0)
        slope = np.polyfit(np.log(TIMES), found, 1)[0]
        unit = noise**2 * SIZE
        print(f"\nnoise {noise}: regret {found.round(1)}, slope / (variance d) {slope / unit:.2f}")
        assert 0.25 < slope / unit < 0.8
        assert (found < unit * np.log(TIMES)).all()


@pytest.mark.slow
def test_weights_of_one_over_the_variance_pay() -> None:
    """Row 432, heteroscedastic noise: half of the rows ten times as noisy."""
    errors = {True: [], False: []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, theta = rng.standard_normal((400, SIZE)), rng.standard_normal(SIZE)
        scale = np.where(np.arange(400) % 2, 10.0, 1.0)
        y = X @ theta + scale * rng.standard_normal(400)
        for weighted, found in errors.items():
            model = OnlineRidge().fit(X, y, scale**-2.0 if weighted else None)
            found.append(float(((model.coef_ - theta) ** 2).sum()))
    ratio = np.mean(errors[False]) / np.mean(errors[True])
    print(f"\nsquared error without weights {ratio:.0f} times that with them")
    assert ratio > 10
