"""Paths and the choice of a strength, against plain loops over independent solvers."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.special import gammaln
from sklearn import linear_model as sk
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

import gossamer as gs
from gossamer.linear import cv as cv_module

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    X = rng.standard_normal((60, 12))
    return X, X[:, 0] - 0.5 * X[:, 1] + rng.standard_normal(60)


# -- paths


def test_path_equals_separate_fits(data: Data) -> None:
    path = gs.Lasso(tol=1e-12).path(*data, n_alphas=7)
    assert (np.diff(path.alphas) < 0).all() and path.n_nonzero[0] == 0
    assert path.alphas[-1] == pytest.approx(1e-2 * path.alphas[0])
    for alpha, coef, intercept, certificate in zip(
        path.alphas, path.coefs, path.intercepts, path.certificates, strict=True
    ):
        fit = sk.Lasso(alpha, tol=1e-12, max_iter=100_000).fit(*data)
        assert coef == pytest.approx(fit.coef_, abs=1e-7)
        assert intercept == pytest.approx(fit.intercept_, abs=1e-7)
        assert certificate.holds


def test_the_first_strength_is_the_largest_useful_one(data: Data) -> None:
    X, y = data
    largest = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y)
    path = gs.Lasso().path(X, y, n_alphas=2)
    assert path.alphas[0] == pytest.approx(largest)
    assert gs.Lasso(0.99 * largest).fit(X, y).coef_.any()


def test_given_strengths(data: Data) -> None:
    path = gs.Lasso().path(*data, alphas=[0.1, 0.5, 0.01])
    assert path.alphas.tolist() == [0.5, 0.1, 0.01]
    one = gs.Lasso().path(*data, alphas=0.1)
    assert one.coefs.shape == (1, 12)
    assert one.coefs[0] == pytest.approx(path.coefs[1], abs=1e-3)


def test_path_leaves_the_estimator_alone(data: Data) -> None:
    model = gs.Lasso(0.1)
    model.path(*data, n_alphas=2)
    assert set(vars(model)) == set(model.get_params())


def test_path_stops_where_the_data_are_fitted(rng: np.random.Generator) -> None:
    X = rng.standard_normal((20, 100))
    y = X[:, 0]
    path = gs.Lasso().path(X, y, alpha_min_ratio=1e-4)
    assert len(path.alphas) < 100
    losses = np.mean((y[:, None] - X @ path.coefs.T - path.intercepts) ** 2, axis=0)
    assert losses[-1] <= 1e-3 * y.var() < losses[-2]
    # who gives strengths gets them all
    assert len(gs.Lasso().path(X, y, alphas=np.geomspace(1, 1e-6, 9)).alphas) == 9


def test_path_of_a_non_convex_penalty(data: Data) -> None:
    path = gs.MCPRegressor(gamma=3.0, standardise=True).path(*data, n_alphas=20)
    assert all(c.holds and c.kind == "coordinate-wise" for c in path.certificates)
    assert path.n_nonzero[0] == 0 and path.n_nonzero[-1] > 2


# -- cross-validation


def plain_curve(X: np.ndarray, y: np.ndarray, alphas: np.ndarray, splits: Any) -> np.ndarray:
    """(m, n_folds) held-out half mean squared errors of scikit-learn's lasso."""
    scores = [
        [
            np.mean(
                (y[test] - sk.Lasso(a, tol=1e-12).fit(X[train], y[train]).predict(X[test])) ** 2
            )
            for train, test in splits
        ]
        for a in alphas
    ]
    return np.array(scores) / 2


ALPHAS = [0.5, 0.2, 0.1, 0.05]


