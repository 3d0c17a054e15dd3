"""Sketched ridge ensembles: closed forms, and generalised cross-validation against test risk."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from gossamer.linear import SketchedRidge, SketchedRidgeCV
from gossamer.linear.sketches import SKETCHES


@parametrize_with_checks([SketchedRidge(), SketchedRidgeCV(n_sketches=2)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize(("n", "p"), [(40, 15), (20, 50)])
def test_a_whole_sketch_is_ridge_regression(n, p, rng):
    """An orthogonal sketch of full size is a rotation: scikit-learn's ridge, and its GCV."""
    X, y = rng.standard_normal((n, p)) + 1, rng.standard_normal(n)
    model = SketchedRidge(0.3, sketch_size=p, n_sketches=1, sketch="orthogonal", random_state=0)
    model.fit(X, y)
    ridge = Ridge(0.3 * n).fit(X, y)
    np.testing.assert_allclose(model.coef_, ridge.coef_, atol=1e-10)
    assert model.intercept_ == pytest.approx(ridge.intercept_, abs=1e-10)
    centred = X - X.mean(axis=0)
    hat = centred @ np.linalg.solve(centred.T @ centred + 0.3 * n * np.eye(p), centred.T)
    assert model.degrees_of_freedom_ == pytest.approx(1 + np.trace(hat), rel=1e-10)
    residuals = y - ridge.predict(X)
    df = model.degrees_of_freedom_
    assert model.gcv_ == pytest.approx((residuals**2).mean() / (1 - df / n) ** 2, rel=1e-9)
    np.testing.assert_allclose(model.residuals_, residuals / (1 - df / n), atol=1e-9)


@pytest.mark.parametrize("kind", SKETCHES)
def test_a_sketch_is_linear_and_isotropic(kind, rng):
    """`back` is the adjoint of what multiplies X, and S S' is the identity on average."""
    p, size = 16, 8
    mean = np.zeros((p, p))
    for _ in range(400):
        state = rng.bit_generator.state
        S, back = SKETCHES[kind](np.eye(p), size, rng)
        np.testing.assert_allclose(back(np.eye(size)), S, atol=1e-12)
        mean += S @ S.T / 400
        X = np.arange(3 * p).reshape(3, p) / p
        rng.bit_generator.state = state
        np.testing.assert_allclose(SKETCHES[kind](X, size, rng)[0], X @ S, atol=1e-12)
    # standard error of an entry: at most 1 / sqrt(400 * 8) for independent ones
    np.testing.assert_allclose(mean, np.eye(p), atol=0.15)


def test_the_ensemble_is_the_mean_of_its_members(rng):
    X, y = rng.standard_normal((30, 20)), rng.standard_normal(30)
    whole = SketchedRidge(0.2, sketch_size=7, n_sketches=3, random_state=5).fit(X, y)
    draws = np.random.default_rng(np.random.RandomState(5).randint(2**31))
    coefs, hats = [], []
    Xc, yc = X - X.mean(axis=0), y - y.mean()
    for _ in range(3):
        S = draws.standard_normal((20, 7)) / np.sqrt(7)
        inverse = np.linalg.inv(S.T @ Xc.T @ Xc @ S / 30 + 0.2 * np.eye(7))
        coefs.append(S @ inverse @ S.T @ Xc.T @ yc / 30)
        hats.append(Xc @ S @ inverse @ S.T @ Xc.T / 30)
    np.testing.assert_allclose(whole.coef_, np.mean(coefs, axis=0), atol=1e-10)
    assert whole.degrees_of_freedom_ == pytest.approx(1 + np.trace(np.mean(hats, axis=0)))
    df = whole.degrees_of_freedom_
    single = np.mean(
        [((yc - hat @ yc) ** 2).mean() / (1 - (1 + np.trace(hat)) / 30) ** 2 for hat in hats]
    )
    joint = ((yc - np.mean(hats, axis=0) @ yc) ** 2).mean() / (1 - df / 30) ** 2
    assert whole.gcv_ == pytest.approx(joint)
    assert whole.gcv_infinite_ == pytest.approx((3 * joint - single) / 2)


def test_the_choice_is_the_best_pair_and_near_ridge_cv(rng):
    X = rng.standard_normal((100, 40))
    y = X @ rng.standard_normal(40) + 2 * rng.standard_normal(100)
    alphas = [0.01, 0.1, 1.0]
    chosen = SketchedRidgeCV(
        alphas=alphas, sketch_sizes=(40,), sketch="orthogonal", n_sketches=1, random_state=0
    ).fit(X, y)
    # scikit-learn's default is leave-one-out, of which GCV is the rotation-invariant form
    assert chosen.alpha_ == RidgeCV([100 * a for a in alphas]).fit(X, y).alpha_ / 100
    chosen = SketchedRidgeCV(alphas=alphas, sketch_sizes=(10, 0.5), random_state=0).fit(X, y)
    assert chosen.scores_.shape == (2, 3)
    assert chosen.gcv_ == chosen.scores_.min()
    again = SketchedRidge(chosen.alpha_, sketch_size=chosen.sketch_size_, random_state=0)
    np.testing.assert_allclose(again.fit(X, y).coef_, chosen.coef_, atol=1e-12)


