"""Cox's model as an estimator: concordance, hazards, curves, strata, cross-validation, files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

import gossamer as gs
from gossamer.linear import concordance_index
from gossamer.linear.folds import FoldOfRows
from gossamer.testing.instances import survival_times


@pytest.fixture
def X(rng):  # noqa: N802
    return rng.standard_normal((120, 15))


@pytest.fixture
def y(X):
    return survival_times(X[:, 0] - 0.5 * X[:, 3])


def partial_likelihood(w, X, y, ties="breslow", weight=None, offset=0.0):
    """Minus its logarithm over the sum of weights, by its definition, one event at a time."""
    weight = np.ones(len(y)) if weight is None else weight
    z, total = X @ w + offset, 0.0
    risk = weight * np.exp(z)
    strata = y[:, 2] if y.shape[1] == 3 else np.zeros(len(y))
    for t, s in {(row[0], k) for row, k in zip(y, strata, strict=True) if row[1]}:
        at_risk = (y[:, 0] >= t) & (strata == s)
        tied = (y[:, 0] == t) & (y[:, 1] > 0) & (strata == s)
        total += weight[tied] @ z[tied]
        for place in range(tied.sum()):
            gone = place / tied.sum() if ties == "efron" else 0.0
            share = weight[tied].mean()
            total -= share * np.log(risk[at_risk].sum() - gone * risk[tied].sum())
    return -total / weight.sum()


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_against_the_definition_and_scipy(ties, stratified, weighted, X, y, rng):
    """No penalty: the optimum of the partial likelihood written out, found by BFGS."""
    X = X[:, :4]
    y = np.column_stack([y, rng.integers(0, 3, len(y)) * 10.0]) if stratified else y
    weight = rng.uniform(0.5, 2.0, len(y)) if weighted else None
    offset = 0.3 * rng.standard_normal(len(y))
    problem = gs.Problem(X, y, gs.losses.Cox(ties), gs.L1(0.0), sample_weight=weight, offset=offset)
    written = lambda w: partial_likelihood(w, X, y, ties, weight, offset)  # noqa: E731
    found = minimize(written, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    result = problem.solve(tol=1e-10)
    assert result.intercept == 0.0
    # BFGS differentiates numerically
    np.testing.assert_allclose(result.coef, found.x, atol=1e-5)
    w = rng.standard_normal(4)
    ours = problem.objective(w) - problem.objective(np.zeros(4))
    np.testing.assert_allclose(ours, written(w) - written(np.zeros(4)), rtol=1e-12)


def test_forms_of_y_agree(X, y):
    structured = np.array(
        [(bool(event), time) for time, event in y], dtype=[("event", "?"), ("time", "f8")]
    )
    one_stratum = np.column_stack([y, np.full(len(y), 7.0)])
    expected = gs.SparseCox(0.05).fit(X, y).coef_
    for other in (structured, one_stratum, y.tolist()):
        np.testing.assert_array_equal(gs.SparseCox(0.05).fit(X, other).coef_, expected)
        assert concordance_index(other, X[:, 0]) == concordance_index(y, X[:, 0])


def test_constant_and_shifted_columns_change_nothing(X, y):
    expected = gs.SparseCox(0.05, tol=1e-10).fit(X, y).coef_
    moved = np.column_stack([X + 100.0, np.ones(len(X))])
    for store in (moved, sparse.csc_array(moved)):
        found = gs.SparseCox(0.05, tol=1e-10).fit(store, y).coef_
        np.testing.assert_allclose(found, [*expected, 0.0], atol=1e-7)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[1.0, 1], [2.0, 0], [-1.0, 1]], "negative time"),
        ([[1.0, 0], [2.0, 0], [3.0, 0]], "no event"),
        ([[1.0, 2], [2.0, 1], [3.0, 1]], "second column"),
        ([[1, 5.0], [0, 2.0], [1, 3.0]], "swapped"),
        ([[1.0, 1], [np.nan, 0], [3.0, 1]], "NaN"),
        ([[1.0, 1, 0, 0]] * 3, "shape"),
        ([1.0, 2.0, 3.0], "time and event"),
    ],
)
def test_targets_that_do_not_fit(y, message):
    with pytest.raises(ValueError, match=message):
        gs.SparseCox().fit(np.arange(6.0).reshape(3, 2), y)


def test_ties_and_events_without_weight(X, y):
    with pytest.raises(ValueError, match="ties"):
        gs.SparseCox(ties="exact").fit(X, y)
    with pytest.raises(ValueError, match="no event among"):
        gs.SparseCox().fit(X, y, sample_weight=1 - y[:, 1])


def test_one_event(X):
    """One event: the others of its risk set are all that can be compared."""
    y = np.column_stack([np.arange(len(X)), np.arange(len(X)) == 5]).astype(float)
    model = gs.SparseCox(0.002).fit(X, y)
    assert model.certificate_.holds
    assert model.baseline_hazard_.time.tolist() == [5.0]


@pytest.mark.parametrize("weighted", [False, True])
def test_concordance_against_all_pairs(weighted, rng):
    y = np.column_stack([rng.integers(1, 8, 60), rng.random(60) < 0.6, rng.integers(0, 2, 60)])
    risk = rng.integers(0, 6, 60) / 2.0
    weight = rng.uniform(0, 2, 60) if weighted else np.ones(60)
    won = pairs = 0.0
    for i, a in enumerate(y):
        for j, b in enumerate(y):
            later = b[0] > a[0] or (b[0] == a[0] and not b[1])
            if a[1] and later and a[2] == b[2]:
                pairs += weight[i] * weight[j]
                won += weight[i] * weight[j] * (0.5 + 0.5 * np.sign(risk[i] - risk[j]))
    np.testing.assert_allclose(concordance_index(y, risk, weight), won / pairs, rtol=1e-12)


def test_concordance_needs_a_pair():
    with pytest.raises(ValueError, match="comparable"):
        concordance_index([[1.0, 0], [2.0, 1]], [0.0, 1.0])


def test_baseline_hazard_and_curves(X, y):
    """Breslow's estimate written out; the curve of a sample at the mean hazard."""
    model = gs.SparseCox(0.05).fit(X, y)
    z = model.predict(X)
    base = model.baseline_hazard_
    hazard = 0.0
    for time, cumulative in zip(base.time, base.cumulative, strict=True):
        events = ((y[:, 0] == time) & (y[:, 1] > 0)).sum()
        hazard += events / np.exp(z[y[:, 0] >= time]).sum()
        np.testing.assert_allclose(cumulative, hazard, rtol=1e-10)
    curves = model.predict_survival_function(X[:3], times=[0.0, *base.time])
    np.testing.assert_array_equal(curves[:, 0], 1.0)
    expected = np.exp(-np.outer(np.exp(z[:3]), base.cumulative))
    np.testing.assert_allclose(curves[:, 1:], expected, rtol=1e-10)
    np.testing.assert_array_equal(model.predict_survival_function(X[:3]), curves[:, 1:])


