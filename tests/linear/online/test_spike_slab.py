"""The mean-field posterior beside exact ones."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import laplace, norm
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.core.errors import ConvergenceWarning
from gossamer.kernels.mean_field import slab_deviation, slab_mean
from gossamer.linear import SpikeSlab
from gossamer.linear.online import SpikeSlabPosterior


@parametrize_with_checks([SpikeSlab(noise=1.0)])
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize(("slope", "bend"), [(0.0, 1.0), (3.0, 2.0), (-40.0, 10.0), (0.3, 0.1)])
@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0])
def test_an_update_is_the_best_normal(slope: float, bend: float, rate: float) -> None:
    """Minus the evidence bound of one coefficient, with its expectation by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(101)
    weights = weights / weights.sum()

    def cost(at: np.ndarray) -> float:
        theta = at[0] + np.exp(at[1]) * nodes
        expected = 0.5 * bend * theta**2 - slope * theta
        folded = np.exp(at[1]) * np.sqrt(2 / np.pi) * np.exp(-0.5 * (at[0] / np.exp(at[1])) ** 2)
        size = folded + at[0] * (1 - 2 * norm.cdf(-at[0] / np.exp(at[1])))
        return float(weights @ expected + rate * size - at[1])

    mean, deviation = 0.0, 1 / np.sqrt(bend)
    for _ in range(500):
        mean = slab_mean(slope, bend, deviation, rate, mean)
        deviation = slab_deviation(mean, bend, rate, deviation)
    best = minimize(cost, [mean + 0.1, np.log(deviation)], tol=1e-12)
    assert cost(np.array([mean, np.log(deviation)])) <= best.fun + 1e-8


def exact_chances(X: np.ndarray, y: np.ndarray, rate: float, w: float) -> np.ndarray:
    """Posterior chances of two coefficients, by enumeration and integration on a grid."""
    grid = np.linspace(-6, 6, 1201)
    step = grid[1] - grid[0]
    a, b = np.meshgrid(grid, grid, indexing="ij")
    gram, first = X.T @ X, X.T @ y
    quadratic = 0.5 * (gram[0, 0] * a**2 + gram[1, 1] * b**2) + gram[0, 1] * a * b
    likelihood = np.exp(first[0] * a + first[1] * b - quadratic)
    slab = laplace.pdf(grid, scale=1 / rate) * step
    spike = (grid == grid[600]).astype(float)
    evidence = np.zeros(4)
    for k, model in enumerate(product([0, 1], repeat=2)):
        one, two = (slab if each else spike for each in model)
        prior = w ** sum(model) * (1 - w) ** (2 - sum(model))
        evidence[k] = prior * (one @ likelihood @ two)
    chances = evidence / evidence.sum()
    return np.array([chances[2] + chances[3], chances[1] + chances[3]])


@pytest.mark.parametrize("correlation", [0.0, 0.3])
@pytest.mark.parametrize("effect", [0.0, 0.4, 1.0])
def test_chances_are_close_to_exact_ones(
    correlation: float, effect: float, rng: np.random.Generator
) -> None:
    X = rng.standard_normal((30, 2))
    X[:, 1] = correlation * X[:, 0] + np.sqrt(1 - correlation**2) * X[:, 1]
    X = np.linalg.qr(X)[0] * np.sqrt(30) if correlation == 0 else X
    y = effect * X[:, 0] + rng.standard_normal(30)
    posterior = SpikeSlabPosterior(2, rate=1.0, sparsity=1.0)
    assert posterior.update(X.T @ X, X.T @ y) <= 1e-6
    exact = exact_chances(X, y, rate=1.0, w=1 / 3)
    np.testing.assert_allclose(posterior.chances, exact, atol=0.02 if correlation == 0 else 0.06)


def test_draws_have_the_moments(rng: np.random.Generator) -> None:
    posterior = SpikeSlabPosterior(3)
    posterior.update(np.diag([50.0, 50.0, 5.0]), np.array([60.0, 10.0, 0.0]))
    draws = np.array([posterior.draw(rng) for _ in range(20_000)])
    np.testing.assert_allclose((draws != 0).mean(axis=0), posterior.chances, atol=0.02)
    np.testing.assert_allclose(draws.mean(axis=0), posterior.coef, atol=0.02)


def sparse_table(
    rng: np.random.Generator, n: int = 80, p: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    X = rng.standard_normal((n, p))
    return X, X[:, :3] @ np.array([2.0, -1.5, 1.0]) + 0.5 * rng.standard_normal(n) + 4


def test_features_are_found_in_any_unit(rng: np.random.Generator, tmp_path: Path) -> None:
    X, y = sparse_table(rng)
    model = SpikeSlab().fit(X, y)
    np.testing.assert_array_equal(np.flatnonzero(model.chances_ > 0.5), [0, 1, 2])
    assert 0.35 < model.noise_ < 0.7 and abs(model.intercept_ - 4) < 0.2
    other = SpikeSlab().fit(100 * X + 5, 10 * y)
    np.testing.assert_allclose(other.coef_, model.coef_ / 10, rtol=1e-3, atol=1e-5)
    draws = model.sample_coef(4000, random_state=0)
    np.testing.assert_allclose(draws.mean(axis=0)[:3], model.coef_[:3], atol=0.02)
    gs.save(model, tmp_path / "model.gossamer")
    again = gs.load(tmp_path / "model.gossamer")
    np.testing.assert_array_equal(again.sample_coef(5, 1), model.sample_coef(5, 1))


def test_hard_columns(rng: np.random.Generator) -> None:
    X, y = sparse_table(rng, p=5)
    X[:, 3], X[:, 4] = 7.0, X[:, 0]
    model = SpikeSlab().fit(X, y)
    assert model.chances_[3] < 0.5 and model.coef_[3] == pytest.approx(0, abs=1e-6)
    # one of two equal features carries the effect
    assert max(model.chances_[[0, 4]]) > 0.9 and abs(model.coef_[[0, 4]].sum() - 2) < 0.3
    constant = SpikeSlab().fit(X, np.full(80, 3.0))
    np.testing.assert_allclose(constant.predict(X), 3.0, atol=1e-6)


def test_arguments_are_named(rng: np.random.Generator) -> None:
    X, y = sparse_table(rng, p=5)
    for arguments in ({"rate": 0.0}, {"sparsity": -1.0}, {"noise": 0.0}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            SpikeSlab(**arguments).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="after 1 sweeps"):
        SpikeSlab(max_iter=1, tol=1e-12).fit(X, y)
