"""Screening by mutual information: what it estimates, what it finds, and how fast."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.screening import compare, correlation, nonlinear, ours, worst_rank
from scipy.special import ndtri
from scipy.stats import gaussian_kde, rankdata
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.linear import MutualInformationScreening


@parametrize_with_checks([MutualInformationScreening(n_features=1)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def by_quadrature(x, y):
    """Mutual information of scipy's kernel density, unbinned, of normal scores."""
    n = len(x)
    z = ndtri(np.stack([rankdata(x), rankdata(y)]) / (n + 1))
    grid = np.linspace(-4.5, 4.5, 91)
    # scipy scales by the covariance: the kernel is to be round, of Scott's bandwidth
    density = gaussian_kde(z, bw_method=n ** (-1 / 6))
    density.set_bandwidth(density.factor / z[0].std(ddof=1))
    joint = density(np.stack(np.meshgrid(grid, grid)).reshape(2, -1)).reshape(91, 91)
    joint /= joint.sum()
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    return float((joint * np.log(joint / product)).sum())


def test_scores_are_those_of_a_kernel_density(rng):
    x = rng.standard_normal(400)
    X = np.column_stack([x, rng.standard_normal(400)])
    y = np.cos(2 * x) + 0.5 * rng.standard_normal(400)
    scores = MutualInformationScreening().fit(X, y).scores_
    expected = [by_quadrature(X[:, j], y) for j in range(2)]
    np.testing.assert_allclose(scores, expected, rtol=0.15, atol=0.004)


def test_dependence_of_normal_variables(rng):
    """Smoothing hides some of it, never the order."""
    y = rng.standard_normal(3000)
    strengths = np.array([0.0, 0.3, 0.6, 0.8])
    X = strengths * y[:, None] + np.sqrt(1 - strengths**2) * rng.standard_normal((3000, 4))
    scores = MutualInformationScreening().fit(X, y).scores_
    np.testing.assert_allclose(scores, -0.5 * np.log(1 - strengths**2), rtol=0.25, atol=0.01)


def test_labels_against_the_entropy_of_a_table(rng):
    """Features of few values and labels: a table of counts, blurred a little."""
    X = rng.integers(0, 2, (4000, 2)).astype(float)
    y = np.where(rng.random(4000) < 0.9, X[:, 0], 1 - X[:, 0]).astype(int)
    screening = MutualInformationScreening(n_features=1).fit(X, np.array(["no", "yes"])[y])
    exact = np.log(2) + 0.9 * np.log(0.9) + 0.1 * np.log(0.1)
    np.testing.assert_allclose(screening.scores_, [exact, 0.0], atol=0.03)
    np.testing.assert_array_equal(screening.selected_, [0])
    np.testing.assert_allclose(MutualInformationScreening().fit(X, y).scores_, screening.scores_)


def test_numbers_are_numbers_in_any_array(rng):
    X, y = nonlinear(60, 4)
    np.testing.assert_array_equal(ours(X, y.astype(object)), ours(X, y))
    counts = rng.integers(0, 12, 60)
    as_labels = MutualInformationScreening(discrete_target=True).fit(X, counts).scores_
    # as text they come in another order
    np.testing.assert_allclose(as_labels, ours(X, counts.astype(str)), rtol=1e-12)
    assert not np.allclose(as_labels, ours(X, counts))


def test_monotone_transforms_change_nothing(rng):
    X, y = nonlinear(100, 6)
    scores = ours(X, y)
    np.testing.assert_allclose(ours(np.exp(3 * X), y**3), scores, atol=1e-12)
    # bit for bit the same, however many are scored at once
    np.testing.assert_array_equal(ours(np.tile(X, 50), y), np.tile(scores, 50))


def test_odd_columns(rng):
    X = rng.standard_normal((50, 4))
    X[:, 1] = 7.0
    X[:, 3] = X[:, 0]
    X[0, 2] = 1e300
    scores = ours(X, X[:, 0])
    assert scores[1] <= 1e-12
    assert scores[0] == scores[3] > scores[2]


def test_non_linear_features_are_found():
    X, y = nonlinear(300, 500)
    assert worst_rank(ours(X, y)) == 4
    assert worst_rank(correlation(X, y)) > 100
    screening = MutualInformationScreening().fit(X, y)
    assert screening.get_support().sum() == int(300 / np.log(300))
    assert set(range(4)) <= set(screening.selected_)


def test_before_a_fit_saved_and_loaded(tmp_path):
    from sklearn.pipeline import make_pipeline

    X, y = nonlinear(150, 300)
    model = make_pipeline(MutualInformationScreening(n_features=10), gs.Lasso(alpha=0.1)).fit(X, y)
    gs.save(model, tmp_path / "screened.gossamer")
    again = gs.load(tmp_path / "screened.gossamer")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_features": 0}, "n_features must be a whole number >= 1, got 0"),
        ({"n_features": 7}, "n_features is 7, but X has"),
        ({"discrete_target": "maybe"}, "discrete_target must be a bool"),
        ({"discrete_target": None}, "discrete_target must be a bool"),
    ],
)
def test_parameters_are_checked(parameters, message, rng):
    with pytest.raises(ValueError, match=message):
        MutualInformationScreening(**parameters).fit(rng.standard_normal((20, 5)), np.arange(20))


def test_targets_are_checked(rng):
    X = rng.standard_normal((20, 5))
    with pytest.raises(ValueError, match="y is constant"):
        MutualInformationScreening().fit(X, np.ones(20))
    with pytest.raises(ValueError, match="no numbers"):
        MutualInformationScreening(discrete_target=False).fit(X, ["a", "b"] * 10)
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        MutualInformationScreening().fit(X, np.arange(20))


@pytest.mark.slow
@pytest.mark.parametrize("labels", [False, True])
def test_against_neighbours_and_correlation(labels):
    found = compare(1000, 2000, labels, 2)
    for name, (ranks, seconds) in found.items():
        print(f"{name:15} keeps {ranks} of 2000 for the four, {seconds / 2:.2f} s")
    ranks = {name: max(found[name][0]) for name in found}
    assert ranks["gossamer"] <= min(8, ranks["scikit-learn"])
    assert ranks["correlation"] > 200
    assert 5 * found["gossamer"][1] < found["scikit-learn"][1]
