"""Bad input gets a clear error, odd input the right answer."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from gossamer.core import Problem
from gossamer.core.design import Design
from gossamer.core.registry import LOSSES
from gossamer.losses import Huber, Logistic, Multinomial, Poisson, Quadratic
from gossamer.penalties import L1, MCP, ElasticNet
from gossamer.structures import Groups
from gossamer.testing import instances
from gossamer.testing.instances import plain_target

N, P = 30, 6


@pytest.fixture
def X(rng):  # noqa: N802
    return rng.standard_normal((N, P))


@pytest.fixture
def y(X, rng):
    return X[:, 0] + rng.standard_normal(N)


def _with(X, value):
    X = X.astype(float).copy()
    X[3, 2] = value
    return X


BAD_X = {
    "nan": (lambda X: _with(X, np.nan), "X contains NaN or inf.*column 2"),
    "inf": (lambda X: _with(X, np.inf), "X contains NaN or inf.*column 2"),
    "sparse nan": (lambda X: sparse.csc_array(_with(X, np.nan)), "X contains NaN or inf.*column 2"),
    "no rows": (lambda X: X[:0], "X is empty"),
    "no columns": (lambda X: X[:, :0], "X is empty"),
    "one dimension": (lambda X: X[:, 0], "X must be 2-D.*reshape"),
    "three dimensions": (lambda X: X[None], "X must be 2-D"),
    "complex": (lambda X: X + 1j, "X is complex"),
    "sparse complex": (lambda X: sparse.csc_array(X + 1j), "X is complex"),
    "words": (lambda X: np.full(X.shape, "a"), "X must be numeric"),
    "objects": (lambda X: np.array([["a", None]] * len(X), dtype=object), "X must be numeric"),
}


@pytest.mark.parametrize("name", BAD_X)
def test_bad_x(name, X, y):
    make, message = BAD_X[name]
    with pytest.raises(ValueError, match=message):
        Problem(make(X), y, Quadratic(), L1(0.1)).solve()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_in_y(value, X, y):
    y[4] = value
    with pytest.raises(ValueError, match="y contains NaN or inf"):
        Problem(X, y, Quadratic(), L1(0.1))


BAD_ARGUMENTS = {
    "rows": ({"y": np.zeros(N - 1)}, f"y has {N - 1} samples, but X has {N}"),
    "loss": ({"loss": "quadratic"}, "loss must be a Loss"),
    "penalty": ({"penalty": 0.1}, "penalty must be a Penalty"),
    "weights": ({"sample_weight": np.ones(N - 1)}, "sample_weight must have shape"),
    "negative": ({"sample_weight": -np.ones(N)}, "sample_weight must be finite, >= 0"),
    "all zero": ({"sample_weight": np.zeros(N)}, "not all zero"),
    "offset": ({"offset": np.ones(N - 1)}, "offset must have shape"),
    "offset nan": ({"offset": np.full(N, np.nan)}, "offset contains NaN"),
    "groups": ({"penalty": L1(0.1, on=Groups([0, 0, 1]))}, "cover 3 features, but X has 6"),
    "penalty weights": ({"penalty": L1(0.1, weights=[1.0, 2.0])}, "weights has 2 entries"),
    "names": ({"penalty": L1(0.1, on=Groups([["a"], ["b"]]))}, "no column names"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_bad_arguments(name, X, y):
    given, message = BAD_ARGUMENTS[name]
    arguments = {"X": X, "y": y, "loss": Quadratic(), "penalty": L1(0.1)} | given
    with pytest.raises((ValueError, TypeError), match=message):
        Problem(**arguments)


def test_integers_booleans_and_frames(X, y):
    pandas = pytest.importorskip("pandas")
    whole = np.round(3 * X).astype(int)
    expected = Problem(whole.astype(float), y, Quadratic(), L1(0.1)).solve().coef
    names = list("abcdef")
    stores = (
        whole,
        pandas.DataFrame(whole, columns=names),
        sparse.csr_matrix(whole),
        whole.tolist(),
    )
    for store in stores:
        found = Problem(store, y, Quadratic(), L1(0.1)).solve().coef
        np.testing.assert_allclose(found, expected, atol=1e-6)
    groups = Groups({"first": names[:3], "second": names[3:]})
    named = Problem(pandas.DataFrame(whole, columns=names), y, Quadratic(), L1(0.1, on=groups))
    placed = Problem(whole, y, Quadratic(), L1(0.1, on=Groups([0, 0, 0, 1, 1, 1])))
    np.testing.assert_allclose(named.solve().coef, placed.solve().coef)
    Problem(X > 0, y, Quadratic(), L1(0.1)).solve()


def test_one_row():
    result = Problem(np.ones((1, 3)), [2.0], Quadratic(), L1(0.1)).solve()
    np.testing.assert_allclose(result.coef, 0.0)
    np.testing.assert_allclose(result.intercept, 2.0)
    result = Problem(np.ones((1, 1)), [2.0], Quadratic(), L1(0.5), fit_intercept=False).solve(
        tol=1e-12
    )
    np.testing.assert_allclose(result.coef, 1.5)


@pytest.mark.parametrize("loss", instances(LOSSES), ids=repr)
@pytest.mark.parametrize("store", [np.asarray, sparse.csc_array], ids=["dense", "csc"])
@pytest.mark.parametrize("standardise", [False, True])
def test_constant_zero_and_repeated_columns(loss, store, standardise, X, y):
    y = plain_target(loss, y)
    X[:, 1], X[:, 2], X[:, 3] = 0.0, 5.0, X[:, 0]
    for penalty in (L1(0.02), ElasticNet(0.02), L1(0.02, on=Groups([0, 0, 1, 1, 2, 2])), MCP(0.1)):
        problem = Problem(store(X), y, loss, penalty, standardise=standardise)
        result = problem.solve(tol=1e-9)
        assert result.certificate.holds
        coef = np.reshape(result.coef, (P, -1))
        np.testing.assert_allclose(coef[1], 0.0)
        # the intercept does what a constant column could, without a penalty
        np.testing.assert_allclose(coef[2], 0.0, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 3.7, 1e8, -1e-8])
@pytest.mark.parametrize("intercept", [False, True])
def test_constant_y(value, intercept, X):
    # far from zero and without an intercept Huber's loss is linear: least absolute deviations
    losses = (Quadratic(), Huber()) if intercept or value < 1e3 else (Quadratic(),)
    for loss in losses:
        problem = Problem(X, np.full(N, value), loss, L1(0.1), fit_intercept=intercept)
        result = problem.solve()
        assert result.certificate.holds
        if intercept:
            np.testing.assert_allclose(result.coef, 0.0)
            np.testing.assert_allclose(result.intercept, value, rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "value", "message"),
    [
        (Logistic(), 0, "y has one class only"),
        (Logistic(), 1, "y has one class only"),
        (Multinomial(), 1, "y has one class only"),
        (Poisson(), 0, "y is zero everywhere"),
    ],
    ids=repr,
)
def test_no_finite_optimum(loss, value, message, X):
    """The intercept alone would predict everything, at infinity."""
    with pytest.raises(ValueError, match=message):
        Problem(X, np.full(N, value), loss, L1(0.1))


def test_one_count_only(X):
    """The intercept alone predicts everything: coefficients stay zero."""
    result = Problem(X, np.ones(N), Poisson(), L1(0.1)).solve()
    assert result.certificate.holds
    np.testing.assert_allclose(result.coef, 0.0)


@pytest.mark.parametrize("loss", instances(LOSSES), ids=repr)
def test_huge_and_zero_penalties(loss, X, y):
    y = plain_target(loss, y + 2 * np.sin(np.arange(N)))
    none = Problem(X, y, loss, L1(1e12)).solve()
    assert none.certificate.holds
    assert not none.coef.any()
    all_of_them = Problem(X, y, loss, L1(0.0)).solve(tol=1e-8)
    assert all_of_them.certificate.holds
    gradient = Problem(X, y, loss, L1(0.0)).gradient(all_of_them.coef, all_of_them.intercept)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-10, 1e-5, 1e5, 1e10])
def test_scales_of_x_and_y(scale, X, y):
    """Units of measurement do not change the answer."""
    plain = Problem(X, y, Quadratic(), L1(0.1)).solve(tol=1e-10)
    of_y = Problem(X, scale * y, Quadratic(), L1(scale * 0.1)).solve(tol=1e-10)
    np.testing.assert_allclose(of_y.coef / scale, plain.coef, atol=1e-6)
    of_x = Problem(scale * X, y, Quadratic(), L1(scale * 0.1)).solve(tol=1e-10)
    np.testing.assert_allclose(of_x.coef * scale, plain.coef, atol=1e-6)
    mixed = X * np.geomspace(1, scale, P)
    result = Problem(mixed, y, Quadratic(), L1(0.1), standardise=True).solve(tol=1e-10)
    expected = Problem(X, y, Quadratic(), L1(0.1), standardise=True).solve(tol=1e-10)
    np.testing.assert_allclose(result.coef * np.geomspace(1, scale, P), expected.coef, atol=1e-6)


def test_a_far_mean_is_no_matter(X, y):
    """Columns far from zero lose digits, not correctness."""
    expected = Problem(X, y, Quadratic(), L1(0.1)).solve(tol=1e-8).coef
    for store in (np.asarray, sparse.csc_array):
        found = Problem(store(X + 1e5), y, Quadratic(), L1(0.1)).solve(tol=1e-8).coef
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_zero_sample_weight_leaves_out(X, y):
    weights = np.ones(N)
    weights[10:] = 0.0
    y[10:] = 1e6
    whole = Problem(X, y, Quadratic(), L1(0.1), sample_weight=weights).solve(tol=1e-10)
    part = Problem(X[:10], y[:10], Quadratic(), L1(0.1)).solve(tol=1e-10)
    np.testing.assert_allclose(whole.coef, part.coef, atol=1e-7)


def test_offset_moves_y(X, y, rng):
    offset = rng.standard_normal(N)
    moved = Problem(X, y, Quadratic(), L1(0.1), offset=offset).solve(tol=1e-11)
    expected = Problem(X, y - offset, Quadratic(), L1(0.1)).solve(tol=1e-11)
    np.testing.assert_allclose(moved.coef, expected.coef, atol=1e-8)


def test_strength_max_is_tight_through_the_problem(X, y):
    labels = (y > 0).astype(float)
    for loss, target in ((Quadratic(), y), (Logistic(), labels)):
        problem = Problem(X, target, loss, L1(1.0))
        largest = problem.strength_max()
        at, below = (
            problem.with_penalty(L1(c * largest)).solve(tol=1e-12).coef for c in (1.0001, 0.99)
        )
        assert not at.any()
        assert below.any()


def test_a_compiled_pass_gives_the_same_squares(rng, monkeypatch):
    X = np.asfortranarray(5 + rng.standard_normal((30, 8)))
    s, h = np.full(30, 1 / 30), rng.uniform(size=(30, 1))
    for precision, tol in ((np.float64, 1e-13), (np.float32, 1e-6)):
        design = Design(X.astype(precision, order="F"), s, center=True, standardise=True)
        expected = design.weighted_squares(h)
        monkeypatch.setattr("gossamer.core.design._LARGE", 0)
        np.testing.assert_allclose(design.weighted_squares(h), expected, rtol=tol)
        monkeypatch.undo()
