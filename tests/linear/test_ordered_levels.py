"""Levels as steps: fused and monotone effects against isotonic regression."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs


@parametrize_with_checks([gs.OrderedLevels()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_rising_effects_are_isotonic_regression(rng):
    level = rng.integers(0, 8, 200).astype(float)
    y = np.sqrt(level) + rng.standard_normal(200)
    coder = gs.OrderedLevels()
    model = gs.Lasso(alpha=0.0, nonnegative=True, tol=1e-12).fit(
        coder.fit_transform(level[:, None]), y
    )
    (effects,) = coder.effects(model.coef_)
    expected = IsotonicRegression().fit(level, y).predict(coder.levels_[0])
    np.testing.assert_allclose(model.intercept_ + effects, expected, atol=1e-6)


def test_an_l1_merges_neighbours(rng):
    level = rng.integers(0, 6, 400).astype(float)
    y = 2.0 * (level >= 3) + 0.3 * rng.standard_normal(400)
    coder = gs.OrderedLevels()
    model = gs.Lasso(alpha=0.05).fit(coder.fit_transform(level[:, None]), y)
    assert np.flatnonzero(model.coef_).tolist() == [2]
    assert coder.get_feature_names_out(["age"])[2] == "age>=3.0"


def test_words_and_refusals():
    coder = gs.OrderedLevels(levels=[["a", "b"], ["x", "y", "z"]])
    X = [["a", "z"], ["b", "x"]]
    np.testing.assert_array_equal(coder.fit_transform(X), [[0, 1, 1], [1, 0, 0]])
    with pytest.raises(ValueError, match="column 1 has the value 'w'"):
        coder.transform([["a", "w"]])
    with pytest.raises(ValueError, match="coef must have 3 entries"):
        coder.effects([1.0])
    with pytest.raises(ValueError, match="levels has 1 entries"):
        gs.OrderedLevels(levels=[["a"]]).fit(X)
    with pytest.raises(ValueError, match="twice"):
        gs.OrderedLevels(levels=[["a", "a", "b"], ["x", "y", "z"]]).fit(X)