@pytest.mark.parametrize(
    "splitter", [KFold(5), KFold(7, shuffle=True, random_state=0), TimeSeriesSplit(3)]
)
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_curve_equals_a_plain_loop(splitter: Any, container: Any, data: Data) -> None:
    X, y = data
    model = gs.LassoCV(alphas=ALPHAS, cv=splitter, tol=1e-12).fit(container(X), y)
    results, splits = model.cv_results_, list(splitter.split(X))
    expected = plain_curve(X, y, results.alphas, splits)
    assert results.folds == pytest.approx(expected, abs=1e-6)
    share = np.array([len(test) for _, test in splits]) / sum(len(test) for _, test in splits)
    assert results.mean == pytest.approx(expected @ share, abs=1e-6)
    spread = np.sqrt(((expected - (expected @ share)[:, None]) ** 2) @ share / (len(splits) - 1))
    assert results.se == pytest.approx(spread, abs=1e-6)
    assert model.alpha_ == results.alphas[np.argmin(expected @ share)]
    fit = sk.Lasso(model.alpha_, tol=1e-12).fit(X, y)
    assert model.coef_ == pytest.approx(fit.coef_, abs=1e-6)


def test_splits_in_any_form(data: Data) -> None:
    """A splitter, its splits, and masks in place of row numbers choose alike."""
    X, y = data
    splits = list(KFold(4).split(X))
    masks = [tuple(np.isin(np.arange(60), part) for part in split) for split in splits]
    curves = [
        gs.LassoCV(alphas=ALPHAS, cv=cv).fit(X, y).cv_results_.folds for cv in (4, splits, masks)
    ]
    assert (curves[0] == curves[1]).all() and (curves[0] == curves[2]).all()


def test_training_samples_of_a_split_are_obeyed(data: Data) -> None:
    """Samples in neither part (a gap in time) are neither fitted nor judged."""
    X, y = data
    train, test = np.arange(30), np.arange(40, 60)
    folds = gs.LassoCV(alphas=ALPHAS, cv=[(train, test)] * 2, tol=1e-12).fit(X, y).cv_results_.folds
    assert folds[:, 0] == pytest.approx(
        plain_curve(X, y, np.array(ALPHAS), [(train, test)])[:, 0], abs=1e-6
    )


def test_one_standard_error(data: Data) -> None:
    smallest = gs.LassoCV(selection="min").fit(*data)
    sparsest = gs.LassoCV(selection="1se").fit(*data)
    results = sparsest.cv_results_
    near = results.mean <= results.mean.min() + results.se[results.index_min]
    assert sparsest.alpha_ == results.alphas[near].max() > smallest.alpha_
    assert np.count_nonzero(sparsest.coef_) <= np.count_nonzero(smallest.coef_)


def test_groups_of_samples_stay_together(data: Data) -> None:
    X, y = data
    groups = np.arange(60) % 6
    splits = list(GroupKFold(3).split(X, y, groups))
    given = gs.LassoCV(alphas=ALPHAS, cv=splits).fit(X, y)
    model = gs.LassoCV(alphas=ALPHAS, cv=GroupKFold(3)).fit(X, y, fold_groups=groups)
    assert (model.cv_results_.folds == given.cv_results_.folds).all()
    with pytest.raises(ValueError, match="groups"):
        gs.LassoCV(cv=GroupKFold(3)).fit(X, y)


def test_classifiers_stratify(data: Data) -> None:
    X, y = data
    labels = np.where(y > np.quantile(y, 0.8), "rare", "usual")
    model = gs.SparseLogisticCV(n_alphas=5, cv=3).fit(X, labels)
    splits = list(StratifiedKFold(3).split(X, labels))
    given = gs.SparseLogisticCV(n_alphas=5, cv=splits).fit(X, labels)
    assert (model.cv_results_.folds == given.cv_results_.folds).all()


