"""The adaptive lasso against rescaled columns, and Zou's example that the lasso cannot solve."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.linear_model import Lasso as ReferenceLasso
from sklearn.linear_model import LinearRegression, RidgeCV

import gossamer as gs
from gossamer.core.errors import ConvergenceWarning, UnsupportedProblem


@pytest.fixture
def table(rng):
    X = rng.standard_normal((80, 30)) * rng.uniform(0.5, 2.0, 30)
    return X, 3 * X[:, 3] - 2 * X[:, 8] + X[:, 20] + rng.standard_normal(80)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_it_is_a_lasso_on_rescaled_columns(table, power, rng):
    X, y = table
    first = rng.standard_normal(30)
    model = gs.AdaptiveLasso(alpha=0.1, initial=first, power=power, tol=1e-12).fit(X, y)
    scale = np.abs(first) ** power
    reference = ReferenceLasso(0.1, tol=1e-12, max_iter=100_000).fit(X * scale, y)
    # scikit-learn stops at a gap of 1e-12, of which the coefficients know the root
    np.testing.assert_allclose(model.coef_, reference.coef_ * scale, atol=1e-5)
    assert model.certificate_.kind == "global"
    assert model.certificate_.holds


def test_power_zero_is_the_lasso_and_weights_multiply(table):
    X, y = table
    plain = gs.AdaptiveLasso(alpha=0.2, power=0.0, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(plain.coef_, gs.Lasso(alpha=0.2, tol=1e-10).fit(X, y).coef_)
    weights = np.ones(30)
    weights[5] = 0.0
    model = gs.AdaptiveLasso(alpha=0.2, weights=weights, tol=1e-10).fit(X, y)
    assert model.adaptive_weights_[5] == 0.0
    assert model.coef_[5] != 0.0


def test_what_the_first_fit_leaves_out_stays_out(table):
    X, y = table
    first = np.zeros(30)
    first[[3, 8]] = [1.0, 1e-3]
    model = gs.AdaptiveLasso(alpha=1e-6, initial=first).fit(X, y)
    assert np.flatnonzero(model.coef_).tolist() == [3, 8]
    nothing = gs.AdaptiveLasso(alpha=0.5, initial=np.zeros(30)).fit(X, y)
    assert not nothing.coef_.any()


def test_first_fits(table):
    X, y = table
    lasso = gs.LassoCV(tol=1e-4).fit(X, y)
    by_name = gs.AdaptiveLasso(alpha=0.1).fit(X, y)
    by_hand = gs.AdaptiveLasso(alpha=0.1, initial=gs.Lasso(lasso.alpha_, tol=1e-4)).fit(X, y)
    np.testing.assert_allclose(by_name.coef_, by_hand.coef_, rtol=1e-3)
    ridge = RidgeCV().fit(X, y)
    model = gs.AdaptiveLasso(alpha=0.1, initial=RidgeCV()).fit(X, y)
    np.testing.assert_allclose(model.adaptive_weights_, 1 / np.abs(ridge.coef_))
    standard = gs.AdaptiveLasso(alpha=0.1, initial=LinearRegression(), standardise=True).fit(X, y)
    working = LinearRegression().fit(X, y).coef_ * X.std(axis=0)
    np.testing.assert_allclose(standard.adaptive_weights_, 1 / np.abs(working))


def test_folds_take_weights_from_their_own_training_samples(table):
    X, y = table
    folds = [(np.arange(40), np.arange(40, 80)), (np.arange(40, 80), np.arange(40))]
    model = gs.AdaptiveLassoCV(cv=folds, alphas=[0.3, 0.1], tol=1e-10).fit(X, y)
    strength = gs.LassoCV(tol=1e-4).fit(X, y).alpha_
    for column, (training, held_out) in enumerate(folds):
        first = gs.Lasso(strength, tol=1e-4).fit(X[training], y[training])
        for row, alpha in enumerate((0.3, 0.1)):
            own = gs.AdaptiveLasso(alpha=alpha, initial=first.coef_, tol=1e-10)
            error = y[held_out] - own.fit(X[training], y[training]).predict(X[held_out])
            # the first fits end at a gap of 1e-4
            expected = 0.5 * (error**2).mean()
            assert model.cv_results_.folds[row, column] == pytest.approx(expected, rel=1e-3)


def test_classifiers_pickles_and_files(table, tmp_path):
    X, y = table
    model = gs.AdaptiveLassoCV(loss=gs.losses.Logistic(), selection="bic").fit(X, y > 0)
    assert model.predict_proba(X).shape == (80, 2)
    for other in (pickle.loads(pickle.dumps(model)), _reloaded(model, tmp_path)):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    assert not hasattr(gs.AdaptiveLasso().fit(X, y), "predict_proba")


def _reloaded(model, folder):
    gs.save(model, folder / "model.gossamer")
    return gs.load(folder / "model.gossamer")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"power": -1.0}, "power must be a finite number >= 0"),
        ({"initial": "ols"}, 'initial must be "lasso"'),
        ({"initial": [1.0, 2.0]}, "initial must have shape"),
        ({"initial": np.full(30, np.nan)}, "NaN or inf"),
        ({"loss": 0.1}, "loss must be a name such as"),
    ],
)
def test_bad_arguments(table, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        gs.AdaptiveLasso(**arguments).fit(*table)


def test_rows_in_parts_are_refused(table):
    X, y = table
    for model in (
        gs.AdaptiveLasso(),
        gs.AdaptiveLassoCV(),
        gs.RelaxedLasso(loss=gs.losses.Poisson()),
    ):
        with pytest.raises(UnsupportedProblem, match="needs all rows at once"):
            model.fit_batches([(X, y)])
    assert not hasattr(gs.AdaptiveLasso(), "partial_fit")


def test_an_interrupted_first_fit_says_so(table):
    with pytest.warns(ConvergenceWarning):
        gs.AdaptiveLasso(alpha=1e-3, max_iter=1, tol=1e-12).fit(*table)


@pytest.mark.slow
def test_zous_example(capsys):
    """The irrelevant feature is correlated so that no strength makes the lasso right; the adaptive
    lasso is, more and more often. Zou (2006), section 5, model 0."""
    C = np.full((4, 4), -0.39)
    C[3, :3] = C[:3, 3] = 0.23
    np.fill_diagonal(C, 1.0)
    root = np.linalg.cholesky(C)
    truth = [True, True, True, False]
    rates = []
    for n, sigma in ((60, 9.0), (120, 5.0), (300, 3.0)):
        right = np.zeros(2)
        for seed in range(100):
            rng = np.random.default_rng(seed)
            X = rng.standard_normal((n, 4)) @ root.T
            y = X @ [5.6, 5.6, 5.6, 0.0] + sigma * rng.standard_normal(n)
            paths = (
                gs.Lasso().path(X, y),
                gs.AdaptiveLasso(initial=LinearRegression()).path(X, y),
            )
            # whether any strength of the path gives the right features
            right += [((path.coefs != 0) == truth).all(axis=1).any() for path in paths]
        rates.append(right / 100)
    with capsys.disabled():
        print()
        for rate in rates:
            print(
                f"right features somewhere on the path: lasso {rate[0]:.2f}, adaptive {rate[1]:.2f}"
            )
    assert rates[-1][0] < 0.6
    assert rates[-1][1] > 0.95