def test_strata_have_their_own_baseline(X, y):
    y = np.column_stack([y, np.where(np.arange(len(y)) % 3 == 0, 5.0, 2.0)])
    model = gs.SparseCox(0.05).fit(X, y)
    assert set(model.baseline_hazard_.stratum) == {2.0, 5.0}
    with pytest.raises(ValueError, match="stratum must be given"):
        model.predict_survival_function(X[:1], [1.0])
    with pytest.raises(ValueError, match="had no event"):
        model.predict_survival_function(X[:1], [1.0], stratum=3.0)
    for stratum in (2.0, 5.0):
        own = y[:, 2] == stratum
        risk = np.exp(model.predict(X))[own]
        first = y[own & (y[:, 1] > 0), 0].min()
        events = ((y[own, 0] == first) & (y[own, 1] > 0)).sum()
        hazard = events / risk[y[own, 0] >= first].sum()
        found = model.predict_survival_function(X[:1], [first], stratum=stratum)
        expected = np.exp(-hazard * np.exp(model.predict(X[:1])))
        np.testing.assert_allclose(found[0], expected, rtol=1e-10)


def test_held_out_samples_are_judged_among_the_others(X, y):
    """Verweij and van Houwelingen: all of the likelihood less that of the training samples."""
    problem = gs.Problem(X, y, gs.losses.Cox(), gs.L1(0.05))
    held = np.arange(0, len(y), 5)
    train = np.setdiff1d(np.arange(len(y)), held)
    _, judge = FoldOfRows(problem, (train, held)).split()
    w, nothing = 0.2 * np.cos(np.arange(X.shape[1])), np.zeros(X.shape[1])
    gained = judge.mean_loss(w[:, None], 0.0) - judge.mean_loss(nothing[:, None], 0.0)

    def expected(w):
        whole = len(y) * partial_likelihood(w, X, y)
        return (whole - len(train) * partial_likelihood(w, X[train], y[train])) / len(held)

    np.testing.assert_allclose(gained, expected(w) - expected(nothing), rtol=1e-10)


