"""Sparse ratios: closed forms, brute force, and what linearising the denominator comes to.

The figures: ``python -m pytest -s tests/solvers/test_fractional.py -k dinkelbach``.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from gossamer.core import ConvergenceWarning
from gossamer.solvers import sparse_ratio
from gossamer.solvers.fractional import ratio_at


def matrices(rng, p, rows):
    root = rng.standard_normal((3 * p, p))
    return root.T @ root / (3 * p), rng.standard_normal((rows, p)) / rows


def fisher():
    """Covariance within the two classes of a table, and the difference of their means."""
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    within = sum((y == c).mean() * np.cov(X[y == c].T) for c in (0, 1))
    difference = X[y == 0].mean(axis=0) - X[y == 1].mean(axis=0)
    return within + 1e-2 * np.eye(X.shape[1]), difference[None]


def dinkelbach(A, G, strength, w):
    """The denominator linearised at each ratio, the convex rest by proximal gradient."""
    length = 1 / np.linalg.eigvalsh(A)[-1]
    w = w / np.sqrt(w @ A @ w)
    for _ in range(200):
        before, below = w, np.abs(G @ w).sum()
        ratio = (0.5 + 0.5 * w @ A @ w + strength * np.abs(w).sum()) / below
        pull = ratio * (G.T @ np.sign(G @ w))
        for _ in range(100):
            v = w - length * (A @ w - pull)
            w = np.sign(v) * np.maximum(np.abs(v) - strength * length, 0.0)
        if np.abs(w - before).max() < 1e-10:
            break
    return ratio_at(A, G, strength, w)


def test_without_a_price_two_classes_are_told_apart_by_fishers_direction(rng):
    A, G = matrices(rng, 6, 1)
    found = sparse_ratio(A, G, tol=1e-13, max_iter=5000)
    direction = np.linalg.solve(A, G[0])
    np.testing.assert_allclose(found.ratio, 1 / np.sqrt(G[0] @ direction), rtol=1e-8)
    cosine = found.coef @ A @ direction / np.sqrt(direction @ A @ direction)
    np.testing.assert_allclose(abs(cosine), 1.0, rtol=1e-8)


@pytest.mark.parametrize("strength", [0.0, 0.05, 0.5])
def test_no_single_coefficient_improves(rng, strength):
    A, G = matrices(rng, 6, 9)
    found = sparse_ratio(A, G, strength)
    np.testing.assert_allclose(found.coef @ A @ found.coef, 1.0)
    assert found.gain <= 1e-8
    for j in range(6):
        for t in np.concatenate([np.linspace(-3, 3, 601), [-found.coef[j]]]):
            w = found.coef.copy()
            w[j] += t
            assert ratio_at(A, G, strength, w) >= found.ratio * (1 - 1e-7)


def test_two_coefficients_against_a_grid(rng):
    angles = np.linspace(0, np.pi, 4001)
    for _ in range(5):
        A, G = matrices(rng, 2, 1)
        least = min(ratio_at(A, G, 0.3, np.array([np.cos(a), np.sin(a)])) for a in angles)
        assert sparse_ratio(A, G, 0.3).ratio <= least * (1 + 1e-6)


def test_a_sparse_fisher_discriminant_of_a_real_table():
    A, G = fisher()
    full, few = (sparse_ratio(A, G, strength, tol=1e-6) for strength in (0.0, 0.2))
    assert np.count_nonzero(full.coef) == 30
    assert np.count_nonzero(few.coef) <= 8
    linearised = dinkelbach(A, G, 0.2, np.ones(30))
    print(f"Fisher: {few.ratio:.5f} / {linearised:.5f}, {np.count_nonzero(few.coef)} features")
    # a denominator without a kink nearby: one minimum, found by both
    np.testing.assert_allclose(few.ratio, linearised, rtol=1e-3)
    # most of the separation is left
    assert np.abs(G @ few.coef).sum() > 0.7 * np.abs(G @ full.coef).sum()


@pytest.mark.parametrize("strength", [0.1, 0.3])
def test_better_than_dinkelbach_on_robust_sparse_components(strength):
    rng, ours, theirs = np.random.default_rng(0), [], []
    for _ in range(20):
        G, start = rng.standard_normal((40, 20)) / 40, rng.standard_normal(20)
        ours.append(sparse_ratio(np.eye(20), G, strength, start=start, tol=1e-7).ratio)
        theirs.append(dinkelbach(np.eye(20), G, strength, start))
    ours, theirs = np.array(ours), np.array(theirs)
    wins, losses = (ours < theirs - 1e-6).sum(), (ours > theirs + 1e-6).sum()
    print(f"{strength}: {ours.mean():.3f} / {theirs.mean():.3f}, {wins} better, {losses} worse")
    assert ours.mean() < 0.99 * theirs.mean()
    assert wins > 2 * losses


def test_bad_input_is_named():
    eye = np.eye(3)
    with pytest.raises(ValueError, match="A must be positive definite"):
        sparse_ratio(np.diag([1.0, 0.0, 1.0]), eye)
    with pytest.raises(ValueError, match="A must be symmetric"):
        sparse_ratio(np.triu(np.ones((3, 3))), eye)
    with pytest.raises(ValueError, match="G must not be zero"):
        sparse_ratio(eye, np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"G must have shape \(m, 3\)"):
        sparse_ratio(eye, np.eye(2))
    with pytest.raises(ValueError, match="NaN"):
        sparse_ratio(eye * np.nan, eye)
    with pytest.raises(ValueError, match="square"):
        sparse_ratio(np.ones((2, 3)), eye)
    with pytest.raises(ValueError, match="strength"):
        sparse_ratio(eye, eye, -1.0)
    with pytest.raises(ValueError, match="start"):
        sparse_ratio(eye, np.array([[1.0, 0.0, 0.0]]), start=[0.0, 1.0, 0.0])
    with pytest.warns(ConvergenceWarning, match="sparse_ratio"):
        sparse_ratio(eye + 0.5, np.ones((3, 3)) + eye, start=[1.0, -0.5, 2.0], max_iter=1)
