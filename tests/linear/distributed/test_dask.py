"""dask arrays and data frames in estimators; no cluster is needed for most of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

import gossamer as gs
from gossamer.core.errors import UnsupportedProblem
from gossamer.linear.distributed import connected, map_tasks

N, P = 600, 12


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(name="X")
def rows_of_numbers(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((N, P)) + 0.3


def labels(X: np.ndarray) -> np.ndarray:
    return np.where(X[:, 0] - X[:, 2] + np.sin(np.arange(len(X))) > 0, "yes", "no")


MODELS = [
    gs.Lasso(0.1),
    gs.Lasso(0.1, standardise=True, nonnegative=True),
    gs.GroupLasso(0.1, groups=list(np.arange(P) // 3)),
    gs.MCPRegressor(0.2),
    gs.SparsePoisson(0.05),
    gs.SparseModel(gs.losses.Huber(), gs.L1(0.1)),
    gs.SparseLogistic(0.02),
    gs.SparseLogistic(0.02, penalty="mcp"),
    gs.SparseLogistic(0.02, groups=list(np.arange(P) // 3), standardise=True),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("frame", [False, True], ids=["array", "frame"])
def test_a_dask_collection_gives_the_fit_of_its_rows(
    model: Any, frame: bool, X: np.ndarray
) -> None:
    is_classifier = hasattr(model, "predict_proba")
    y = labels(X) if is_classifier else np.abs(X[:, 0] - X[:, 3]).round()
    weights = 1.0 + np.arange(N) % 3
    model.set_params(tol=1e-11)
    expected = type(model)(**model.get_params()).fit(X, y, weights)
    if frame:
        columns = [f"c{j}" for j in range(P)]
        table = pd.DataFrame(X, columns=columns).assign(y=y, s=weights)
        rows = dd.from_pandas(table, npartitions=4)
        model.fit(rows[columns], rows["y"], rows["s"])
        assert model.feature_names_in_.tolist() == columns
    else:
        model.fit(da.from_array(X, chunks=(250, 5)), da.from_array(y, chunks=100), weights)
    assert model.coef_ == pytest.approx(expected.coef_, abs=1e-5)
    assert model.intercept_ == pytest.approx(expected.intercept_, abs=1e-5)
    found, known = model.certificate_, expected.certificate_
    assert found.holds and found.objective == pytest.approx(known.objective, abs=1e-9)
    if is_classifier:
        assert model.classes_.tolist() == ["no", "yes"]
    columns_of_rows = pd.DataFrame(X, columns=columns) if frame else X
    if is_classifier:
        assert (model.predict(columns_of_rows) == expected.predict(X)).mean() > 0.99
    else:
        assert model.predict(columns_of_rows) == pytest.approx(expected.predict(X), abs=1e-4)


@pytest.mark.parametrize("model", [gs.LassoCV(), gs.SparsePoissonCV(penalty="elasticnet")], ids=str)
@pytest.mark.parametrize("selection", ["min", "1se", "ebic", "gcv"])
def test_the_strength_is_chosen_as_in_one_process(
    model: Any, selection: str, X: np.ndarray
) -> None:
    y = np.abs(X[:, 0] - X[:, 3]).round()
    dealt = [(np.flatnonzero(np.arange(N) % 3 != i), np.arange(i, N, 3)) for i in range(3)]
    model.set_params(n_alphas=8, selection=selection, tol=1e-9)
    expected = type(model)(**model.get_params()).set_params(cv=dealt).fit(X, y)
    # the folds are dealt out within blocks, here of a multiple of their number
    model.set_params(cv=3).fit(da.from_array(X, chunks=(150, P)), y)
    assert model.alpha_ == pytest.approx(expected.alpha_, rel=1e-6)
    assert model.cv_results_.mean == pytest.approx(expected.cv_results_.mean, rel=1e-5)
    assert model.coef_ == pytest.approx(expected.coef_, abs=1e-5)


def test_predictions_stay_where_the_rows_are(X: np.ndarray) -> None:
    model = gs.SparseLogistic(0.02).fit(X, labels(X))
    rows = da.from_array(X, chunks=(200, P))
    lazy = model.predict(rows)
    assert isinstance(lazy, da.Array)
    assert (lazy.compute() == model.predict(X)).all()
    names = [f"c{j}" for j in range(P)]
    table = pd.DataFrame(X, columns=names)
    model = gs.Lasso(0.1).fit(table, X[:, 0])
    lazy = model.predict(dd.from_pandas(table, npartitions=3))
    assert lazy.compute() == pytest.approx(model.predict(table))


def test_bad_collections_are_refused(X: np.ndarray) -> None:
    rows, y = da.from_array(X, chunks=(200, P)), X[:, 0]
    with pytest.raises(ValueError, match="y has 10 samples, but X has 600"):
        gs.Lasso().fit(rows, y[:10])
    with pytest.raises(ValueError, match="y has 10 samples, but X has 600"):
        gs.Lasso().fit(rows, da.from_array(y[:10]))
    with pytest.raises(ValueError, match="2-D"):
        gs.Lasso().fit(rows[:, 0], y)
    with pytest.raises(ValueError, match="one class only"):
        gs.SparseLogistic().fit(rows, np.ones(N))
    with pytest.raises(ValueError, match="no finite intercept"):
        gs.SparsePoisson().fit(rows, np.zeros(N))
    with pytest.raises(UnsupportedProblem, match="sums over rows of one output"):
        gs.SparseLogistic().fit(rows, np.arange(N) % 3)
    with pytest.raises(ValueError, match="whole number >= 2"):
        gs.LassoCV(cv=None).fit(rows, y)
    with pytest.raises(ValueError, match="sizes of the blocks"):
        gs.Lasso().fit(dd.from_pandas(pd.DataFrame(X), npartitions=2), y)
    with pytest.raises(ValueError, match="finite and >= 0"):
        gs.SparsePoisson().fit(rows, np.abs(y), -np.ones(N))
    X[3, 4] = np.inf
    with pytest.raises(ValueError, match="column 4"):
        gs.SparsePoisson().fit(da.from_array(X, chunks=(200, P)), np.abs(y))
    with pytest.raises(ValueError, match="NaN or inf"):
        gs.Lasso().fit(da.from_array(X, chunks=(200, P)), y)


def test_a_wrong_address_is_named() -> None:
    with pytest.raises(ConnectionError, match="no Dask scheduler answers"):
        with connected("tcp://127.0.0.1:1", timeout=0.5):
            pass


def test_independent_fits_are_tasks(X: np.ndarray) -> None:
    fits = map_tasks(fit_at, [0.05, 0.2], X, X[:, 0])
    assert [len(support) for support in fits] == [1, 1]


def fit_at(alpha: float, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.flatnonzero(gs.Lasso(alpha).fit(X, y).coef_)