def test_cross_validation_selects(X, y):
    model = gs.SparseCoxCV(n_alphas=15, cv=4).fit(X, y)
    assert {0, 3} <= set(np.flatnonzero(model.coef_))
    assert all(c.holds for c in model.path_.certificates)
    assert 0.7 < model.score(X, y) <= 1
    assert "cox" in model.cv_results_.score_name
    structured = np.array([(e > 0, t) for t, e in y], dtype=[("event", "?"), ("time", "f8")])
    again = gs.SparseCoxCV(n_alphas=15, cv=4).fit(X, structured)
    np.testing.assert_array_equal(again.coef_, model.coef_)
    assert gs.SparseCoxCV(n_alphas=5, selection="bic").fit(X, y).alpha_ > 0


def test_groups_and_penalties_by_name(X, y):
    groups = np.arange(15) // 3
    model = gs.SparseCox(0.2, penalty="mcp", groups=groups).fit(X, y)
    chosen = np.flatnonzero(model.coef_)
    assert set(chosen // 3) == {0, 1}
    assert len(chosen) == 6


def test_free_features(X, y):
    """Unpenalised features have a zero gradient, and the gap is known."""
    weights = np.ones(15)
    weights[[2, 7]] = 0.0
    model = gs.SparseCox(0.05, weights=weights, tol=1e-9).fit(X, y)
    assert model.certificate_.holds
    assert model.certificate_.gap < np.inf
    gradient = gs.Problem(X, y, gs.losses.Cox(), gs.L1(0.05)).gradient(model.coef_)
    np.testing.assert_allclose(gradient[[2, 7]], 0.0, atol=1e-5)


def test_files(X, y, tmp_path):
    for model in (gs.SparseCox(0.05, ties="efron"), gs.SparseCoxCV(n_alphas=4)):
        model.fit(X, y)
        gs.save(model, tmp_path / "model.gossamer")
        loaded = gs.load(tmp_path / "model.gossamer")
        assert loaded.ties == model.ties
        expected = model.predict_survival_function(X, [1.0, 5.0])
        np.testing.assert_array_equal(loaded.predict_survival_function(X, [1.0, 5.0]), expected)
    general = gs.SparseModel(gs.losses.SquareRoot(), gs.L1(0.1)).fit(X, X[:, 0])
    gs.save(general, tmp_path / "model.gossamer")
    assert gs.load(tmp_path / "model.gossamer").loss == gs.losses.SquareRoot()


def test_far_predictions(X, y):
    """Rows a thousand times too large do not break the sums over risk sets."""
    X = X.copy()
    X[::7] *= 1e3
    model = gs.SparseCox(0.01).fit(X, y)
    assert model.certificate_.holds
    assert np.isfinite(model.coef_).all()
