"""Stability selection: halves are halves, bounds those published, for any loss and groups."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import gossamer as gs
from gossamer.core.errors import ConvergenceWarning
from gossamer.linear.inference import false_selections
from gossamer.linear.inference.resampling import (
    complementary_halves,
    generators,
    halves,
    repeat,
    selection_frequency,
)

R = json.loads((Path(__file__).parent / "r_reference.json").read_text())["found"]


def data(n: int = 80, p: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    return X, X[:, 2] - X[:, 5] + 0.5 * rng.standard_normal(n)


def test_halves_are_complementary_within_classes_and_groups() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(["a", "b", "c"], [10, 5, 1])
    for _ in range(20):
        first, second = complementary_halves(16, rng, classes=classes)
        assert (first & second).sum() == 1  # the only one of class c is in both
        assert (first | second).all()
        for mask in (first, second):
            counts = {label: int(mask[classes == label].sum()) for label in "abc"}
            assert counts["a"] == 5
            assert counts["b"] in (2, 3)
            assert counts["c"] == 1
    groups = np.repeat(np.arange(8), 2)
    mask, _ = complementary_halves(16, rng, groups=groups)
    assert mask.sum() == 8
    assert (mask[::2] == mask[1::2]).all()


def test_generators_follow_from_the_seed() -> None:
    one, again, other = (generators(seed, 2)[1].random() for seed in (3, 3, 4))
    assert one == again != other
    assert generators(np.random.RandomState(3), 2)[1].random() == one


def test_frequency_is_that_of_fits_to_the_halves_alone() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 8))
    y = X[:, 0] + 0.4 * X[:, 1] + rng.standard_normal(40)
    problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(0.2), standardise=True)
    result = problem.solve()
    told = selection_frequency(problem, (result.coef, result.intercept), 12, 5, tol=1e-10, n_jobs=2)
    alone = [
        gs.Problem(X[h], y[h], gs.losses.Quadratic(), gs.L1(0.2), standardise=True).solve(tol=1e-10)
        for h in halves(40, 12, 5)
    ]
    expected = np.mean([fit.coef != 0 for fit in alone], axis=0)
    np.testing.assert_array_equal(told.frequency, expected)
    assert (told.n_resamples, told.interrupted) == (12, False)


def test_an_error_in_one_item_is_not_swallowed_and_an_interrupt_keeps_the_others() -> None:
    def broken(item: int) -> int:
        raise RuntimeError("loose screw")

    with pytest.raises(RuntimeError, match="loose screw"):
        repeat(broken, range(3))

    def stopped(item: int) -> int:
        if item == 2:
            raise KeyboardInterrupt
        return item

    found = repeat(stopped, range(5))
    assert found.interrupted
    assert found.results[:2] == [0, 1]


@pytest.mark.parametrize("case", R["bounds"], ids=str)
def test_bounds_are_those_of_the_authors(case: list[float]) -> None:
    q, p, threshold, pairs, concave, unimodal = case
    q, p, pairs = int(q), int(p), int(pairs)
    assert false_selections(q, threshold, p, pairs, "unimodal") == pytest.approx(unimodal)
    # theirs stops at the default tolerance of R's optimiser, below the maximum that is the bound
    ours = false_selections(q, threshold, p, pairs, "r-concave")
    assert concave <= ours * (1 + 1e-6)
    assert ours <= 1.03 * concave
    assert false_selections(q, threshold, p, pairs, "none") == pytest.approx(
        q * q / p / (2 * threshold - 1)
    )


def test_two_of_three_give_the_third() -> None:
    X, y = data()
    few = {"n_pairs": 10, "n_alphas": 15, "random_state": 0}
    by_q = gs.StabilitySelection(threshold=0.8, max_false=1.0, **few).fit(X, y)
    assert false_selections(by_q.n_selected_, 0.8, 40, 10) <= 1.0
    assert false_selections(by_q.n_selected_ + 1, 0.8, 40, 10) > 1.0
    by_level = gs.StabilitySelection(n_selected=5, max_false=1.0, **few).fit(X, y)
    assert false_selections(5, by_level.threshold_, 40, 10) <= 1.0
    assert false_selections(5, by_level.threshold_ - 1 / 20, 40, 10) > 1.0
    given = gs.StabilitySelection(n_selected=5, threshold=0.8, **few)
    assert given.fit(X, y).bound_ == false_selections(5, 0.8, 40, 10)


def test_path_grows_to_the_frequencies_and_threads_change_nothing() -> None:
    X, y = data()
    one = gs.StabilitySelection(n_pairs=8, random_state=1).fit(X, y)
    two = gs.StabilitySelection(n_pairs=8, random_state=1, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(one.path_, two.path_)
    assert (np.diff(one.path_, axis=0) >= 0).all()
    np.testing.assert_array_equal(one.path_[-1], one.frequencies_)
    assert one.frequencies_.sum() <= one.n_selected_ + 1e-9
    np.testing.assert_array_equal(one.selected_, [2, 5])
    np.testing.assert_array_equal(one.get_support(indices=True), [2, 5])


def test_sparse_tables_and_weights_of_zero_are_as_dense_and_left_out() -> None:
    X, y = data()
    dense = gs.StabilitySelection(n_pairs=5, random_state=0).fit(X, y)
    thin = gs.StabilitySelection(n_pairs=5, random_state=0).fit(sparse.csc_array(X), y)
    np.testing.assert_allclose(dense.frequencies_, thin.frequencies_)
    y_bad, weight = y.copy(), np.ones(80)
    y_bad[:5], weight[:5] = 1e3, 0.0
    weighted = gs.StabilitySelection(n_pairs=5, random_state=0).fit(X, y_bad, weight)
    np.testing.assert_array_equal(weighted.selected_, [2, 5])


@pytest.mark.parametrize("loss", [gs.losses.Logistic(), gs.losses.Poisson(), gs.losses.Huber()])
def test_groups_are_selected_whole_for_any_loss(loss: gs.core.Loss) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 30))
    z = X[:, :3] @ [1.0, -1.0, 1.0]
    y = {
        "Logistic": np.where(z + 0.3 * rng.standard_normal(120) > 0, "yes", "no"),
        "Poisson": rng.poisson(np.exp(0.7 * z)),
        "Huber": z + 0.5 * rng.standard_normal(120),
    }[type(loss).__name__]
    model = gs.SparseModel(loss, gs.L1(0.1, on=gs.Groups(np.arange(30) // 3)))
    stable = gs.StabilitySelection(model, n_pairs=4, n_selected=2, threshold=0.9, random_state=0)
    stable.fit(pd.DataFrame(X, columns=[f"c{j}" for j in range(30)]), y)
    np.testing.assert_array_equal(stable.selected_, [0, 1, 2])
    assert len(stable.frequencies_) == 10
    assert stable.summary()["feature"][0] == "c0, c1, c2"
    assert stable.get_feature_names_out().tolist() == ["c0", "c1", "c2"]


def test_what_is_not_penalised_is_no_matter_of_selection() -> None:
    X, y = data()
    model = gs.Lasso(weights=np.r_[0.0, np.ones(39)], standardise=True)
    stable = gs.StabilitySelection(model, n_pairs=5, n_selected=2, threshold=0.9, random_state=0)
    stable.fit(X, y)
    assert stable.frequencies_[0] == 1
    np.testing.assert_array_equal(stable.selected_, [0, 2, 5])


def test_an_interrupt_keeps_the_halves_that_are_done() -> None:
    X, y = data()
    steps = count()

    def interrupting() -> None:
        if next(steps) == 6:
            raise KeyboardInterrupt

    stable = gs.StabilitySelection(n_pairs=10, random_state=0)
    with pytest.warns(ConvergenceWarning, match="rests on"):
        stable.fit(X, y, on_step=interrupting)
    assert 2 <= stable.n_halves_ < 20
    with pytest.raises(KeyboardInterrupt):
        stable.fit(X, y, on_step=lambda: (_ for _ in ()).throw(KeyboardInterrupt()))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"threshold": 0.5}, "threshold"),
        ({"max_false": 0}, "max_false"),
        ({"n_selected": 2.5}, "n_selected"),
        ({"n_pairs": 0}, "n_pairs"),
        ({"assumption": "normal"}, "assumption"),
        ({"max_false": 1, "threshold": 0.8, "n_selected": 3}, "leave out one"),
        ({"max_false": 1e-6, "threshold": 0.6}, "out of reach"),
        ({"max_false": 1e-6, "n_selected": 20}, "out of reach"),
    ],
)
def test_what_makes_no_sense_is_refused(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gs.StabilitySelection(**parameters).fit(*data())


def test_other_estimators_are_refused() -> None:
    from sklearn.linear_model import Lasso

    with pytest.raises(TypeError, match="one of gossamer's"):
        gs.StabilitySelection(Lasso()).fit(*data())


def test_tasks_of_a_cluster_need_one(rng):
    X = rng.standard_normal((40, 5))
    with pytest.raises(ValueError, match="needs a cluster: call fit inside"):
        gs.StabilitySelection(n_jobs="dask").fit(X, X[:, 0])
