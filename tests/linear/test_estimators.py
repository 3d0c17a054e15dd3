"""Estimators against independent solutions, and as citizens of scikit-learn."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import linear_model as sk
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

import gossamer as gs
from gossamer.linear import ElasticNet

# scikit-learn's gap and gossamer's certificates end near 1e-12; their square roots are what is
# left in the coefficients
TOL = {"tol": 1e-12}
CLOSE = 1e-6

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    X = rng.standard_normal((50, 9)) + np.linspace(0, 2, 9)
    return X, X[:, 0] - 2 * X[:, 3] + X[:, 4] + rng.standard_normal(50)


def stores(X: np.ndarray) -> list[Any]:
    """The same matrix in every layout that is fitted without a copy."""
    return [
        np.ascontiguousarray(X),
        np.asfortranarray(X),
        sparse.csc_array(X),
        sparse.csr_matrix(X),
    ]


# -- scikit-learn's own models


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_lasso_and_elastic_net(
    fit_intercept: bool, weighted: bool, nonnegative: bool, data: Data
) -> None:
    X, y = data
    s = np.arange(50) % 4 if weighted else None
    shared = {"fit_intercept": fit_intercept, **TOL}
    pairs = (
        (gs.Lasso(0.1), sk.Lasso(0.1)),
        (ElasticNet(0.2, l1_ratio=0.7), sk.ElasticNet(0.2, l1_ratio=0.7)),
    )
    for ours, peer in pairs:
        peer.set_params(positive=nonnegative, max_iter=100_000, **shared)
        peer.fit(X, y, sample_weight=s)
        assert np.count_nonzero(peer.coef_) not in (0, 9)
        for store in stores(X):
            ours.set_params(nonnegative=nonnegative, **shared)
            ours.fit(store, y, sample_weight=s)
            assert ours.coef_ == pytest.approx(peer.coef_, abs=CLOSE)
            assert ours.intercept_ == pytest.approx(peer.intercept_, abs=CLOSE)
            assert ours.predict(store) == pytest.approx(peer.predict(X), abs=10 * CLOSE)
            assert ours.score(store, y) == pytest.approx(peer.score(X, y))
            assert ours.certificate_.holds and ours.certificate_.kind == "global"


def test_single_precision(data: Data) -> None:
    """float32 columns are not copied: the fit is that of the rounded numbers."""
    X, y = data
    X32 = X.astype(np.float32)
    peer = gs.Lasso(0.1, **TOL).fit(X32.astype(float), y)
    for store in stores(X32):
        model = gs.Lasso(0.1, tol=1e-6).fit(store, y)
        assert model.certificate_.holds
        assert model.coef_ == pytest.approx(peer.coef_, abs=1e-3)


def test_targets_of_several_columns(data: Data) -> None:
    X, y = data
    Y = np.column_stack([y, X[:, 1] - y])
    for store in stores(X):
        shared_rows = gs.MultiTaskLasso(0.3, **TOL).fit(store, Y)
        peer = sk.MultiTaskLasso(0.3, tol=1e-12, max_iter=100_000).fit(X, Y)
        assert shared_rows.coef_.shape == (2, 9)
        assert shared_rows.coef_ == pytest.approx(peer.coef_, abs=CLOSE)
        assert shared_rows.intercept_ == pytest.approx(peer.intercept_, abs=CLOSE)
        apart = gs.Lasso(0.3, **TOL).fit(store, Y)
        assert apart.coef_ == pytest.approx(sk.Lasso(0.3, **TOL).fit(X, Y).coef_, abs=CLOSE)
        assert apart.predict(store).shape == (50, 2)
    column = gs.Lasso(0.3).fit(X, y[:, None])
    assert column.predict(X).shape == (50, 1) and column.coef_.shape == (1, 9)


def logistic_peer(alpha: float, n: int, l1_ratio: float) -> sk.LogisticRegression:
    return sk.LogisticRegression(
        C=1 / (alpha * n), l1_ratio=l1_ratio, solver="saga", tol=1e-10, max_iter=200_000
    )


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_logistic_regression(n_classes: int, l1_ratio: float, data: Data) -> None:
    X, y = data
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    labels = np.array(["a", "b", "c"])[np.digitize(y, np.quantile(y, [0.4, 0.7])[: n_classes - 1])]
    peer = logistic_peer(0.05, 50, l1_ratio).fit(X, labels)
    model = gs.SparseLogistic(
        0.05, penalty="elasticnet", penalty_params={"l1_ratio": l1_ratio}, tol=1e-10
    )
    for store in stores(X):
        model.fit(store, labels)
        assert model.classes_.tolist() == peer.classes_.tolist()
        # saga ends with less accuracy than coordinate descent
        assert model.coef_ == pytest.approx(peer.coef_, abs=1e-4)
        assert model.predict_proba(store) == pytest.approx(peer.predict_proba(X), abs=1e-4)
        assert (model.predict(store) == peer.predict(X)).all()
    assert np.exp(model.predict_log_proba(X)) == pytest.approx(model.predict_proba(X))
    assert model.decision_function(X).shape == ((50,) if n_classes == 2 else (50, 3))


def test_features_for_all_classes_at_once(data: Data) -> None:
    X, y = data
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    model = gs.SparseLogistic(0.1, penalty=gs.L1(1.0, on=gs.Rows())).fit(X, labels)
    alive = model.coef_ != 0
    assert (alive.all(axis=0) | ~alive.any(axis=0)).all() and 0 < alive.any(axis=0).sum() < 9


def test_offset_is_exposure(rng: np.random.Generator) -> None:
    """Counts with an offset of log-exposure are rates weighted by the exposure."""
    X, exposure = rng.standard_normal((200, 3)), rng.uniform(0.5, 5, 200)
    counts = rng.poisson(exposure * np.exp(0.3 * X[:, 0] - 1))
    peer = sk.PoissonRegressor(alpha=0, tol=1e-10, max_iter=10_000)
    peer.fit(X, counts / exposure, sample_weight=exposure)
    model = gs.SparsePoisson(0.0, tol=1e-12).fit(X, counts, offset=np.log(exposure))
    assert model.coef_ == pytest.approx(peer.coef_, abs=1e-5)
    assert model.intercept_ == pytest.approx(peer.intercept_, abs=1e-5)
    assert model.predict(X, offset=np.log(exposure)) == pytest.approx(exposure * peer.predict(X))
    plain = gs.SparsePoisson(0.0, tol=1e-12).fit(X, counts)
    deviance = sk.PoissonRegressor(alpha=0, tol=1e-10, max_iter=10_000).fit(X, counts)
    assert plain.score(X, counts) == pytest.approx(deviance.score(X, counts), abs=1e-8)


# -- groups, against plain proximal gradient

LABELS = ["u", "v", "w", "u", "w", "w", "v", "u", "x"]


def solved(
    X: np.ndarray, y: np.ndarray, alpha: float, factors: dict[str, float], inner: float = 0.0
) -> tuple[np.ndarray, float]:
    """Coefficients and intercept: half mean square + alpha * norms of groups + inner * L1."""
    centred, target = X - X.mean(axis=0), y - y.mean()
    step = len(y) / np.linalg.norm(centred, 2) ** 2
    w = np.zeros(X.shape[1])
    for _ in range(3000):
        v = w - step * centred.T @ (centred @ w - target) / len(y)
        v = np.sign(v) * np.maximum(np.abs(v) - step * inner, 0)
        for name, factor in factors.items():
            members = [label == name for label in LABELS]
            size = np.linalg.norm(v[members])
            v[members] *= max(1 - step * alpha * factor / size, 0) if size > 0 else 0.0
        w = v
    return w, float(y.mean() - X.mean(axis=0) @ w)


@pytest.mark.parametrize("factors", [[1.0, 1.0, 1.0, 1.0], [2.0, 0.5, 0.0, 1.0]])
def test_group_lasso(factors: list[float], data: Data) -> None:
    """Groups need not be contiguous; a factor of zero leaves a group unpenalised."""
    X, y = data
    expected, intercept = solved(X, y, 0.5, dict(zip("uvwx", factors, strict=True)))
    members = {name: [j for j, label in enumerate(LABELS) if label == name] for name in "uvwx"}
    frame = pd.DataFrame(X, columns=list("abcdefghi"))
    columns = [[frame.columns[j] for j in group] for group in members.values()]
    for groups, given in (
        (LABELS, X),
        (members, X),
        (list(members.values()), sparse.csc_array(X)),
        (columns, frame),
        (dict(zip("uvwx", columns, strict=True)), pl.from_pandas(frame)),
    ):
        model = gs.GroupLasso(0.5, groups=groups, weights=factors, **TOL).fit(given, y)
        assert model.coef_ == pytest.approx(expected, abs=1e-5)
        assert model.intercept_ == pytest.approx(intercept, abs=1e-5)
        assert ((model.coef_ == 0) == (expected == 0)).all()
    assert 0 < np.count_nonzero(expected) < 9


def test_sparse_group_lasso(data: Data) -> None:
    X, y = data
    ones = dict.fromkeys("uvwx", 1.0)
    expected, _ = solved(X, y, 0.4 * 0.7, ones, inner=0.4 * 0.3)
    for store in stores(X):
        model = gs.SparseGroupLasso(0.4, groups=LABELS, l1_ratio=0.3, **TOL).fit(store, y)
        assert model.coef_ == pytest.approx(expected, abs=1e-5)
    lasso = gs.SparseGroupLasso(0.4, groups=LABELS, l1_ratio=1.0, **TOL).fit(X, y)
    assert lasso.coef_ == pytest.approx(gs.Lasso(0.4, **TOL).fit(X, y).coef_, abs=CLOSE)
    group = gs.SparseGroupLasso(0.4, groups=LABELS, l1_ratio=0.0, **TOL).fit(X, y)
    expected = gs.GroupLasso(0.4, groups=LABELS, **TOL).fit(X, y).coef_
    assert group.coef_ == pytest.approx(expected, abs=CLOSE)


def test_unpenalised_features(data: Data) -> None:
    """The lasso of what is left of the target and the columns after least squares on the free."""
    X, y = data
    weights = np.r_[0.0, 0.0, np.ones(7)]
    model = gs.Lasso(0.5, weights=weights, **TOL).fit(X, y)
    free = np.column_stack([X[:, :2], np.ones(50)])
    left = np.eye(50) - free @ np.linalg.pinv(free)
    peer = sk.Lasso(0.5, fit_intercept=False, tol=1e-14, max_iter=100_000)
    peer.fit(left @ X[:, 2:], left @ y)
    assert model.coef_[2:] == pytest.approx(peer.coef_, abs=CLOSE)
    rest = np.linalg.lstsq(free, y - X[:, 2:] @ peer.coef_, rcond=None)[0]
    assert model.coef_[:2] == pytest.approx(rest[:2], abs=1e-5)
    assert model.certificate_.holds and model.certificate_.kind == "global"


# -- standardise


@pytest.mark.parametrize(
    "model, y_of",
    [
        (gs.Lasso(0.2), lambda y: y),
        (gs.MCPRegressor(0.2), lambda y: y),
        (gs.SparseLogistic(0.05), lambda y: y > 0),
        (gs.GroupLasso(0.3, groups=LABELS), lambda y: y),
    ],
)
def test_standardise_is_a_standard_scaler(model: Any, y_of: Any, data: Data) -> None:
    X, y = data[0] * np.logspace(-2, 2, 9), y_of(data[1])
    scaler = StandardScaler().fit(X)
    peer = clone(model).set_params(**TOL).fit(scaler.transform(X), y)
    coef = peer.coef_ / scaler.scale_
    for store in stores(X):
        ours = clone(model).set_params(standardise=True, **TOL).fit(store, y)
        assert ours.coef_ * scaler.scale_ == pytest.approx(peer.coef_, abs=1e-5)
        shift = np.ravel(peer.intercept_ - coef @ scaler.mean_)
        assert np.ravel(ours.intercept_) == pytest.approx(shift, abs=1e-4)


# -- frames


@pytest.mark.parametrize("library", [pd.DataFrame, lambda X, columns: pl.DataFrame(X, columns)])
def test_frames(library: Any, data: Data) -> None:
    X, y = data
    frame = library(X, columns=list("abcdefghi"))
    model = gs.Lasso(0.1).fit(frame, y)
    assert model.feature_names_in_.tolist() == list("abcdefghi") and model.n_features_in_ == 9
    # a frame may hand over another memory order: sums round differently
    assert model.coef_ == pytest.approx(gs.Lasso(0.1).fit(X, y).coef_, abs=1e-12)
    assert model.predict(frame) == pytest.approx(X @ model.coef_ + model.intercept_)


# -- fitting again, copying, searching


def test_warm_start_continues(data: Data) -> None:
    X, y = data
    model = gs.SparseLogistic(0.01, warm_start=True).fit(X, y > 0)
    cold, coef = model.n_iter_, model.coef_
    first = model.result_.history[0][1]
    model.fit(X, y > 0)
    assert model.n_iter_ <= cold and model.coef_ == pytest.approx(coef)
    # the second fit begins where the first one ended
    assert model.result_.history[0][1] <= model.tol < first
    model.fit(X[:, :3], y > 0)  # another number of features: a fresh start
    assert model.coef_.shape == (1, 3)
    several = gs.Lasso(0.1, warm_start=True).fit(X[:, :6], y)
    assert several.fit(X[:, :3], np.column_stack([y, y])).coef_.shape == (2, 3)


def test_copies(data: Data) -> None:
    model = gs.GroupLasso(0.3, groups=LABELS, standardise=True).fit(*data)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (twin.predict(data[0]) == model.predict(data[0])).all()
        assert repr(twin.certificate_) == repr(model.certificate_)
    fresh = clone(model)
    assert not hasattr(fresh, "coef_") and fresh.get_params() == model.get_params()
    assert "alpha=0.3" in repr(fresh) and "tol" not in repr(fresh)
    assert fresh.set_params(alpha=0.5).alpha == 0.5


def test_search_and_pipeline(data: Data) -> None:
    X, y = data
    search = GridSearchCV(gs.Lasso(), {"alpha": [0.01, 0.1, 10.0]}, cv=3).fit(X, y)
    peer = GridSearchCV(sk.Lasso(), {"alpha": [0.01, 0.1, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_ == peer.best_params_
    assert search.best_score_ == pytest.approx(peer.best_score_, abs=1e-3)
    penalties = {"penalty": [gs.L1(0.1), gs.MCP(0.1)]}
    assert "penalty" in GridSearchCV(gs.SparseModel(), penalties, cv=3).fit(X, y).best_params_
    pipe = make_pipeline(MaxAbsScaler(), gs.LassoCV(n_alphas=5, cv=3)).fit(sparse.csr_array(X), y)
    assert pipe.predict(X).shape == (50,)


def test_estimators_are_independent(data: Data) -> None:
    """A fit changes no parameter, and no argument."""
    X, y = data
    arrays = (X.copy(), y.copy(), np.ones(50))
    model = gs.LassoCV(n_alphas=5, standardise=True)
    before = model.get_params()
    model.fit(*arrays)
    assert model.get_params() == before
    assert (arrays[0] == X).all() and (arrays[1] == y).all()


def test_verbose_prints(data: Data, capsys: Any) -> None:
    gs.Lasso(0.1, verbose=1).fit(*data)
    assert capsys.readouterr().out.startswith("alpha 0.1: ")
    gs.Lasso(0.1).fit(*data)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("regressor", [gs.MCPRegressor, gs.SCADRegressor])
def test_non_convex_regressors_leave_no_single_improvement(regressor: Any, data: Data) -> None:
    """No coefficient alone, over a fine grid, lowers the objective."""
    X, y = data
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    model = regressor(0.3, tol=1e-10).fit(X, y)
    assert model.certificate_.holds and model.certificate_.kind == "coordinate-wise"
    penalty = model._penalty(0.3)

    def objective(w: np.ndarray) -> float:
        r = y - y.mean() - X @ w
        return float(r @ r / 100 + penalty.value(w))

    best = objective(model.coef_)
    for j in range(9):
        for value in np.append(np.linspace(-4, 4, 401), 0.0):
            w = model.coef_.copy()
            w[j] = value
            assert objective(w) >= best - 1e-9
