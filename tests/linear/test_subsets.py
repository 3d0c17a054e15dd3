"""Best-subset estimators: the number of features, its choice, classes, groups, files."""

from __future__ import annotations

import warnings
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import gossamer as gs


def table(rng, n=120, p=30):
    X = rng.standard_normal((n, p))
    return X, 2 * X[:, 3] - 1.5 * X[:, 7] + X[:, 20] + 0.7 * rng.standard_normal(n)


def test_is_least_squares_on_the_best_subset(rng):
    X, y = table(rng)
    X = X[:, :8]
    model = gs.BestSubset(n_nonzero=2).fit(X, y)

    def explained(support):
        return LinearRegression().fit(X[:, support], y).score(X[:, support], y)

    best = max(combinations(range(8), 2), key=explained)
    np.testing.assert_array_equal(np.flatnonzero(model.coef_), best)


@pytest.mark.parametrize("selection", ["min", "1se", "bic", "ebic", "gic"])
def test_the_number_is_chosen(selection, rng):
    X, y = table(rng)
    model = gs.BestSubsetCV(max_nonzero=8, selection=selection).fit(X, y)
    assert {3, 7, 20} <= set(np.flatnonzero(model.coef_))
    assert model.n_nonzero_ == np.count_nonzero(model.coef_)
    np.testing.assert_array_equal(model.path_.alphas, range(9))
    np.testing.assert_array_equal(model.path_.n_nonzero, range(9))
    if selection in ("1se", "ebic"):
        assert model.n_nonzero_ == 3


def test_each_step_of_the_path_is_as_good_as_alone(rng):
    X, y = table(rng)
    path = gs.BestSubsetCV(max_nonzero=5, selection="bic").fit(X, y).path_
    for k in range(6):
        alone = gs.BestSubset(n_nonzero=k).fit(X, y).certificate_
        assert path.certificates[k].objective == pytest.approx(alone.objective, rel=1e-9)


def test_gic_is_that_of_abess(rng):
    """n log(loss) + k log(p) log(log(n)), minimised."""
    X, y = table(rng)
    model = gs.BestSubsetCV(max_nonzero=8, selection="gic").fit(X, y)
    losses = [2 * c.objective for c in model.path_.certificates]
    scores = [120 * np.log(v) + k * np.log(30) * np.log(np.log(120)) for k, v in enumerate(losses)]
    np.testing.assert_allclose(model.cv_results_.mean, scores)


def test_classes(rng):
    X, y = table(rng)
    labels = np.where(y > 1, "high", np.where(y < -1, "low", "mid"))
    model = gs.BestSubset(n_nonzero=3, loss=gs.losses.Multinomial(), ridge=0.01).fit(X, labels)
    np.testing.assert_array_equal(np.flatnonzero(model.coef_.any(axis=0)), [3, 7, 20])
    assert model.predict_proba(X).shape == (120, 3) and model.score(X, labels) > 0.7
    two = gs.BestSubsetCV(max_nonzero=4, loss=gs.losses.Logistic(), ridge=0.01).fit(X, y > 0)
    assert {3, 7} <= set(np.flatnonzero(two.coef_))


def test_groups_by_column_name(rng):
    X, y = table(rng, p=30)
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(30)])
    groups = [[f"x{3 * g + i}" for i in range(3)] for g in range(10)]
    model = gs.BestSubset(n_nonzero=3, groups=groups).fit(frame, y)
    np.testing.assert_array_equal(np.flatnonzero(model.coef_) // 3, np.repeat([1, 2, 6], 3))


def test_several_targets_share_features(rng):
    X, y = table(rng)
    model = gs.BestSubset(n_nonzero=4).fit(X, np.column_stack([y, X[:, 11]]))
    np.testing.assert_array_equal(np.flatnonzero(model.coef_.any(axis=0)), [3, 7, 11, 20])


def test_any_model_takes_a_budget(rng):
    X, y = table(rng)
    model = gs.SparseModel(penalty=gs.AtMost(3)).fit(X, y)
    np.testing.assert_array_equal(np.flatnonzero(model.coef_), [3, 7, 20])
    with pytest.raises(gs.UnsupportedProblem, match="no strength"):
        gs.SparseModelCV(penalty=gs.AtMost(3)).fit(X, y)


def test_tall_tables_go_by_moments(rng):
    X = rng.standard_normal((4000, 10))
    y = X[:, 2] - X[:, 5] + rng.standard_normal(4000)
    model = gs.BestSubset(n_nonzero=2).fit(X, y)
    parts = gs.BestSubset(n_nonzero=2)
    for rows in np.array_split(np.arange(4000), 3):
        parts.partial_fit(X[rows], y[rows])
    np.testing.assert_allclose(parts.coef_, model.coef_, rtol=1e-9)


def test_files(rng, tmp_path):
    X, y = table(rng)
    for model in (gs.BestSubset(n_nonzero=2), gs.BestSubsetCV(max_nonzero=3, cv=3)):
        model.fit(X, y)
        gs.save(model, tmp_path / "model")
        again = gs.load(tmp_path / "model")
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.certificate_.kind == "coordinate-wise"


def test_warm_start_and_verbose(rng, capsys):
    X, y = table(rng)
    model = gs.BestSubset(n_nonzero=2, warm_start=True, verbose=1).fit(X, y)
    model.set_params(n_nonzero=3).fit(X, y)
    assert "n_nonzero 3: 3 units" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "name"),
    [({"n_nonzero": -1}, "n_nonzero"), ({"n_nonzero": 2.5}, "n_nonzero"), ({"ridge": -1}, "ridge"),
     ({"weights": [1.0]}, "weights"), ({"n_nonzero": "all"}, "n_nonzero")],
)  # fmt: skip
def test_bad_arguments(options, name, rng):
    X, y = table(rng)
    with pytest.raises(ValueError, match=name):
        gs.BestSubset(**options).fit(X, y)


@pytest.mark.parametrize("largest", [0, -3, 1.5])
def test_bad_max_nonzero(largest, rng):
    with pytest.raises(ValueError, match="max_nonzero"):
        gs.BestSubsetCV(max_nonzero=largest).fit(*table(rng))


def test_a_zero_budget_is_the_mean(rng):
    X, y = table(rng)
    model = gs.BestSubset(n_nonzero=0).fit(X, y)
    assert not model.coef_.any() and model.intercept_ == pytest.approx(y.mean())


def test_samples_without_weight_do_not_count(rng):
    X, y = table(rng)
    weights = (np.arange(120) % 3 > 0).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = gs.BestSubsetCV(max_nonzero=4).fit(X, y, sample_weight=weights)
    other = gs.BestSubset(n_nonzero=model.n_nonzero_).fit(X[weights > 0], y[weights > 0])
    np.testing.assert_allclose(model.coef_, other.coef_, rtol=1e-8)
