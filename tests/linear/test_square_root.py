"""The square-root lasso against the lasso at the noise it finds itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csc_array

import gossamer as gs


@pytest.fixture
def data(rng):
    X = rng.standard_normal((80, 200))
    return X, 3 * X[:, 4] - 2 * X[:, 9] + rng.standard_normal(80) + 5.0


@pytest.mark.parametrize("alpha", [0.3, 0.2, 0.1])
def test_is_the_lasso_at_alpha_times_sigma(data, alpha):
    """Stationarity of both is the same once sigma is the residual's deviation."""
    X, y = data
    model = gs.SquareRootLasso(alpha, tol=1e-10).fit(X, y)
    sigma = np.sqrt(np.mean((y - model.predict(X)) ** 2))
    lasso = gs.Lasso(alpha * sigma, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coef_, lasso.coef_, atol=1e-5)
    np.testing.assert_allclose(model.certificate_.objective, sigma + alpha * abs(model.coef_).sum())


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_the_unit_of_y_does_not_matter(data, size):
    X, y = data
    one = gs.SquareRootLasso().fit(X, y)
    other = gs.SquareRootLasso().fit(X, size * y)
    assert one.alpha_ == other.alpha_
    np.testing.assert_allclose(other.coef_ / size, one.coef_, atol=1e-6)
    assert np.flatnonzero(one.coef_).tolist() == [4, 9]


def test_pure_noise_selects_nothing_mostly(rng):
    """In at most the promised share of draws: 5 %, of 60 draws at most 7 (its 99 % quantile)."""
    selected = 0
    for _ in range(60):
        X = rng.standard_normal((50, 100))
        y = rng.exponential(4.0) * rng.standard_normal(50)
        selected += bool(gs.SquareRootLasso().fit(X, y).coef_.any())
    assert selected <= 7


@pytest.mark.parametrize("alpha", [0.001, 0.02])
def test_perfect_fits(rng, alpha):
    """p > n and a weak penalty: interpolation, certified."""
    X = rng.standard_normal((20, 60))
    y = X[:, 0] - X[:, 1]
    model = gs.SquareRootLasso(alpha).fit(X, y)
    assert model.certificate_.holds
    np.testing.assert_allclose(model.predict(X), y, atol=1e-4)


def test_the_default_strength_of_sparse_columns(rng):
    X = rng.standard_normal((50, 6)) + 1.0
    y = X[:, 0] + rng.standard_normal(50)
    for standardise in (False, True):
        model = gs.SquareRootLasso(standardise=standardise, tol=1e-9)
        dense, sparse = (model.fit(form, y).alpha_ for form in (X, csc_array(X)))
        np.testing.assert_allclose(sparse, dense)


def test_a_constant_target_and_errors(rng):
    X = rng.standard_normal((20, 5))
    model = gs.SquareRootLasso().fit(X, np.full(20, 3.0))
    assert not model.coef_.any()
    np.testing.assert_allclose(model.intercept_, 3.0)
    with pytest.raises(ValueError, match="alpha"):
        gs.SquareRootLasso(alpha="auto").fit(X, X[:, 0])
