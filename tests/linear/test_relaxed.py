"""The relaxed lasso against fits on the lasso's support, and its gain where signals are strong."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import gossamer as gs


@pytest.fixture
def table(rng):
    X = rng.standard_normal((80, 40))
    return X, 3 * X[:, 3] - 2 * X[:, 8] + X[:, 20] + rng.standard_normal(80)


@pytest.mark.parametrize("relaxation", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("standardise", [False, True])
def test_least_squares_on_the_support(table, relaxation, standardise):
    X, y = table
    lasso = gs.Lasso(alpha=0.3, standardise=standardise, tol=1e-12).fit(X, y)
    at = np.flatnonzero(lasso.coef_)
    free = LinearRegression().fit(X[:, at], y)
    expected = (1 - relaxation) * lasso.coef_
    expected[at] += relaxation * free.coef_
    model = gs.RelaxedLasso(
        alpha=0.3, relaxation=relaxation, standardise=standardise, tol=1e-12
    ).fit(X, y)
    np.testing.assert_allclose(model.coef_, expected, atol=1e-6)
    intercept = (1 - relaxation) * lasso.intercept_ + relaxation * free.intercept_
    assert model.intercept_ == pytest.approx(intercept, abs=1e-6)
    assert model.certificate_.holds
    assert isinstance(model.intercept_, float)


def test_logistic_regression_on_the_support(table, rng):
    X, y = table
    y = y + 4 * rng.standard_normal(80) > 0
    model = gs.RelaxedLasso(0.05, loss=gs.losses.Logistic(), tol=1e-10).fit(X, y)
    at = np.flatnonzero(model.coef_[0])
    free = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(X[:, at], y)
    np.testing.assert_allclose(model.coef_[0, at], free.coef_[0], rtol=1e-4)
    assert model.predict_proba(X).shape == (80, 2)


def test_the_folds_judge_every_pair(table):
    X, y = table
    folds = [(np.arange(40), np.arange(40, 80)), (np.arange(40, 80), np.arange(40))]
    shares = (0.0, 0.5, 1.0)
    model = gs.RelaxedLassoCV(cv=folds, alphas=[0.6, 0.3], relaxations=shares, tol=1e-10)
    model.fit(X, y)
    scores = np.empty((2, 2, 3))
    for i, alpha in enumerate((0.6, 0.3)):
        for f, (training, held_out) in enumerate(folds):
            for k, share in enumerate(shares):
                own = gs.RelaxedLasso(alpha=alpha, relaxation=share, tol=1e-10)
                error = y[held_out] - own.fit(X[training], y[training]).predict(X[held_out])
                scores[i, f, k] = 0.5 * (error**2).mean()
    at = np.unravel_index(int(np.argmin(scores.mean(axis=1))), (2, 3))
    assert (model.alpha_, model.relaxation_) == ([0.6, 0.3][at[0]], shares[at[1]])
    np.testing.assert_allclose(model.cv_results_.folds, scores[:, :, at[1]], rtol=1e-6)
    again = gs.RelaxedLasso(alpha=model.alpha_, relaxation=model.relaxation_, tol=1e-10)
    np.testing.assert_allclose(model.coef_, again.fit(X, y).coef_, atol=1e-7)


def test_signs_and_empty_supports(table):
    X, y = table
    signed = gs.RelaxedLasso(alpha=0.1, nonnegative=True).fit(X, y)
    assert (signed.coef_ >= 0).all()
    nothing = gs.RelaxedLasso(alpha=100.0).fit(X, y)
    assert not nothing.coef_.any()
    assert nothing.intercept_ == pytest.approx(y.mean())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (gs.RelaxedLasso(relaxation=1.5), r"relaxation must be a number in \[0, 1\], got 1.5"),
        (gs.RelaxedLassoCV(relaxations=(0.5, -1)), "relaxations must be a number in"),
        (gs.RelaxedLassoCV(relaxations=()), "relaxations must not be empty"),
        (gs.RelaxedLassoCV(selection="bic"), "selection must be one of min, 1se"),
    ],
)
def test_bad_arguments(table, model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(*table)


@pytest.mark.slow
def test_strong_signals_are_predicted_better_by_fewer_features(capsys):
    """Hastie, Tibshirani and Tibshirani (2020): at a high ratio of signal to noise the relaxed
    lasso's error is lower, its model smaller; at a low one it is no worse."""
    rows = []
    for ratio in (0.25, 2.0, 6.0):
        risks, sizes = np.zeros(2), np.zeros(2)
        for seed in range(20):
            rng = np.random.default_rng(seed)
            root = np.linalg.cholesky(0.35 ** np.abs(np.subtract.outer(*2 * [np.arange(100)])))
            beta = np.repeat([1.0, 0.0], [5, 95])
            X = rng.standard_normal((100, 100)) @ root.T
            sigma = np.sqrt(beta @ root @ root.T @ beta / ratio)
            y = X @ beta + sigma * rng.standard_normal(100)
            for k, model in enumerate((gs.LassoCV(), gs.RelaxedLassoCV())):
                error = root.T @ (model.fit(X, y).coef_ - beta)
                risks[k] += error @ error / sigma**2 / 20
                sizes[k] += (model.coef_ != 0).sum() / 20
        rows.append((ratio, *risks, *sizes))
    with capsys.disabled():
        print()
        for ratio, lasso, relaxed, n_lasso, n_relaxed in rows:
            print(
                f"signal / noise {ratio}: excess risk lasso {lasso:.3f}, relaxed {relaxed:.3f}; "
                f"features {n_lasso:.1f}, {n_relaxed:.1f}"
            )
    assert rows[-1][2] < 0.7 * rows[-1][1]
    assert rows[0][2] < 1.2 * rows[0][1]
