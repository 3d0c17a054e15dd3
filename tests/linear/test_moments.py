"""Moments: against longdouble sums, and the small problem against the one of the rows."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.model_selection import KFold, ShuffleSplit, TimeSeriesSplit

import gossamer as gs
from gossamer.linear import Moments, base, folds, moments

N = 12_000  # of several blocks of rows, and tall enough for moments to be taken unasked


def reference(
    X: np.ndarray, y: np.ndarray, s: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the rows (x, y), in extended precision."""
    rows = np.column_stack([X, y]).astype(np.longdouble)
    s = np.ones(len(rows)) if s is None else s
    mean = s @ rows / s.sum()
    rows -= mean
    return mean.astype(float), ((rows.T * s) @ rows / s.sum()).astype(float)


def assert_moments(found: Moments, mean: np.ndarray, covariance: np.ndarray, rel: float) -> None:
    scale = np.sqrt(np.diag(covariance))
    assert (np.abs(found.mean - mean) < 1e-13 * scale + 1e-14 * np.abs(mean)).all()
    error = np.abs(found.scatter / found.weight - covariance) / np.outer(scale, scale)
    assert error.max() < rel


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.standard_normal((N, 8)) @ rng.standard_normal((8, 8)) + np.arange(8)
    return X, X[:, 0] - X[:, 3] + rng.standard_normal(N) + 10


# -- the sums


