"""``gossamer fit`` and ``gossamer predict`` on tables that are in order."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gossamer as gs

Tables = Callable[[str], pd.DataFrame]
FILES = ("model.gossamer", "coefficients.csv", "summary.json", "report.html")
LOSSES = {
    "regression": "Quadratic",
    "counts": "Poisson",
    "binary": "Logistic",
    "multiclass": "Multinomial",
}


def coefficients(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "out" / "coefficients.csv")


@pytest.mark.parametrize("kind", LOSSES)
def test_each_kind_of_target_gets_its_loss_and_its_files(
    fit: Any, table: Tables, kind: str
) -> None:
    run = fit(table(kind), drawn=True)
    assert run.code == 0, run.err
    assert run.err == ""
    assert f"loss         {LOSSES[kind]}" in run.out
    assert "Proved optimal" in run.out
    assert sorted(path.name for path in (run.folder / "out").iterdir()) == sorted(FILES)
    found = set(coefficients(run.folder)["feature"])
    assert {"(intercept)", "x1", "x2"} <= found
    page = (run.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "gossamer fit table.csv --target y" in page
    assert page.count("<svg") >= 4
    assert "http" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize("kind", LOSSES)
def test_predictions_of_the_command_are_those_of_the_loaded_model(
    fit: Any, run: Any, table: Tables, kind: str
) -> None:
    frame = table(kind)
    assert fit(frame, "--alpha", "0.05").code == 0
    model = gs.load("out/model.gossamer")
    features = frame.drop(columns="y")
    expected = model.predict(features)
    printed = run("predict", "out/model.gossamer", "table.csv")
    assert printed.code == 0, printed.err
    told = pd.read_csv(io.StringIO(printed.out))
    if kind in ("regression", "counts"):
        np.testing.assert_array_equal(told["prediction"], expected)
        assert list(told) == ["prediction"]
    else:
        assert told["prediction"].tolist() == expected.tolist()
        names = [f"P({label})" for label in model[-1].classes_]
        np.testing.assert_array_equal(told[names], model.predict_proba(features))
    written = run("predict", "out/model.gossamer", "table.csv", "-o", "p.csv")
    assert (written.code, written.out) == (0, "")
    assert Path("p.csv").read_text(encoding="utf-8") == printed.out


def test_coefficients_are_those_of_the_model(fit: Any, table: Tables) -> None:
    frame = table("regression")
    run = fit(frame, "--test-size", "0", "--penalty", "mcp", "--gamma", "2.5")
    assert run.code == 0, run.err
    model = gs.load("out/model.gossamer")
    assert model[-1].penalty.gamma == 2.5
    told = coefficients(run.folder).set_index("feature")
    names = model[0].get_feature_names_out()
    expected = dict(zip(names, model[-1].coef_, strict=True))
    assert set(told.index) == {"(intercept)"} | {n for n in names if expected[n]}
    assert told["coefficient"]["x1"] == expected["x1"]
    assert told["coefficient"]["(intercept)"] == model[-1].intercept_
    assert told["per_deviation"]["x1"] == pytest.approx(expected["x1"] * frame["x1"].std(ddof=0))


def test_parquet_reads_like_csv(fit: Any, run: Any, table: Tables) -> None:
    frame = table("regression")
    assert fit(frame, "--alpha", "0.1").code == 0
    by_csv = Path("out/coefficients.csv").read_text(encoding="utf-8")
    frame.to_parquet("table.parquet")
    words = ["--target", "y", "--alpha", "0.1", "--resamples", "0", "-o", "other"]
    assert run("fit", "table.parquet", *words).code == 0
    assert Path("other/coefficients.csv").read_text(encoding="utf-8") == by_csv
    told = run("predict", "other/model.gossamer", "table.parquet")
    assert told.out == run("predict", "out/model.gossamer", "table.csv").out


def test_a_test_table_is_judged_and_not_trained_on(fit: Any, table: Tables) -> None:
    frame = table("binary")
    frame[90:].iloc[:, ::-1].to_csv("test.csv", index=False)  # the order of columns is free
    run = fit(frame[:90], "--test", "test.csv")
    assert run.code == 0, run.err
    assert "90 training and 30 test samples" in run.out


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_separators_marks_and_names(fit: Any, table: Tables, mark: str) -> None:
    text = table("regression").rename(columns={"x1": "größe"}).to_csv(sep=mark, index=False)
    run = fit(("\ufeff" + text).encode("utf-8"))
    assert run.code == 0, run.err
    assert "größe" in set(coefficients(run.folder)["feature"])
    assert "\ufeff" not in run.out


def test_a_given_strength_is_kept(fit: Any, table: Tables) -> None:
    run = fit(table("regression"), "--alpha", "0.3")
    assert run.code == 0, run.err
    assert "α = 0.3: strength asked for" in run.out
    model = gs.load("out/model.gossamer")[-1]
    assert model.penalty.strength == 0.3
    assert model.certificate_.holds


@pytest.mark.parametrize("selection", ["min", "1se", "aic", "bic", "ebic"])
def test_every_way_to_choose(fit: Any, table: Tables, selection: str) -> None:
    run = fit(table("regression"), "--selection", selection)
    assert run.code == 0, run.err
    assert gs.load("out/model.gossamer")[-1].selection == selection


@pytest.mark.parametrize(
    "words",
    [
        ("elasticnet", "--l1-ratio", "0.7"),
        ("scad", "--gamma", "4"),
        ("lq", "--q", "0.5"),
        ("logsum", "--epsilon", "0.1"),
    ],
    ids=lambda words: words[0],
)
def test_every_penalty_with_its_parameter(fit: Any, table: Tables, words: tuple[str]) -> None:
    run = fit(table("regression"), "--penalty", *words)
    assert run.code == 0, run.err
    option = words[1].removeprefix("--").replace("-", "_")
    assert getattr(gs.load("out/model.gossamer")[-1].penalty, option) == float(words[2])


def test_huber_is_scaled_by_the_target(fit: Any, table: Tables) -> None:
    frame = table("regression")
    frame["y"] *= 1000
    assert fit(frame, "--loss", "huber").code == 0
    assert gs.load("out/model.gossamer")[-1].loss.delta > 500


def test_indicators_of_a_category_form_a_group(fit: Any, table: Tables) -> None:
    run = fit(table("regression"), "--groups", "categorical")
    assert run.code == 0, run.err
    chosen = set(coefficients(run.folder)["feature"])
    towns = {"town=Köln", "town=Ulm", "town=北京"}
    assert towns <= chosen or not towns & chosen
    assert "11 groups" in run.out


def test_groups_of_a_file(fit: Any, table: Tables) -> None:
    groups = {"signal": ["x1", "x2"], "noise": ["x0", "x[3-9]"], "town": "town"}
    Path("groups.json").write_text(json.dumps(groups), encoding="utf-8")
    run = fit(table("regression"), "--groups", "groups.json")
    assert run.code == 0, run.err
    penalty = gs.load("out/model.gossamer")[-1].penalty
    assert sorted(np.square(penalty.weights).round().tolist()) == [2, 3, 8]


def test_weights_offset_and_groups_of_rows(fit: Any, run: Any, table: Tables) -> None:
    frame = table("counts")
    frame["exposure"] = np.log(np.tile([1.0, 2.0], 60))
    frame["weight"] = np.tile([1.0, 3.0], 60)
    frame["clinic"] = np.repeat([f"c{j}" for j in range(20)], 6)
    words = ["--weights", "weight", "--offset", "exposure", "--group-column", "clinic"]
    fitted = fit(frame, *words)
    assert fitted.code == 0, fitted.err
    assert not {"exposure", "weight", "clinic"} & set(coefficients(fitted.folder)["feature"])
    model = gs.load("out/model.gossamer")
    shifted = run("predict", "out/model.gossamer", "table.csv", "--offset", "exposure")
    features = frame.drop(columns=["y", "exposure", "weight", "clinic"])
    expected = model.predict(features) * np.exp(frame["exposure"])
    np.testing.assert_allclose(pd.read_csv(io.StringIO(shifted.out))["prediction"], expected)


def test_half_samples_tell_stable_from_lucky(fit: Any, table: Tables) -> None:
    words = ["--resamples", "10", "--alpha", "0.05"]
    run = fit(table("binary"), *words)
    assert run.code == 0, run.err
    told = coefficients(run.folder).set_index("feature")["stability"]
    assert told["x1"] == 1.0
    again = fit(table("binary"), *words, "--jobs", "1")
    assert coefficients(again.folder).set_index("feature")["stability"].equals(told)


def test_the_seed_decides_and_jobs_do_not(fit: Any, table: Tables) -> None:
    frame = table("regression")
    written = []
    for words in (["--seed", "1"], ["--seed", "1", "--jobs", "1"], ["--seed", "2"]):
        assert fit(frame, *words).code == 0
        written.append(Path("out/coefficients.csv").read_text(encoding="utf-8"))
    assert written[0] == written[1] != written[2]


def test_remarks_on_columns(fit: Any, table: Tables) -> None:
    frame = table("regression")
    frame["same"], frame["one"], frame["id"] = frame["x1"], 1.0, np.arange(len(frame))
    run = fit(frame, "--verbose")
    assert run.code == 0
    assert "1 constant column cannot contribute: 'one'." in run.err
    assert "1 column repeats an earlier one (same = x1)" in run.err
    assert "Column 'id' numbers the rows" in run.err
    assert len(run.out.splitlines()) <= 26


def test_missing_values_on_request(fit: Any, run: Any, table: Tables) -> None:
    frame = table("regression")
    frame.loc[::10, "x1"] = np.nan
    frame.loc[5, "town"] = None
    frame.loc[3, "y"] = np.nan
    assert fit(frame, "--impute", "median").code == 2  # the target is never filled
    dropped = fit(frame, "--drop-missing", "--verbose", "--alpha", "0.1")
    assert dropped.code == 0
    assert "14 rows with missing values left out." in dropped.err
    filled = fit(frame, "--impute", "median", "--drop-missing", "-v", "--alpha", "0.1")
    assert "1 row with missing values left out." in filled.err
    told = run("predict", "out/model.gossamer", "table.csv")
    assert told.code == 0
    assert len(list(csv.reader(io.StringIO(told.out)))) == len(frame) + 1


def test_a_level_never_seen_is_told_at_prediction(fit: Any, run: Any, table: Tables) -> None:
    frame = table("regression")
    assert fit(frame).code == 0
    frame.loc[0, "town"] = "Rom"
    frame.to_csv("new.csv", index=False)
    told = run("predict", "out/model.gossamer", "new.csv")
    assert told.code == 0
    assert "did not see" in told.err
    assert "'Rom'" in told.err


def test_as_a_program(table: Tables, tmp_path: Path) -> None:
    table("multiclass").to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", "t.csv", "--target", "y", "--alpha", "0.05", "--resamples", "2", "-o", "out"]
    run = subprocess.run(
        [sys.executable, "-m", "gossamer", *words],
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    assert b"predict y" in run.stdout
    assert run.stderr == b""
    assert all((tmp_path / "out" / name).stat().st_size for name in FILES)
