"""`fit_table`: options checked, rows split, losses chosen, half-samples drawn, numbers right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, mean_poisson_deviance, r2_score, roc_auc_score

import gossamer as gs
from gossamer.linear.splits import fold_splitter, hold_out
from gossamer.report import FitOptions, fit_table
from gossamer.report.metrics import class_metrics, number_metrics


def table(n: int = 100, seed: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"x{j}": rng.standard_normal(n) for j in range(6)}
    columns["x0"] = 1000 * columns["x0"] + 5000  # another unit than the rest
    columns["y"] = columns["x0"] / 500 - columns["x3"] + 0.2 * rng.standard_normal(n)
    return columns


def test_the_summary_is_of_the_model_and_the_rows_held_out() -> None:
    data = table()
    fitted = fit_table(data, "y", cv=4, resamples=0)
    s = fitted.summary
    assert (s.n_train, s.n_test, s.n_features) == (80, 20, 6)
    train, test = hold_out(np.asarray(data["y"]), 0.2, 0, classes=False)
    frame = pd.DataFrame(data)
    predicted = fitted.model.predict(frame.iloc[test].drop(columns="y"))
    np.testing.assert_array_equal(s.prediction_test, predicted)
    np.testing.assert_array_equal(s.y_test, frame["y"].to_numpy()[test])
    assert s.metrics["R²"][1] == pytest.approx(r2_score(s.y_test, predicted))
    # per standard deviation, x0 counts in spite of its unit
    assert s.feature_unit == "standard deviation"
    assert s.feature_names[s.selected[0]] == "x0"
    deviation = frame["x0"].to_numpy()[train].std()
    assert s.coef[0] == pytest.approx(fitted.model[-1].coef_[0] * deviation)
    # and the intercept is the prediction at the means
    means = frame.iloc[train].drop(columns="y").mean().to_frame().T
    assert s.intercept == pytest.approx(fitted.model.predict(means)[0])


def test_the_model_is_that_of_the_estimator_alone() -> None:
    data = table()
    fitted = fit_table(data, "y", cv=4, resamples=0, test_size=0, alpha=0.2)
    frame = pd.DataFrame(data)
    alone = gs.SparseModel(penalty=gs.L1(0.2), standardise=True)
    alone.fit(frame.drop(columns="y").to_numpy(), frame["y"])
    np.testing.assert_allclose(fitted.model[-1].coef_, alone.coef_, rtol=1e-9, atol=1e-12)
    assert fitted.summary.alphas[-1] == 0.2
    assert fitted.summary.cv_mean is None


def test_without_standardising_coefficients_are_per_unit() -> None:
    fitted = fit_table(table(), "y", cv=4, resamples=0, standardise=False)
    assert fitted.summary.feature_unit == "unit"
    np.testing.assert_array_equal(fitted.summary.coef, fitted.model[-1].coef_)
    assert fitted.summary.intercept == fitted.model[-1].intercept_


@pytest.mark.parametrize("kind", ["path", "pandas", "mapping"])
def test_any_table_will_do(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame(table())
    path = tmp_path / "t.csv"
    frame.to_csv(path, index=False)
    given = {"path": str(path), "pandas": frame, "mapping": table()}[kind]
    fitted = fit_table(given, "y", alpha=0.3, resamples=0)
    assert fitted.summary.title == ("t.csv" if kind == "path" else "table")
    assert [file.name for file in fitted.write(tmp_path / "a" / "b")] == [
        "model.gossamer",
        "coefficients.csv",
        "summary.json",
        "report.html",
    ]
    again = gs.load(tmp_path / "a" / "b" / "model.gossamer")
    features = frame.drop(columns="y")
    np.testing.assert_array_equal(again.predict(features), fitted.model.predict(features))


def test_poisson_deviance_is_that_of_the_field() -> None:
    rng = np.random.default_rng(0)
    y, mean = rng.poisson(3.0, 50), rng.uniform(1, 5, 50)
    null = mean_poisson_deviance(y, np.full(50, y.mean()))
    told = number_metrics(y, mean, counts=True)
    assert told["D²"] == pytest.approx(1 - mean_poisson_deviance(y, mean) / null)


def test_class_metrics_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(2, size=40)
    chance = rng.uniform(0.05, 0.95, 40).round(1)  # rounded: ties
    probability = np.column_stack([1 - chance, chance])
    told = class_metrics(codes, (chance > 0.5).astype(int), probability)
    assert told["AUC"] == pytest.approx(roc_auc_score(codes, chance))
    assert told["log loss"] == pytest.approx(log_loss(codes, probability))
    assert told["accuracy"] == np.mean((chance > 0.5) == codes)


def test_groups_of_rows_stay_together() -> None:
    groups = np.repeat([f"g{j}" for j in range(12)], 5)
    y = np.arange(60.0)
    train, test = hold_out(y, 0.25, 0, classes=False, groups=groups)
    assert not set(groups[train]) & set(groups[test])
    splitter = fold_splitter(4, 0, classes=False, groups=True)
    for inside, held_out in splitter.split(y, y, groups):
        assert not set(groups[inside]) & set(groups[held_out])


def test_classes_are_held_out_in_proportion() -> None:
    y = np.repeat(["a", "b"], [80, 20])
    _, test = hold_out(y, 0.25, 0, classes=True)
    assert (y[test] == "b").sum() == 5


def test_options_are_checked_before_the_table_is_read() -> None:
    with pytest.raises(ValueError, match=r"selection must be in .*'1se'.* got 'best'"):
        fit_table("there is no such file.csv", "y", selection="best")
    with pytest.raises(ValueError, match="impute must be"):
        FitOptions(impute="zero")
    with pytest.raises(ValueError, match="q is a parameter of lq, not of mcp"):
        FitOptions(penalty="mcp", q=0.5)
    with pytest.raises(ValueError, match="not known"):
        FitOptions(loss="poison")
    with pytest.raises(TypeError, match="alhpa"):
        fit_table(table(), "y", alhpa=1.0)


def test_what_cannot_be_split_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"cannot hold out 0\.2 of 100 rows.*--test-size 0"):
        hold_out(np.arange(100).astype(str), 0.2, 0, classes=True)
    with pytest.raises(ValueError, match="no feature left"):
        fit_table({"x": [1.0, 2.0, 3.0], "y": [1.0, 2.0, 4.0]}, "y", weights="x")