def test_held_out_log_loss(data: Data) -> None:
    """Of a classifier: the mean log loss of scikit-learn's fits with the same penalty."""
    X, y = data
    labels, splits, alpha = (y > 0).astype(int), list(StratifiedKFold(3).split(X, y > 0)), 0.05
    folds = (
        gs.SparseLogisticCV(alphas=[alpha], cv=splits, tol=1e-10).fit(X, labels).cv_results_.folds
    )
    for (train, test), found in zip(splits, folds[0], strict=True):
        peer = sk.LogisticRegression(
            C=1 / (alpha * len(train)), l1_ratio=1, solver="saga", tol=1e-8, max_iter=100_000
        )
        chance = peer.fit(X[train], labels[train]).predict_proba(X[test])
        expected = -np.log(chance[np.arange(len(test)), labels[test]]).mean()
        assert found == pytest.approx(expected, abs=1e-5)


def test_a_fold_may_lack_a_class(rng: np.random.Generator) -> None:
    X = rng.standard_normal((60, 4))
    labels = np.repeat(["a", "b", "c"], 20)
    # the first fold trains without any "a"
    splits = [(np.arange(20, 60), np.arange(20)), (np.arange(0, 60, 2), np.arange(1, 60, 2))]
    model = gs.SparseLogisticCV(n_alphas=4, cv=splits).fit(X, labels)
    assert np.isfinite(model.cv_results_.folds).all()
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(60))


@pytest.mark.parametrize(
    "model",
    [
        gs.LassoCV(n_alphas=10),
        gs.SparseLogisticCV(n_alphas=5, cv=3),
        gs.MCPRegressorCV(n_alphas=5, standardise=True),
        gs.SparsePoissonCV(n_alphas=5, cv=3),
    ],
)
def test_threads_change_nothing(model: Any, data: Data) -> None:
    X, y = data
    y = (y > 0).astype(int)
    alone = model.set_params(n_jobs=None).fit(X, y)
    expected, coef = alone.cv_results_.folds, alone.coef_
    model.set_params(n_jobs=2).fit(X, y)
    assert (model.cv_results_.folds == expected).all() and (model.coef_ == coef).all()


def test_zero_weight_is_removal_and_two_is_repetition(data: Data) -> None:
    X, y = data
    s = np.arange(60) % 3  # 0, 1, 2, 0, 1, 2, ...
    fold = np.arange(60) // 20
    repeated = np.repeat(np.arange(60), s)
    weighted = gs.LassoCV(alphas=ALPHAS, cv=splits_of(fold), tol=1e-12).fit(X, y, s)
    plain = gs.LassoCV(alphas=ALPHAS, cv=splits_of(fold[repeated]), tol=1e-12)
    plain.fit(X[repeated], y[repeated])
    assert weighted.cv_results_.folds == pytest.approx(plain.cv_results_.folds, abs=1e-9)
    assert weighted.coef_ == pytest.approx(plain.coef_, abs=1e-7)
    by_bic = [
        gs.LassoCV(alphas=ALPHAS, selection="aic").fit(X, y, s > 0).cv_results_.mean,
        gs.LassoCV(alphas=ALPHAS, selection="aic").fit(X[s > 0], y[s > 0]).cv_results_.mean,
    ]
    assert by_bic[0] == pytest.approx(by_bic[1])


