"""Quantile estimators, and what losses without probabilities offer."""

from __future__ import annotations

import numpy as np
import pytest

import gossamer as gs
from gossamer.losses import Hinge, LeastAbsolute, SquaredHinge


def test_levels_cover_their_share(rng):
    X = rng.standard_normal((400, 20))
    y = X[:, 0] + (1 + 0.5 * np.abs(X[:, 1])) * rng.standard_t(3, 400)
    for level in (0.1, 0.5, 0.9):
        model = gs.SparseQuantile(alpha=0.02, level=level).fit(X, y)
        # at the optimum at most as many samples lie on the plane as it has coefficients
        share = (y < model.predict(X)).mean()
        assert abs(share - level) <= 21 / 400
        assert 0 < model.score(X, y) < 1


def test_cross_validation_and_files(rng, tmp_path):
    X = rng.standard_normal((120, 30))
    y = 2 * X[:, 4] + rng.standard_t(2, 120)
    model = gs.SparseQuantileCV(cv=3, n_alphas=10, alpha_min_ratio=0.1).fit(X, y)
    assert model.coef_[4] > 1
    gs.save(model, tmp_path / "median.gossamer")
    np.testing.assert_array_equal(
        gs.load(tmp_path / "median.gossamer").predict(X), model.predict(X)
    )


def test_several_targets(rng):
    X = rng.standard_normal((100, 8))
    Y = np.stack([X[:, 0], X[:, 0] - X[:, 1]], axis=1) + 0.1 * rng.standard_normal((100, 2))
    model = gs.SparseModel("leastabsolute", gs.L1(0.1, on=gs.Rows())).fit(X, Y)
    assert model.coef_.shape == (2, 8)
    assert model.predict(X).shape == (100, 2)
    median = gs.SparseQuantile(alpha=0.05).fit(X, Y)
    assert median.coef_.shape == (2, 8)


@pytest.mark.parametrize("loss", [SquaredHinge(), Hinge()], ids=repr)
def test_margins_are_no_probabilities(loss, rng):
    X = rng.standard_normal((100, 20))
    y = np.where(X[:, 2] + 0.3 * rng.standard_normal(100) > 0, "yes", "no")
    model = gs.SparseModel(loss, gs.L1(0.05)).fit(X, y)
    assert model.score(X, y) > 0.85
    assert model.decision_function(X).shape == (100,)
    assert not hasattr(model, "predict_proba")
    assert not hasattr(model, "predict_log_proba")


def test_the_squared_hinge_is_scikit_learns(rng):
    """Its objective is C times a sum of squares without the half, and penalises the intercept."""
    from sklearn.svm import LinearSVC

    X = rng.standard_normal((120, 15))
    y = (X[:, 0] - X[:, 1] + rng.standard_normal(120) > 0).astype(int)
    ours = gs.SparseModel(SquaredHinge(), gs.L1(0.1), fit_intercept=False, tol=1e-10).fit(X, y)
    theirs = LinearSVC(
        penalty="l1", dual=False, C=1 / (2 * 120 * 0.1), fit_intercept=False, tol=1e-8,
        max_iter=100_000, random_state=0,
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(ours.coef_[0], theirs.coef_[0], atol=1e-5)


def test_names_of_losses(rng):
    X = rng.standard_normal((60, 5))
    y = X[:, 0] + rng.standard_normal(60)
    named = gs.SparseModel("least_absolute", gs.L1(0.1)).fit(X, y)
    given = gs.SparseModel(LeastAbsolute(), gs.L1(0.1)).fit(X, y)
    np.testing.assert_array_equal(named.coef_, given.coef_)
    with pytest.raises(ValueError, match="quantil"):
        gs.SparseModel("quantiles").fit(X, y)
