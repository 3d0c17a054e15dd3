"""Knockoffs: exchangeable by their moments, gaps optimal, thresholds and filters as published."""

from __future__ import annotations

import json
from pathlib import Path

import cvxpy as cp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import gossamer as gs
from gossamer.core.errors import ConvergenceWarning
from gossamer.linear.inference import knockoff_threshold
from gossamer.linear.inference.gaps import equicorrelated, semidefinite
from gossamer.linear.inference.knockoff_tables import (
    FixedKnockoffs,
    GaussianKnockoffs,
    without_mean,
)
from gossamer.linear.inference.knockoffs import e_selected

REFERENCE = json.loads((Path(__file__).parent / "r_reference.json").read_text())


def correlations(p: int, kind: str, seed: int = 0) -> np.ndarray:
    if kind == "chain":
        return 0.7 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
    rows = np.random.default_rng(seed).standard_normal((3 * p, p)) + 0.5 * np.ones(p)
    return np.corrcoef(rows @ (np.eye(p) + 0.2), rowvar=False)


@pytest.mark.parametrize("kind", ["chain", "random"])
def test_gaps_are_those_of_a_cone_solver(kind: str) -> None:
    correlation = correlations(12, kind)
    s = cp.Variable(12)
    problem = cp.Problem(
        cp.Maximize(cp.sum(s)), [2 * correlation - cp.diag(s) >> 0, s >= 0, s <= 1]
    )
    best = problem.solve(solver=cp.CLARABEL)
    ours = semidefinite(correlation, tol=1e-7)
    assert ours.sum() == pytest.approx(best, abs=1e-5)
    assert np.linalg.eigvalsh(2 * correlation - np.diag(ours))[0] > 0  # feasible to the last digit
    assert (ours > 0).all()
    assert (ours < 1).all()
    assert equicorrelated(correlation).sum() <= ours.sum()


def test_equal_gaps_are_those_of_r() -> None:
    X = np.array(REFERENCE["X"])
    ours = equicorrelated(np.corrcoef(X, rowvar=False))
    np.testing.assert_allclose(ours, REFERENCE["found"]["equi"], rtol=1e-6)


@pytest.mark.parametrize("construction", ["sdp", "equi"])
def test_conditional_moments_make_pairs_exchangeable(construction: str) -> None:
    """The covariance of (x, knockoff) is [[S, S - D], [S - D, S]], by algebra alone."""
    p = 8
    scale = np.linspace(0.5, 20, p)
    covariance = correlations(p, "random") * scale * scale[:, None]
    made = GaussianKnockoffs.of(np.empty((0, p)), np.zeros(p), covariance, construction)
    D = np.diag(made.gaps)
    size = np.outer(scale, scale)
    cross = covariance @ (np.eye(p) - made.pull)
    np.testing.assert_allclose(cross / size, (covariance - D) / size, atol=1e-12)
    own = (np.eye(p) - made.pull).T @ cross + made.root.T @ made.root
    np.testing.assert_allclose(own / size, covariance / size, atol=1e-12)


@pytest.mark.parametrize("n", [60, 21, 20, 15])
@pytest.mark.parametrize("construction", ["sdp", "equi"])
def test_fixed_knockoffs_have_the_same_scalar_products(n: int, construction: str) -> None:
    """Also with fewer samples than twice the features, where rows are added."""
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((n, 10)) + 3, rng.standard_normal(n)
    made = FixedKnockoffs.of(X, y, construction, rng)
    m = len(made.y)
    assert m == max(n - 1, 20)
    gram = made.X.T @ made.X
    np.testing.assert_allclose(gram / m, np.corrcoef(X, rowvar=False), atol=1e-12)
    np.testing.assert_allclose(made.knockoff.T @ made.knockoff, gram, atol=1e-9 * m)
    np.testing.assert_allclose(
        made.X.T @ made.knockoff, gram - m * np.diag(made.gaps), atol=1e-9 * m
    )


def test_rows_without_mean_keep_scalar_products() -> None:
    X = np.random.default_rng(0).standard_normal((9, 4)) + 100
    centred = X - X.mean(axis=0)
    np.testing.assert_allclose(without_mean(X).T @ without_mean(X), centred.T @ centred, rtol=1e-10)


def test_thresholds_are_those_of_the_definition_and_of_r() -> None:
    W = np.array(REFERENCE["W"])
    for offset, row in enumerate(REFERENCE["found"]["threshold"]):
        for fdr, theirs in zip((0.1, 0.2, 0.3), row, strict=True):
            sizes = np.unique(np.abs(W[W != 0]))
            fine = [t for t in sizes if (offset + (W <= -t).sum()) / max(1, (W >= t).sum()) <= fdr]
            ours = knockoff_threshold(W, fdr, offset)
            assert ours == (fine[0] if fine else np.inf)
            if theirs > 0:  # the package also tries zero, which the paper excludes
                assert ours == theirs
    assert knockoff_threshold(np.zeros(3), 0.1) == np.inf


def data(n: int = 200, p: int = 30, k: int = 15) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p))
    return X, X[:, :k] @ rng.choice([-1.0, 1.0], k) + rng.standard_normal(n)