def splits_of(fold: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def test_every_fold_standardises_by_its_own_samples(data: Data) -> None:
    X, y = data
    X = X * np.linspace(1, 5, 60)[:, None]
    splits = list(KFold(3).split(X))
    folds = (
        gs.LassoCV(alphas=ALPHAS, cv=splits, standardise=True, tol=1e-12)
        .fit(X, y)
        .cv_results_.folds
    )
    for k, (train, test) in enumerate(splits):
        scale = X[train].std(axis=0)
        expected = plain_curve(X / scale, y, np.array(ALPHAS), [(train, test)])
        assert folds[:, k] == pytest.approx(expected[:, 0], abs=1e-6)


def test_several_targets(data: Data) -> None:
    X, y = data
    Y = np.column_stack([y, y + X[:, 3]])
    model = gs.MultiTaskLassoCV(alphas=ALPHAS, cv=3, tol=1e-12).fit(X, Y)
    for i, alpha in enumerate(ALPHAS):
        peer = [
            sk.MultiTaskLasso(alpha, tol=1e-12).fit(X[train], Y[train]).predict(X[test]) - Y[test]
            for train, test in KFold(3).split(X)
        ]
        expected = [np.mean((r**2).sum(axis=1)) / 2 for r in peer]
        assert model.cv_results_.folds[i] == pytest.approx(expected, abs=1e-6)


# -- information criteria


@pytest.mark.parametrize("criterion", ["aic", "bic", "ebic"])
def test_criteria_of_least_squares(criterion: str, data: Data) -> None:
    """n log(RSS / n) + price * df, and the logarithm of the number of models of that size."""
    X, y = data
    model = gs.LassoCV(alphas=ALPHAS, selection=criterion, tol=1e-12).fit(X, y)
    for alpha, found in zip(ALPHAS, model.cv_results_.mean, strict=True):
        fit = sk.Lasso(alpha, tol=1e-12).fit(X, y)
        df = np.count_nonzero(fit.coef_)
        expected = 60 * np.log(np.mean((y - fit.predict(X)) ** 2))
        expected += df * (2 if criterion == "aic" else np.log(60))
        if criterion == "ebic":
            expected += 2 * (gammaln(13) - gammaln(df + 1) - gammaln(13 - df))
        assert found == pytest.approx(expected, abs=1e-5)
    assert model.alpha_ == ALPHAS[int(np.argmin(model.cv_results_.mean))]
    assert model.cv_results_.folds.shape == (4, 0)


def test_criterion_of_a_likelihood(data: Data) -> None:
    """-2 log-likelihood + log(n) df."""
    X, y = data
    labels = (y > 0).astype(int)
    model = gs.SparseLogisticCV(alphas=ALPHAS, selection="bic").fit(X, labels)
    for i, found in enumerate(model.cv_results_.mean):
        z = X @ model.path_.coefs[i] + model.path_.intercepts[i]
        likelihood = np.sum(labels * z - np.logaddexp(0, z))
        df = np.count_nonzero(model.path_.coefs[i])
        assert found == pytest.approx(-2 * likelihood + np.log(60) * df)


def test_a_criterion_does_not_choose_interpolation(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((20, 80)), rng.standard_normal(20)
    model = gs.LassoCV(selection="aic", alpha_min_ratio=1e-4).fit(X, y)
    assert np.count_nonzero(model.coef_) < 19


# -- economy


def test_folds_copy_no_matrix() -> None:
    """Three folds of a 16 MB matrix: all that is allocated is less than half of it."""
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((200, 10_000)))
    y = X[:, 0] + rng.standard_normal(200)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(1.0))
    assert np.shares_memory(problem.X, X)
    assert np.shares_memory(problem.with_weights(np.r_[np.zeros(100), np.ones(100)]).X, X)
    # held-out rows, 1/8 of X each, are read in one piece
    splits = [(np.arange(25, 200), np.arange(25))] * 3
    model = gs.LassoCV(n_alphas=3, alpha_min_ratio=0.5, cv=splits).fit(X, y)
    tracemalloc.start()
    try:
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 2, f"{peak / X.nbytes:.2f} times the matrix"


def test_interrupted_folds_leave_the_choice_to_those_finished(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve, calls = cv_module._fold_curve, []

    def third_is_interrupted(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return curve(*arguments, **named)

    monkeypatch.setattr(cv_module, "_fold_curve", third_is_interrupted)
    with pytest.warns(gs.ConvergenceWarning, match="first 2 of 5 folds"):
        model = gs.LassoCV(alphas=ALPHAS).fit(*data)
    assert model.cv_results_.folds.shape == (4, 2) and model.certificate_.holds


def test_verbose_prints_a_line_a_strength(data: Data, capsys: Any) -> None:
    gs.LassoCV(alphas=ALPHAS, verbose=1).fit(*data)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and lines[0].startswith("alpha 0.5: ")
    assert "certificate" in lines[0] and "objective" in lines[0]