CONTAINERS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "float32": lambda X: X.astype(np.float32),
    "CSR": sparse.csr_array,
    "CSC": sparse.csc_array,
    "data frame": pd.DataFrame,
}


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_those_of_the_rows(
    container: Any, weighted: bool, data: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    X, y = data
    s = rng.integers(0, 3, N) / 7 if weighted else None
    X = X.astype(np.float32).astype(float)  # so that every container holds the same numbers
    found = Moments().update(container(X), y, s)
    assert_moments(found, *reference(X, y, s), rel=1e-13)
    assert found.count == (N if s is None else (s > 0).sum())
    assert found.weight == pytest.approx(N if s is None else s.sum())


@pytest.mark.parametrize(("mean", "rel"), [(1e3, 1e-13), (1e6, 1e-11), (1e8, 1e-9)])
def test_a_large_mean_leaves_the_deviations(
    mean: float, rel: float, rng: np.random.Generator
) -> None:
    """Uncentred sums of squares would be wrong by ``1e-16 mean^2``: by all at a mean of 1e8."""
    X = rng.standard_normal((N, 4)) + mean
    y = X[:, 0] - mean + rng.standard_normal(N)
    found = Moments().update(X, y)
    assert_moments(found, *reference(X, y), rel=rel)


def test_a_drifting_mean_leaves_the_deviations(rng: np.random.Generator) -> None:
    X = rng.standard_normal((N, 2)) + np.linspace(-1e5, 1e5, N)[:, None]
    y = rng.standard_normal(N)
    assert_moments(Moments().update(X, y), *reference(X, y), rel=1e-13)


def test_columns_of_any_scale_are_kept(rng: np.random.Generator) -> None:
    X = rng.standard_normal((N, 5)) * np.geomspace(1e-9, 1e9, 5)
    y = rng.standard_normal(N)
    found = Moments().update(X, y)
    mean, covariance = reference(X, y)
    assert_moments(found, mean, covariance, rel=1e-13)
    small = Moments().update(*found.table())
    assert_moments(small, mean, covariance, rel=1e-13)


def test_batches_merge_to_the_whole(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    found = Moments()
    for rows in np.split(np.arange(N), [1, 2, 700, 9000]):  # a single row is a batch
        found.merge(Moments().update(X[rows], y[rows]))
    assert_moments(found, *reference(X, y), rel=1e-13)
    before = found.scatter.copy()
    assert found.merge(Moments()).scatter == pytest.approx(before, abs=0)


def test_parts_are_read_in_one_pass(
    data: tuple[np.ndarray, np.ndarray], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data
    part_of = rng.integers(0, 3, N)
    read, reader = [], moments._Reader.moments
    monkeypatch.setattr(moments._Reader, "moments", lambda *a: read.append(len(a[2])) or reader(*a))
    parts = moments.moments_by_part(X, y, None, None, part_of, 3)
    assert sum(read) == N
    for number, part in enumerate(parts):
        assert_moments(part, *reference(X[part_of == number], y[part_of == number]), rel=1e-13)


def test_an_offset_is_subtracted(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    offset = np.sin(np.arange(N))
    found = Moments().update(X, y, offset=offset)
    assert_moments(found, *reference(X, y - offset), rel=1e-13)


def test_moments_are_saved(data: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    found = Moments().update(*data)
    gs.save(found, tmp_path / "moments.gossamer")
    again = gs.load(tmp_path / "moments.gossamer")
    assert (again.scatter == found.scatter).all() and (again.mean == found.mean).all()
    assert (again.weight, again.count, again.n_features) == (N, N, 8)


# -- the small problem


PENALTIES = [
    gs.L1(0.1),
    gs.L1(0.1, weights=np.r_[0.0, np.ones(7)]),
    gs.ElasticNet(0.1, l1_ratio=0.3),
    gs.L1(0.1, on=gs.Groups([0, 0, 1, 1, 2, 2, 3, 3])),
    gs.L1(0.05) + gs.L1(0.05, on=gs.Groups([0, 0, 1, 1, 2, 2, 3, 3])),
    gs.MCP(0.2),
    gs.Lq(0.1, q=0.5, nonnegative=True),
]


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: type(penalty).__name__)
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("standardise", [True, False])
def test_the_small_problem_judges_alike(
    penalty: Any, fit_intercept: bool, standardise: bool,
    data: tuple[np.ndarray, np.ndarray], rng: np.random.Generator,
) -> None:  # fmt: skip
    """Everything the certificate says of a point is the same, at arbitrary points."""
    X, y = data
    s = rng.random(N)
    whole = gs.Problem(
        X, y, gs.losses.Quadratic(), penalty, fit_intercept, s, standardise=standardise
    )
    small = (
        Moments()
        .update(X, y, s)
        .problem(penalty, fit_intercept=fit_intercept, standardise=standardise)
    )
    assert small.X.shape == (10, 8)
    assert small.strength_max() == pytest.approx(whole.strength_max(), rel=1e-12)
    for _ in range(3):
        coef = np.abs(rng.standard_normal(8)) * (rng.random(8) < 0.5)
        intercept = float(rng.standard_normal()) if fit_intercept else 0.0
        ours, theirs = small.certificate(coef, intercept), whole.certificate(coef, intercept)
        for name in ("objective", "null_objective", "violation", "value", "gap"):
            expected = pytest.approx(getattr(theirs, name), rel=1e-10, nan_ok=True)
            assert getattr(ours, name) == expected, name
        assert ours.support.tolist() == theirs.support.tolist()


def test_several_targets(rng: np.random.Generator) -> None:
    X = rng.standard_normal((N, 6))
    Y = X[:, :2] @ rng.standard_normal((2, 3)) + rng.standard_normal((N, 3))
    penalty = gs.L1(0.1, on=gs.Rows())
    small = Moments().update(X, Y).problem(penalty)
    result = small.solve(tol=1e-12)
    whole = gs.Problem(X, Y, gs.losses.Quadratic(), penalty)
    assert whole.certificate(result.coef, result.intercept).value < 1e-12


def test_dependent_and_constant_columns(rng: np.random.Generator) -> None:
    X = rng.standard_normal((N, 3))
    X = np.column_stack([X, X[:, 0], X.sum(axis=1), np.full(N, 0.1), np.zeros(N)])
    y = X[:, 0] + rng.standard_normal(N)
    found = Moments().update(X, y)
    table, _ = found.table()
    assert len(table) == 3 + 1 + 1  # the rank of (X, y), and one
    assert np.ptp(table[:, 5:], axis=0) == pytest.approx(0, abs=1e-16)
    for standardise in (False, True):
        result = found.problem(gs.L1(0.1), standardise=standardise).solve(tol=1e-10)
        whole = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1), standardise=standardise)
        assert whole.certificate(result.coef, result.intercept).value < 1e-10


def test_fewer_rows_than_columns(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((5, 20)), rng.standard_normal(5)
    result = Moments().update(X, y).problem(gs.L1(0.1)).solve(tol=1e-10)
    whole = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.1))
    assert whole.certificate(result.coef, result.intercept).value < 1e-10


def test_one_row_is_a_table() -> None:
    X, y = Moments().update([[1.0, 2.0]], [3.0]).table()
    assert X.tolist() == [[1.0, 2.0]] and y.tolist() == [[3.0]]


# -- estimators take moments where that is faster, and nothing else changes


def both(monkeypatch: pytest.MonkeyPatch, fit: Any) -> list[Any]:
    """What ``fit`` gives from the rows, and from their moments."""
    results = []
    for tall in (False, True):
        monkeypatch.setattr(base, "is_tall", lambda *_, tall=tall: tall)
        results.append(fit())
    return results


MODELS = [
    gs.Lasso(0.1),
    gs.Lasso(0.1, standardise=True),
    gs.Lasso(0.1, fit_intercept=False, nonnegative=True),
    gs.linear.ElasticNet(0.1),
    gs.GroupLasso(0.1, groups=["a", "a", "b", "b", "c", "c", "d", "d"]),
    gs.SparseGroupLasso(0.1, groups=["a", "a", "b", "b", "c", "c", "d", "d"]),
    gs.MCPRegressor(0.2, standardise=True),
    gs.SparseModel(penalty=gs.SCAD(0.2)),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_fit_is_the_same(
    model: Any, data: tuple[np.ndarray, np.ndarray], rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    s, offset = rng.integers(0, 3, N), rng.standard_normal(N)
    model.set_params(tol=1e-12)

    def fit() -> Any:
        model.fit(*data, s, offset=offset)
        return model.coef_, model.intercept_, model.certificate_

    (coef, intercept, certificate), small = both(monkeypatch, fit)
    # inside a group that is kept, a gap of 1e-12 leaves coefficients free by its root
    error = 1e-7 if "Group" in type(model).__name__ else 1e-9
    assert small[0] == pytest.approx(coef, abs=error)
    assert small[1] == pytest.approx(intercept, abs=10 * error)
    assert small[2].objective == pytest.approx(certificate.objective, rel=1e-12)
    assert small[2].holds and small[2].kind == certificate.kind


def test_tall_tables_take_moments_unasked(
    data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, table = [], Moments.table
    monkeypatch.setattr(Moments, "table", lambda self: calls.append(self.count) or table(self))
    X, y = data
    gs.Lasso(0.1).fit(X, y)
    gs.Lasso().path(X[:1000], y[:1000], n_alphas=10)
    gs.LassoCV(n_alphas=5, cv=2).fit(X[:1000], y[:1000])
    assert calls[:2] == [N, 1000] and calls[2:] == [1000, 500, 500, 500, 500]
    gs.Lasso(0.1).fit(X[:1000], y[:1000])  # one solution of a small table
    gs.Lasso(0.1).fit(sparse.csr_array(X), y)
    gs.SparsePoisson(0.1).fit(X / 100, np.round(np.abs(y)))
    assert len(calls) == 7


SPLITTERS = {
    "blocks": KFold(4),
    "shuffled": KFold(5, shuffle=True, random_state=0),
    "time": TimeSeriesSplit(3),
    "overlapping": ShuffleSplit(3, test_size=0.3, random_state=0),
    "many parts": ShuffleSplit(8, test_size=0.5, random_state=0),
}


@pytest.mark.parametrize("splitter", SPLITTERS.values(), ids=SPLITTERS)
def test_cross_validation_is_the_same(
    splitter: Any, data: tuple[np.ndarray, np.ndarray], rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    X, y = data[0][:2000], data[1][:2000]
    s, offset = rng.integers(0, 3, 2000), rng.standard_normal(2000)
    model = gs.LassoCV(cv=splitter, n_alphas=5, standardise=True, tol=1e-12, selection="1se")

    def fit() -> Any:
        model.fit(X, y, s, offset=offset)
        return model.cv_results_, model.alpha_, model.coef_

    (whole, alpha, coef), (small, small_alpha, small_coef) = both(monkeypatch, fit)
    assert small.folds == pytest.approx(whole.folds, rel=1e-9)
    assert small.mean == pytest.approx(whole.mean, rel=1e-9)
    assert small.se == pytest.approx(whole.se, rel=1e-7)
    assert small.index_1se == whole.index_1se and small_alpha == pytest.approx(alpha, rel=1e-12)
    assert small_coef == pytest.approx(coef, abs=1e-9)


def test_a_split_alone_is_read_alone() -> None:
    """Eight overlapping halves have more parts than are worth merging."""
    splits = list(ShuffleSplit(8, test_size=0.5, random_state=0).split(np.zeros((2000, 1))))
    assert len(folds._parts(2000, splits)[1]) > folds._MAX_PARTS
    assert len(folds._parts(2000, list(KFold(5).split(np.zeros((2000, 1)))))[1]) == 5


@pytest.mark.parametrize("selection", ["aic", "bic", "ebic"])
def test_criteria_count_the_rows(
    selection: str, data: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    s = np.arange(N) % 3
    model = gs.LassoCV(n_alphas=8, selection=selection, tol=1e-12)
    whole, small = both(monkeypatch, lambda: model.fit(*data, s).cv_results_)
    assert small.mean == pytest.approx(whole.mean, rel=1e-9)
    assert small.index == whole.index


def test_no_copy_of_a_tall_table() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200_000, 40)) + 100  # must be centred
    y = X[:, 0] + rng.standard_normal(len(X))
    model = gs.Lasso(0.1).fit(X, y)
    tracemalloc.start()
    try:
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 5, f"{peak / X.nbytes:.2f} times the matrix"


# -- refusals


def refusals() -> dict[str, tuple[Any, str]]:
    X, y = np.ones((3, 2)), np.ones(3)
    return {
        "NaN": (
            (np.where(X.cumsum(axis=0) == 2, np.nan, X), y),
            "X contains NaN or inf.* column 0",
        ),
        "infinite target": ((X, [1.0, np.inf, 1.0]), "y contains NaN or inf"),
        "overflow": ((X * 1e200, y), "squares overflow: rescale"),
        "lengths": ((X, np.ones(4)), "y has 4 samples, but X has 3"),
        "weights": ((X, y, [1.0, -1.0, 1.0]), "sample_weight must be finite and >= 0"),
        "shape of weights": ((X, y, [1.0]), r"sample_weight must have shape \(3,\), got \(1,\)"),
        "vector": ((y, y), "X must be 2-D"),
        "text": ((X, ["a", "b", "c"]), "y must be numeric"),
        "features": ((np.ones((3, 5)), y), "5 features and 1 targets, .* before had 2 and 1"),
    }


@pytest.mark.parametrize(("arguments", "message"), refusals().values(), ids=refusals())
def test_rows_are_refused_and_none_is_kept(arguments: Any, message: str) -> None:
    found = Moments().update([[1.0, 2.0], [3.0, 5.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match=message):
        found.update(*arguments)
    assert found.count == 2 and found.scatter[0, 0] == pytest.approx(2.0)


def test_no_rows_make_no_table() -> None:
    with pytest.raises(ValueError, match="no rows of positive weight: call update first"):
        Moments().table()
    assert Moments().update([[1.0]], [1.0], [0.0]).count == 0
