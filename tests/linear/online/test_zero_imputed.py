"""Zeros in the gaps are a ridge, and cost little where features are many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.linear import ZeroImputedSGD


@parametrize_with_checks([ZeroImputedSGD()])
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


def factor_table(
    n: int, p: int, rng: np.random.Generator, n_factors: int = 5, missing: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of unit variance that share a few factors; X with gaps, X without, and y."""
    loadings = rng.standard_normal((n_factors, p))
    factors = rng.standard_normal((n, n_factors))
    X = factors @ (loadings / np.linalg.norm(loadings, axis=0))
    y = factors @ np.full(n_factors, n_factors**-0.5) + 0.5 * rng.standard_normal(n)
    return np.where(rng.random(X.shape) < missing, np.nan, X), X, y


def test_the_pass_is_the_textbook_one(rng: np.random.Generator) -> None:
    X, _, y = factor_table(30, 4, rng)
    model = ZeroImputedSGD(0.05, standardise=False, fit_intercept=False).partial_fit(X, y)
    w, iterates = np.zeros(4), []
    for x, target in zip(np.nan_to_num(X), y, strict=True):
        w = w - 0.05 * (x @ w - target) * x
        iterates.append(w)
    np.testing.assert_allclose(model.coef_, np.mean(iterates, axis=0))


def test_batches_are_one_stream(rng: np.random.Generator) -> None:
    X, _, y = factor_table(60, 4, rng)
    whole = ZeroImputedSGD(0.01, standardise=False).partial_fit(X, y - y[:20].mean())
    parts = ZeroImputedSGD(0.01, standardise=False)
    # the intercept starts at the mean of the first batch
    parts.partial_fit(X[:20], y[:20])
    start = ZeroImputedSGD(0.01, standardise=False).partial_fit(X[:20], y[:20])
    np.testing.assert_array_equal(parts.coef_, start.coef_)
    parts.partial_fit(X[20:40], y[20:40]).partial_fit(X[40:], y[40:])
    assert parts.n_seen_ == 60 and whole.n_seen_ == 60
    np.testing.assert_allclose(parts.observed_, 1 - np.isnan(X).mean(axis=0))


def test_many_passes_end_at_the_implied_ridge(rng: np.random.Generator) -> None:
    """The identity of the docstring, with the expectation over gaps taken exactly."""
    n, p, rho = 200, 3, 0.7
    X, y = rng.standard_normal((n, p)), rng.standard_normal(n)
    X = X @ np.linalg.inv(np.linalg.cholesky(X.T @ X / n)).T  # unit second moments
    masks = np.array(np.meshgrid(*[[0, 1]] * p)).reshape(p, -1).T
    chance = np.prod(np.where(masks, rho, 1 - rho), axis=1)
    second = sum(c * (X * m).T @ (X * m) / n for c, m in zip(chance, masks, strict=True))
    first = sum(c * (X * m).T @ y / n for c, m in zip(chance, masks, strict=True))
    ridge = np.linalg.solve(X.T @ X / n + (1 - rho) / rho * np.eye(p), X.T @ y / n)
    np.testing.assert_allclose(rho * np.linalg.solve(second, first), ridge)
    # and drawn gaps, many rows, many passes come close to it
    drawn = np.tile(X, (100, 1))
    drawn[rng.random(drawn.shape) > rho] = np.nan
    model = ZeroImputedSGD(0.01, standardise=False, fit_intercept=False, random_state=0)
    model.fit(drawn, np.tile(y, 100))
    np.testing.assert_allclose(model.complete_coef_, ridge, atol=0.03)
    np.testing.assert_allclose(model.implied_ridge_, (1 - rho) / rho, rtol=0.05)


def test_units_do_not_matter(rng: np.random.Generator) -> None:
    X, _, y = factor_table(100, 6, rng)
    one = ZeroImputedSGD(random_state=0).fit(X, y)
    two = ZeroImputedSGD(random_state=0).fit(1000 * X + 7, y)
    np.testing.assert_allclose(two.predict(1000 * X + 7), one.predict(X))
    np.testing.assert_allclose(two.coef_, one.coef_ / 1000)


def test_hard_columns(rng: np.random.Generator, tmp_path: Path) -> None:
    X, _, y = factor_table(50, 5, rng)
    X[:, 0], X[:, 1], X[0] = np.nan, 3.0, np.nan
    model = ZeroImputedSGD(random_state=0).fit(X, y)
    assert model.coef_[0] == 0 == model.coef_[1] and np.isinf(model.implied_ridge_[0])
    assert np.isfinite(model.predict(np.full((1, 5), np.nan))).all()
    gs.save(model, tmp_path / "model.gossamer")
    again = gs.load(tmp_path / "model.gossamer")
    np.testing.assert_array_equal(again.partial_fit(X, y).coef_, model.partial_fit(X, y).coef_)
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.full((1, 5), np.inf))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"step": 0.0}, "step must be > 0"), ({"n_passes": 0}, "n_passes"), ({"step": 1e3}, "bound")],
)
def test_arguments_are_named(arguments: dict, message: str, rng: np.random.Generator) -> None:
    X, _, y = factor_table(300, 5, rng)
    with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
        ZeroImputedSGD(**arguments).fit(X, y)


@pytest.mark.slow
def test_the_excess_vanishes_with_the_dimension() -> None:
    """Row 400: excess risk on new rows with gaps, over the noise, as features are added."""
    n, sizes, rows = 800, (5, 20, 80, 320), []
    for p in sizes:
        errors = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            X, complete, y = factor_table(n + 2000, p, rng)
            contenders = {
                "zero imputed SGD": (ZeroImputedSGD(random_state=0), X),
                "mean + ridge": (
                    make_pipeline(SimpleImputer(), RidgeCV(np.geomspace(0.1, 1e4, 16))),
                    X,
                ),
                "complete data, ridge": (RidgeCV(np.geomspace(0.1, 1e4, 16)), complete),
            }
            if p <= 20:
                imputer = IterativeImputer(BayesianRidge(), max_iter=3, tol=1e9)
                contenders["iterative + ridge"] = (make_pipeline(imputer, RidgeCV()), X)
            errors.append(
                {
                    name: np.mean((y[n:] - model.fit(Z[:n], y[:n]).predict(Z[n:])) ** 2) - 0.25
                    for name, (model, Z) in contenders.items()
                }
            )
        rows.append({name: float(np.mean([e[name] for e in errors])) for name in errors[0]})
        print(f"\np = {p}:", ", ".join(f"{name} {value:.3f}" for name, value in rows[-1].items()))
    ours = [row["zero imputed SGD"] for row in rows]
    assert ours[-1] < ours[0] / 5 and ours[-1] < 0.1
    # one pass costs more than the tuned ridge, the zeros themselves next to nothing
    assert rows[-1]["mean + ridge"] < ours[-1]
    assert rows[-1]["mean + ridge"] < rows[-1]["complete data, ridge"] + 0.02
