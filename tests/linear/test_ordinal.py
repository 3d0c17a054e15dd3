"""Ordered classes against the full likelihood in coefficients and thresholds, by scipy and R."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

import gossamer as gs
from gossamer.losses import Ordinal

REFERENCE = Path(__file__).with_name("polr_reference.json")


@pytest.fixture
def data(rng):
    X = rng.standard_normal((150, 6))
    latent = 1.5 * X[:, 0] - X[:, 1] + rng.logistic(size=150)
    return X, np.digitize(latent, [-1.5, 0.0, 1.0])


def _likelihood(parts, X, y, s, p):
    """Mean of minus the log-likelihood; thresholds by their logarithmic gaps."""
    w, first, gaps = parts[:p], parts[p], np.exp(parts[p + 1 :])
    theta = np.concatenate([[-np.inf], first + np.concatenate([[0], np.cumsum(gaps)]), [np.inf]])
    z = X @ w
    return -s @ np.log(expit(theta[y + 1] - z) - expit(theta[y] - z))


def test_against_the_full_likelihood(data, rng):
    """Without a penalty, weighted."""
    X, y = data
    weights = rng.integers(1, 4, len(y)).astype(float)
    s = weights / weights.sum()
    start = np.concatenate([np.zeros(6), [-1.0, 0.0, 0.0]])
    found = minimize(_likelihood, start, args=(X, y, s, 6), options={"gtol": 1e-8})
    model = gs.SparseOrdinal(alpha=0.0, tol=1e-10).fit(X, y, weights)
    np.testing.assert_allclose(model.coef_[0], found.x[:6], atol=1e-4)
    theta = found.x[6] + np.concatenate([[0], np.cumsum(np.exp(found.x[7:]))])
    np.testing.assert_allclose(model.thresholds_, theta, atol=1e-4)
    assert model.certificate_.objective == pytest.approx(found.fun, rel=1e-8)


def test_the_lasso_against_proximal_steps(data):
    """L1 keeps the thresholds at their best: the optimality conditions, by finite differences."""
    X, y = data
    alpha = 0.05
    model = gs.SparseOrdinal(alpha=alpha, tol=1e-12).fit(X, y)
    parts = np.concatenate(
        [model.coef_[0], model.thresholds_[:1], np.log(np.diff(model.thresholds_))]
    )
    s, h = np.full(len(y), 1 / len(y)), 1e-6
    slopes = np.array(
        [
            _likelihood(parts + move, X, y, s, 6) - _likelihood(parts - move, X, y, s, 6)
            for move in h * np.eye(len(parts))
        ]
    ) / (2 * h)
    w = model.coef_[0]
    assert 0 < (w != 0).sum() < 6
    np.testing.assert_allclose(slopes[6:], 0.0, atol=1e-7)
    np.testing.assert_allclose(slopes[:6][w != 0], -alpha * np.sign(w[w != 0]), atol=1e-7)
    assert (np.abs(slopes[:6][w == 0]) <= alpha).all()


@pytest.mark.skipif(not REFERENCE.exists(), reason="made by polr_reference.R")
def test_against_polr():
    reference = json.loads(REFERENCE.read_text())
    X, y = np.array(reference["X"]), np.array(reference["y"])
    model = gs.SparseOrdinal(alpha=0.0, tol=1e-12).fit(X, y)
    np.testing.assert_allclose(model.coef_[0], reference["coef"], atol=1e-4)
    np.testing.assert_allclose(model.thresholds_, reference["thresholds"], atol=1e-4)
    np.testing.assert_allclose(model.predict_proba(X[:5]), reference["probabilities"], atol=1e-4)


def test_two_classes_are_the_logistic_model(data):
    X, y = data
    ordinal = gs.SparseOrdinal(alpha=0.03, tol=1e-10).fit(X, y > 1)
    logistic = gs.SparseLogistic(alpha=0.03, tol=1e-10).fit(X, y > 1)
    np.testing.assert_allclose(ordinal.coef_, logistic.coef_, atol=1e-6)
    np.testing.assert_allclose(ordinal.thresholds_, -logistic.intercept_, atol=1e-6)
    np.testing.assert_allclose(ordinal.predict_proba(X), logistic.predict_proba(X), atol=1e-6)


def test_labels_have_an_order(data):
    import pandas as pd

    X, y = data
    names = np.array(["poor", "fair", "good", "best"])
    plain = gs.SparseOrdinal(alpha=0.05).fit(X, y)
    named = gs.SparseOrdinal(alpha=0.05, order=list(names)).fit(X, names[y])
    frame = pd.Series(pd.Categorical(names[y], categories=names, ordered=True))
    categorical = gs.SparseOrdinal(alpha=0.05).fit(X, frame)
    for model in (named, categorical):
        np.testing.assert_array_equal(model.coef_, plain.coef_)
        np.testing.assert_array_equal(model.classes_, names)
        np.testing.assert_array_equal(model.predict(X), names[plain.predict(X)])
    with pytest.raises(ValueError, match="order lacks"):
        gs.SparseOrdinal(order=["poor", "fair"]).fit(X, names[y])


def test_cross_validation_and_files(data, tmp_path):
    X, y = data
    model = gs.SparseOrdinalCV(n_alphas=8, cv=3).fit(X, y)
    assert (model.coef_[0][:2] != 0).all()
    assert model.score(X, y) > np.bincount(y).max() / len(y)
    gs.save(model, tmp_path / "ordinal.gossamer")
    again = gs.load(tmp_path / "ordinal.gossamer")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_what_does_not_fit(data):
    X, y = data
    with pytest.raises(ValueError, match="whole numbers"):
        Ordinal().encode([0.5, 1.0])
    with pytest.raises(TypeError, match="SparseOrdinal"):
        gs.SparseModel(Ordinal()).fit(X, y)
    with pytest.raises(ValueError, match="one class"):
        gs.SparseOrdinal().fit(X, np.zeros(len(y)))


def test_a_class_without_weight_has_no_chance(data):
    X, y = data
    model = gs.SparseOrdinal(alpha=0.05).fit(X, y, (y != 2).astype(float))
    chance = model.predict_proba(X)
    np.testing.assert_array_equal(chance[:, 2], 0.0)
    np.testing.assert_allclose(chance.sum(axis=1), 1.0)