@pytest.mark.parametrize("design", ["model", "fixed"])
@pytest.mark.parametrize("construction", ["sdp", "equi"])
def test_strong_features_are_found(design: str, construction: str) -> None:
    X, y = data()
    found = gs.Knockoffs(
        fdr=0.2, design=design, construction=construction, statistic="signed_max", random_state=0
    ).fit(X, y)
    assert set(range(15)) <= set(found.selected_.tolist())
    assert len(found.selected_) <= 22
    assert (found.statistics_[found.selected_] >= found.threshold_).all()
    assert found.summary()["selected"].sum() == len(found.selected_)


def test_fixed_statistics_change_sign_with_a_pair() -> None:
    """Antisymmetry: a statistic of features and knockoffs that have changed places is minus it."""
    X, y = data(80, 10, 4)
    filtered = gs.Knockoffs(gs.Lasso(alpha=0.05, tol=1e-12), random_state=0)
    filtered.n_features_in_ = 10
    drawn = np.random.default_rng(3).standard_normal(X.shape)
    rng = np.random.default_rng
    told = filtered._statistics(X, drawn, y, rng(0))
    turned = filtered._statistics(drawn, X, y, rng(1))
    np.testing.assert_allclose(turned, -told, atol=1e-8)


def test_own_statistics_and_other_estimators() -> None:
    X, y = data()
    by_product = gs.Knockoffs(
        statistic=lambda X, Xk, y: np.abs(X.T @ y) - np.abs(Xk.T @ y), fdr=0.2, random_state=0
    ).fit(X, y)
    assert by_product.statistics_.shape == (30,)
    above = np.where(y > 0, "high", "low")
    for model in (
        LogisticRegression(C=0.1),
        gs.SparseLogisticCV(n_alphas=10, cv=3),
        gs.SparseLogistic(alpha=0.02),
    ):
        found = gs.Knockoffs(model, fdr=0.3, random_state=0).fit(X, above)
        assert np.mean(found.selected_ < 15) > 0.6
    with pytest.raises(ValueError, match="statistic must return 30 finite numbers"):
        gs.Knockoffs(statistic=lambda X, Xk, y: np.zeros(2)).fit(X, y)


def test_e_values_select_as_the_filter_does_for_one_draw() -> None:
    X, y = data()
    one = gs.Knockoffs(gs.Lasso(alpha=0.02), fdr=0.2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(e_selected(one.e_values_, 0.2), one.selected_)
    many = gs.Knockoffs(gs.Lasso(alpha=0.02), fdr=0.2, n_draws=5, random_state=0, n_jobs=2)
    many.fit(X, y)
    assert set(range(15)) <= set(many.selected_.tolist())
    assert np.isnan(many.threshold_)
    again = gs.Knockoffs(gs.Lasso(alpha=0.02), fdr=0.2, n_draws=5, random_state=0).fit(X, y)
    np.testing.assert_array_equal(many.statistics_, again.statistics_)


def test_more_features_than_samples() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 150))
    y = 2 * X[:, :10].sum(axis=1) + rng.standard_normal(100)
    found = gs.Knockoffs(gs.Lasso(alpha=0.2), fdr=0.2, random_state=0).fit(X, y)
    assert set(range(10)) <= set(found.selected_.tolist())
    with pytest.raises(ValueError, match="more samples than features"):
        gs.Knockoffs(design="fixed").fit(X, y)


def test_an_interrupt_keeps_the_draws_that_are_judged() -> None:
    X, y = data()
    steps = iter([None, None, KeyboardInterrupt()])

    def step() -> None:
        if (error := next(steps, None)) is not None:
            raise error

    filtered = gs.Knockoffs(gs.Lasso(alpha=0.02), n_draws=6, random_state=0)
    with pytest.warns(ConvergenceWarning, match="rests on"):
        filtered.fit(X, y, on_step=step)
    assert 2 <= filtered.n_draws_ < 6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fdr": 1.5}, "fdr"),
        ({"design": "random"}, "design"),
        ({"construction": "maxent"}, "construction"),
        ({"statistic": "ols"}, "statistic"),
        ({"offset": 2}, "offset"),
        ({"offset": 0, "n_draws": 2}, "offset=0"),
        ({"n_draws": 0}, "n_draws"),
        ({"design": "fixed", "statistic": "difference"}, "no folds"),
        ({"design": "fixed", "estimator": gs.SparseLogisticCV()}, "least squares"),
        ({"design": "fixed", "covariance": np.eye(30)}, "no effect"),
        ({"covariance": np.eye(3)}, "shapes"),
        ({"covariance": np.ones((30, 30))}, "singular"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gs.Knockoffs(**parameters).fit(*data())


def test_constant_columns_and_targets_are_named() -> None:
    X, y = data()
    X[:, 3] = 7.0
    with pytest.raises(ValueError, match="x3"):
        gs.Knockoffs().fit(X, y)
    with pytest.raises(ValueError, match="y is constant"):
        gs.Knockoffs().fit(data()[0], np.ones(200))