@pytest.mark.parametrize("kind", [k for k in SKETCHES if k != "cosine"])
def test_sparse_designs(kind, rng):
    X = rng.standard_normal((30, 20)) * (rng.random((30, 20)) < 0.3)
    y = rng.standard_normal(30)
    dense = SketchedRidge(0.1, sketch=kind, random_state=1).fit(X, y)
    small = SketchedRidge(0.1, sketch=kind, random_state=1).fit(sparse.csr_array(X), y)
    np.testing.assert_allclose(small.coef_, dense.coef_, atol=1e-10)
    assert small.intercept_ == pytest.approx(dense.intercept_)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha must be > 0"),
        ({"alpha": np.nan}, "alpha must be a finite"),
        ({"sketch_size": 0}, "whole number from 1 to 4"),
        ({"sketch_size": 5}, "whole number from 1 to 4"),
        ({"sketch_size": 1.5}, "share of them"),
        ({"n_sketches": 0}, "n_sketches must be a whole number >= 1"),
        ({"sketch": "fourier"}, "sketch must be one of gaussian"),
    ],
)
def test_bad_arguments(arguments, message, rng):
    with pytest.raises(ValueError, match=message):
        SketchedRidge(**arguments).fit(rng.standard_normal((9, 4)), np.arange(9.0))


def test_bad_grids_and_levels(rng):
    X, y = rng.standard_normal((9, 4)), np.arange(9.0)
    with pytest.raises(ValueError, match="alphas must be finite numbers > 0"):
        SketchedRidgeCV(alphas=[0.1, 0.0]).fit(X, y)
    with pytest.raises(ValueError, match="sketch_sizes must not be empty"):
        SketchedRidgeCV(sketch_sizes=()).fit(X, y)
    with pytest.raises(ValueError, match="level"):
        SketchedRidge().fit(X, y).predict_interval(X, 1.0)


@pytest.mark.slow
def test_gcv_is_the_test_risk(capsys):
    """Correlated features, heavy-tailed noise, n < p: mean of GCV / risk, and coverage."""
    n, p, n_test = 800, 1000, 4000
    root = np.linalg.cholesky(0.5 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p))))
    lines = []
    for kind in SKETCHES:
        ratios, covered, infinite, regret = [], [], [], []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            beta = rng.standard_normal(p) / np.sqrt(p)
            X, new = (rng.standard_normal((m, p)) @ root.T for m in (n, n_test))
            y, target = (A @ beta + 0.5 * rng.standard_t(5, len(A)) for A in (X, new))
            risks, scores = [], []
            for alpha in (0.01, 0.1, 1.0):
                for q in (150, 400, 800):
                    model = SketchedRidge(
                        alpha, sketch_size=q, n_sketches=5, sketch=kind, random_state=seed
                    ).fit(X, y)
                    risks.append(((target - model.predict(new)) ** 2).mean())
                    scores.append(model.gcv_)
                    ends = model.predict_interval(new, 0.9).T
                    covered.append(((ends[0] <= target) & (target <= ends[1])).mean())
            # the same extrapolated to infinitely many small sketches, against five times as many
            few, many = (
                SketchedRidge(0.1, sketch_size=400, n_sketches=K, sketch=kind, random_state=seed)
                for K in (5, 25)
            )
            risk = ((target - many.fit(X, y).predict(new)) ** 2).mean()
            infinite.append(few.fit(X, y).gcv_infinite_ / risk)
            ratios += list(np.array(scores) / risks)
            regret.append(risks[int(np.argmin(scores))] / min(risks))
        lines.append(
            f"{kind}: GCV / risk {np.mean(ratios):.3f} +- {np.std(ratios):.3f}, extrapolated "
            f"{np.mean(infinite):.3f}, risk of the choice / best {np.mean(regret):.3f}, "
            f"90 % intervals cover {np.mean(covered):.3f}"
        )
        assert abs(np.mean(ratios) - 1) < 0.05
        assert abs(np.mean(infinite) - 1) < 0.07
        assert np.mean(regret) < 1.03
        assert abs(np.mean(covered) - 0.9) < 0.02
    with capsys.disabled():
        print("", *lines, sep="\n")
