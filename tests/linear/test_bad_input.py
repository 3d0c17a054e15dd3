"""Bad input ends in an error that names it, hard input in the right answer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

import gossamer as gs
from gossamer.linear import ElasticNet

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    X = rng.standard_normal((30, 5))
    return X, X[:, 0] + 0.1 * rng.standard_normal(30)


def with_value(array: np.ndarray, value: float) -> np.ndarray:
    changed = array.copy()
    changed.flat[7] = value
    return changed


# -- arguments of the estimator


@pytest.mark.parametrize(
    "model, error, message",
    [
        (gs.SparseModel(gs.losses.Cox()), TypeError, r"use SparseCox"),
        (gs.Lasso(-1), ValueError, r"alpha must be a finite number >= 0, got -1"),
        (gs.Lasso(np.nan), ValueError, r"alpha must be a finite number >= 0, got nan"),
        (gs.Lasso(np.inf), ValueError, r"alpha must be a finite number >= 0, got inf"),
        (gs.Lasso("0.1"), ValueError, r"alpha must be a finite number >= 0, got '0.1'"),
        (gs.Lasso(None), ValueError, r"alpha must be a finite number >= 0, got None"),
        (gs.Lasso(tol=-1.0), ValueError, r"tol must be a finite number >= 0, got -1.0"),
        (gs.Lasso(max_iter=0), ValueError, r"max_iter must be a whole number >= 1, got 0"),
        (gs.Lasso(max_iter=1.5), ValueError, r"max_iter must be a whole number >= 1, got 1.5"),
        (gs.Lasso(solver="newton"), ValueError, r"solver 'newton' is not known.*activesetnewton"),
        (gs.Lasso(weights=[1, 2]), ValueError, r"weights has 2 entries, but there are 5 units"),
        (gs.Lasso(weights=[-1] * 5), ValueError, r"weights must be .* >= 0"),
        (ElasticNet(l1_ratio=1.1), ValueError, r"l1_ratio must be in \[0, 1\], got 1.1"),
        (
            gs.SparseGroupLasso(groups=list("aabbc"), l1_ratio=-0.1),
            ValueError,
            r"l1_ratio must be a number in \[0, 1\], got -0.1",
        ),
        (gs.GroupLasso(groups=[0, 1]), ValueError, r"groups cover 2 features, but X has 5"),
        (gs.GroupLasso(groups=[[0, 1], [4, 3]]), ValueError, r"groups .* features \[2\]"),
        (gs.GroupLasso(groups=[[0, 1, 2], [2, 3, 4]]), ValueError, r"groups .* features \[2\]"),
        (gs.GroupLasso(groups=[["a"], ["b"]]), ValueError, r"X has no column names: pass a Data"),
        (gs.MCPRegressor(gamma=0.0), ValueError, r"gamma must be .*0"),
        (gs.SCADRegressor(gamma=2.0), ValueError, r"gamma must be .*2"),
        (gs.LassoCV(cv=1), ValueError, r"n_splits=1"),
        (gs.LassoCV(cv=31), ValueError, r"n_splits=31"),
        (gs.LassoCV(cv=[(np.arange(30), np.array([], int))]), ValueError, r"without held-out"),
        (gs.LassoCV(cv=[([], np.arange(30))]), ValueError, r"without training"),
        (gs.LassoCV(alphas=[0.1, -1]), ValueError, r"alphas must be finite numbers >= 0"),
        (gs.LassoCV(alphas=[]), ValueError, r"alphas must be .* at least one"),
        (gs.LassoCV(n_alphas=0), ValueError, r"n_alphas must be a whole number >= 1, got 0"),
        (gs.LassoCV(alpha_min_ratio=2.0), ValueError, r"alpha_min_ratio must be .*got 2.0"),
        (gs.LassoCV(selection="cv"), ValueError, r"selection must be one of min, 1se, .*'cv'"),
        (gs.SparseModel(loss=0.1), TypeError, r"loss must be a name such as .*, got 0.1"),
        (gs.SparseModel(penalty="l1"), TypeError, r"penalty must be a Penalty .*'l1'"),
        (gs.SparseModelCV(penalty=gs.L1), TypeError, r"penalty must be a Penalty"),
        (
            gs.SparseModel(penalty=gs.L1(0.1), nonnegative=True),
            ValueError,
            r"nonnegative has no effect beside a penalty object",
        ),
        (gs.SparseModel(weights=[0] * 5), ValueError, r"weights has no effect"),
    ],
)
def test_an_argument_is_refused(model: Any, error: type, message: str, data: Data) -> None:
    with pytest.raises(error, match=message):
        model.fit(*data)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"penalty": "scadd"}, ValueError, r"penalty 'scadd' is not known. Did you mean 'scad'"),
        ({"penalty": None}, TypeError, r"penalty must be a name .* got None"),
        ({"penalty_params": {"q": 0.5}}, ValueError, r"\['q'\], but 'l1' takes none"),
        (
            {"penalty": "mcp", "penalty_params": {"gama": 2}},
            ValueError,
            r"\['gama'\], but 'mcp' takes \['gamma'\]",
        ),
        ({"penalty": gs.MCP(1.0), "groups": list("aabbc")}, ValueError, r"groups has no effect"),
    ],
)
def test_a_named_penalty_is_refused(
    arguments: dict[str, Any], error: type, message: str, data: Data
) -> None:
    X, y = data
    with pytest.raises(error, match=message):
        gs.SparseLogistic(**arguments).fit(X, y > 0)


# -- data


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("model", [gs.Lasso(0.1), gs.LassoCV()])
def test_missing_values_are_refused(model: Any, value: float, data: Data) -> None:
    X, y = data
    for bad in (with_value(X, value), sparse.csr_array(with_value(X, value))):
        with pytest.raises(ValueError, match=r"X contains (NaN|infinity)"):
            model.fit(bad, y)
    with pytest.raises(ValueError, match=r"y contains (NaN|infinity)"):
        model.fit(X, with_value(y, value))
    with pytest.raises(ValueError, match=r"X contains (NaN|infinity)"):
        model.fit(X, y).predict(with_value(X, value))


def test_shapes_are_refused(data: Data) -> None:
    X, y = data
    model = gs.Lasso(0.1)
    for bad_X, bad_y, message in (
        (X[:0], y[:0], "0 sample"),
        (X[:, :0], y, "0 feature"),
        (X[:, 0], y, "Expected 2D array"),
        (X[None], y, "dim 3"),
        (X, y[:-1], r"inconsistent numbers of samples: \[30, 29\]"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(bad_X, bad_y)
    with pytest.raises(ValueError, match=r"y must have shape \(n, K\)"):
        gs.MultiTaskLasso().fit(X, y)
    with pytest.raises(ValueError, match="1d array"):
        gs.SparseLogistic().fit(X, np.column_stack([y > 0, y > 0]))
    with pytest.raises(ValueError, match=r"offset must have shape \(30,\)"):
        model.fit(X, y, offset=np.ones(3))
    with pytest.raises(ValueError, match=r"offset must have shape \(30,\)"):
        model.fit(X, y).predict(X, offset=np.ones(3))
    for weights in (-np.ones(30), np.zeros(30), np.ones(3), np.full(30, np.nan)):
        with pytest.raises(ValueError, match=r"[sS]ample.?weight"):
            model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": ["x", "y"]}),
        pd.DataFrame({"a": pd.Categorical(["x", "y"])}),
        pl.DataFrame({"a": ["x", "y"]}),
        np.array([["x"], ["y"]], dtype=object),
    ],
)
def test_text_is_refused_with_the_encoder_as_remedy(frame: Any) -> None:
    with pytest.raises(ValueError, match=r"must be numeric: .*'x'.*TableEncoder"):
        gs.Lasso().fit(frame, [1.0, 2.0])


def test_other_columns_than_in_fit_are_refused(data: Data) -> None:
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcde"))
    model = gs.Lasso(0.1).fit(frame, y)
    with pytest.raises(ValueError, match="same order"):
        model.predict(frame[list("edcba")])
    with pytest.raises(ValueError, match=r"now missing:\s+- e"):
        model.predict(frame[list("abcd")])
    with pytest.raises(ValueError, match="X has 3 features, but Lasso is expecting 5"):
        gs.Lasso(0.1).fit(X, y).predict(X[:, :3])
    with pytest.raises(NotFittedError):
        gs.Lasso().predict(X)


@pytest.mark.parametrize("model", [gs.SparseLogistic(), gs.SparseLogisticCV()])
def test_one_class_is_refused(model: Any, data: Data) -> None:
    X, _ = data
    with pytest.raises(ValueError, match="y has one class only, 'no'"):
        model.fit(X, ["no"] * 30)


def test_targets_outside_the_loss_are_refused(data: Data) -> None:
    X, y = data
    with pytest.raises(ValueError, match="y must be >= 0 for the Poisson loss"):
        gs.SparsePoisson().fit(X, y)
    with pytest.raises(ValueError, match="continuous"):
        gs.SparseLogistic().fit(X, y)


# -- hard, but right


def test_one_row_is_the_null_model() -> None:
    model = gs.Lasso(0.1).fit([[1.0, 2.0]], [3.0])
    assert model.predict([[5.0, 5.0]]) == pytest.approx([3.0])
    assert not model.coef_.any() and model.certificate_.holds


@pytest.mark.parametrize("model", [gs.Lasso(0.1), gs.LassoCV(), gs.SparsePoisson(0.1)])
def test_constant_target(model: Any, data: Data) -> None:
    X, _ = data
    model.fit(X, np.full(30, 2.0))
    assert not model.coef_.any() and model.certificate_.holds
    assert model.predict(X) == pytest.approx(np.full(30, 2.0), abs=1e-7)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_columns_that_say_nothing(standardise: bool, container: Any, data: Data) -> None:
    """Constant and zero columns get zero; a copy of a column changes no prediction."""
    X, y = data
    wide = np.column_stack([X, np.ones(30), np.zeros(30), X[:, 0]])
    model = gs.Lasso(0.1, standardise=standardise, tol=1e-12).fit(container(wide), y)
    plain = gs.Lasso(0.1, standardise=standardise, tol=1e-12).fit(X, y)
    assert not model.coef_[5:7].any()
    # the lasso's predictions are unique although the coefficients of copies are not
    assert model.predict(container(wide)) == pytest.approx(plain.predict(X), abs=1e-8)


@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_nothing_but_zeros(container: Any, data: Data) -> None:
    _, y = data
    X = container(np.zeros((30, 3)))
    for model in (gs.Lasso(0.1), gs.LassoCV(), gs.GroupLasso(0.1, groups=[0, 0, 1])):
        model.fit(X, y)
        assert not model.coef_.any() and model.intercept_ == pytest.approx(y.mean())
    share = gs.SparseLogistic(0.1).fit(X, y > 0).predict_proba(X)[:, 1]
    assert share == pytest.approx(np.full(30, (y > 0).mean()))


def test_wide_and_short(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((20, 100_000)), rng.standard_normal(20)
    model = gs.Lasso(0.1).fit(X, y)
    assert model.certificate_.holds and 0 < np.count_nonzero(model.coef_) <= 20


def test_wide_indices_of_a_sparse_matrix(data: Data) -> None:
    X, y = data
    csc = sparse.csc_array(X)
    wide = sparse.csc_array(
        (csc.data, csc.indices.astype(np.int64), csc.indptr.astype(np.int64)), shape=X.shape
    )
    assert wide.indices.dtype == np.int64
    assert gs.Lasso(0.1).fit(wide, y).coef_ == pytest.approx(gs.Lasso(0.1).fit(X, y).coef_)
    counts = sparse.csr_array((X > 0).astype(int))
    expected = gs.Lasso(0.01).fit(counts.toarray(), y).coef_
    assert gs.Lasso(0.01).fit(counts, y).coef_ == pytest.approx(expected)


def test_huge_strength_selects_nothing(data: Data) -> None:
    X, y = data
    for model in (gs.Lasso(1e200), gs.MCPRegressor(1e100), gs.GroupLasso(1e200)):
        model.fit(X, y)
        assert not model.coef_.any() and model.certificate_.holds


def test_without_penalty_it_is_least_squares(data: Data) -> None:
    X, y = data
    for model in (gs.Lasso(0), gs.GroupLasso(0.0, groups=[0, 0, 1, 1, 1]), gs.MCPRegressor(0.0)):
        model.set_params(tol=1e-14).fit(X, y)
        expected = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(), rcond=None)[0]
        # a gap of 1e-14 leaves its square root in the coefficients
        assert model.coef_ == pytest.approx(expected, abs=1e-6)
        assert model.certificate_.holds


def test_without_penalty_wide_data_are_interpolated(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((20, 60)), rng.standard_normal(20)
    model = gs.Lasso(0.0, tol=1e-12).fit(X, y)
    assert model.predict(X) == pytest.approx(y, abs=1e-6)
    assert model.certificate_.holds and model.certificate_.kind == "global"


def test_no_tolerance_ends(data: Data) -> None:
    """tol=0 asks for more than floating point holds: it ends, and says so if it fell short."""
    X, y = data
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = gs.Lasso(0.1, tol=0.0).fit(X, y)
    assert model.certificate_.value <= 1e-14
    short = [w.category for w in caught]
    assert short == ([] if model.certificate_.holds else [gs.ConvergenceWarning])


@pytest.mark.parametrize(
    "scale, shift",
    [
        (1e-8, 0.0),
        (1e-8, 100.0),
        (1e-3, 100.0),
        (1e2, 0.0),
        (1e3, 100.0),
        (1e5, 0.0),
        (1e8, 100.0),
    ],
)
def test_units_of_the_target_do_not_matter(scale: float, shift: float, data: Data) -> None:
    X, y = data
    plain = gs.Lasso(0.1, tol=1e-10).fit(X, y)
    model = gs.Lasso(0.1 * scale, tol=1e-10).fit(X, scale * (y + shift))
    assert model.coef_ / scale == pytest.approx(plain.coef_, abs=1e-7)
    assert model.intercept_ / scale - shift == pytest.approx(plain.intercept_, abs=1e-7)
    null = plain.certificate_.null_objective * scale**2
    assert model.certificate_.null_objective == pytest.approx(null)


def test_interrupted_fit_keeps_what_it_has(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    from gossamer.solvers import working_set

    X, y = data
    calls, certify = [], working_set.certify

    def impatient(*arguments: Any, **named: Any) -> Any:
        calls.append(None)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return certify(*arguments, **named)

    monkeypatch.setattr(working_set, "certify", impatient)
    with pytest.warns(gs.ConvergenceWarning, match="interrupted by the user"):
        model = gs.SparseLogistic(0.01, tol=1e-15, max_iter=50).fit(X, y + X[:, 1] ** 2 > 0.5)
    assert not model.certificate_.holds
    assert model.coef_.any() and len(model.predict(X)) == 30


def test_giving_up_early_says_so(rng: np.random.Generator) -> None:
    X = rng.standard_normal((50, 500))
    y = X[:, :20].sum(axis=1) + rng.standard_normal(50)
    with pytest.warns(gs.ConvergenceWarning, match=r"iteration limit.*Raise max_iter"):
        model = gs.Lasso(0.001, tol=1e-14, max_iter=1).fit(X, y)
    assert model.certificate_.value > model.certificate_.tol and model.n_iter_ == 1
