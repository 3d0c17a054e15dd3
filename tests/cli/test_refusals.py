"""What the command refuses, with which exit code and with which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gossamer as gs
from gossamer import cli
from gossamer.core.problem import Problem
from gossamer.linear import cv
from gossamer.linear.inference import resampling
from gossamer.solvers import ActiveSetNewton

Tables = Callable[[str], pd.DataFrame]


def refused(run: Any, *words: str, code: int = 2) -> None:
    assert run.code == code, run.out + run.err
    assert run.err.startswith("gossamer: ")
    assert len(run.err.splitlines()) <= 2, run.err
    assert "Traceback" not in run.err
    for word in words:
        assert word in run.err


def test_the_table_must_be_there(run: Any) -> None:
    refused(run("fit", "no.csv", "--target", "y", "-o", "out"), "no.csv", "not found")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "blank lines"),
        (b"x,y\n", "no rows"),
        (b"x,y\n1,2\n3,4,5\n", "line 3"),
        (b"x,x,y\n1,2,3\n", "several columns named 'x'"),
        (b"PK\x03\x04\x00\x00", "binary data"),
        (b"x,y\n1,2\n", "in all 1 rows"),
        (b"x,y\n1,2\n2,2\n3,2\n", "nothing to learn"),
        (b"y\n1\n2\n3\n", "only the target"),
    ],
)
def test_files_that_are_no_table_to_learn_from(fit: Any, content: bytes, words: str) -> None:
    refused(fit(content), words)


def test_a_target_must_be_there_and_complete(fit: Any, table: Tables) -> None:
    frame = table("regression")
    refused(fit(frame, target="Y"), "no column 'Y'", "'y'")
    frame.loc[2, "y"] = np.nan
    refused(fit(frame), "missing in 1 of 120", "--drop-missing")


def test_missing_values_are_refused_with_the_remedy(fit: Any, table: Tables) -> None:
    frame = table("regression")
    frame.loc[::10, "x1"] = np.nan
    refused(fit(frame), "'x1' (12)", "--impute median", "--drop-missing", "--drop x1")


def test_text_is_refused_with_the_remedy(fit: Any, table: Tables) -> None:
    frame = table("regression")
    frame["name"] = [f"name {j}" for j in range(len(frame))]
    refused(fit(frame), "'name' (text)", "--drop name")
    assert fit(frame, "--drop", "name").code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--penlty", "mcp"], ["--penlty", "Did you mean --penalty?"]),
        (["--penalty", "mpc"], ["mpc", "scad"]),
        (["--alpha", "-1"], ["alpha", "> 0", "-1"]),
        (["--alpha", "nan"], ["alpha", "nan"]),
        (["--tol", "0"], ["tol"]),
        (["--cv", "1"], ["cv", "2 folds"]),
        (["--test-size", "1"], ["test_size"]),
        (["--resamples", "-3"], ["resamples"]),
        (["--gamma", "3"], ["gamma", "mcp and scad", "not of l1"]),
        (["--penalty", "mcp", "--gamma", "-1"], ["gamma"]),
        (["--loss", "logistic"], ["logistic", "two"]),
        (["--loss", "poisson"], ["'y'"]),
        (["--drop", "nope"], ["no column 'nope'"]),
        (["--weights", "town"], ["'town'", "numbers"]),
        (["--weights", "x1"], ["'x1'", "negative"]),
        (["--groups", "groups.yaml"], ["groups.yaml"]),
        (["--groups", "groups.json"], ["in no group", "'town'"]),
        (["--test", "no.csv"], ["no.csv"]),
        (["--cv", "200"], ["96", "--cv"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_options_that_do_not_suit(
    fit: Any, table: Tables, words: list[str], told: list[str]
) -> None:
    Path("groups.json").write_text(json.dumps({"numbers": "x*"}), encoding="utf-8")
    refused(fit(table("regression"), *words), *told)


def test_classes_too_small_to_learn(fit: Any, table: Tables) -> None:
    frame = table("multiclass")
    frame.loc[0, "y"] = "alone"
    refused(fit(frame), "least populated class", "--test-size 0")
    refused(fit(frame, "--test-size", "0"), "only one row of class 'alone'")


def test_a_test_table_of_other_columns_or_classes(fit: Any, table: Tables) -> None:
    frame = table("multiclass")
    frame.drop(columns="x3").to_csv("test.csv", index=False)
    refused(fit(frame, "--test", "test.csv"), "no column 'x3'")
    frame.replace({"y": {"mid": "new"}}).to_csv("test.csv", index=False)
    refused(fit(frame, "--test", "test.csv"), "training rows lack", "'new'")


def test_an_output_that_cannot_be_written(run: Any, table: Tables) -> None:
    table("regression").to_csv("t.csv", index=False)
    Path("file").write_text("taken", encoding="utf-8")
    refused(run("fit", "t.csv", "--target", "y", "-o", "file"), "cannot make", "file")
    refused(run("fit", "t.csv", "--target", "y", "-o", "file/below"), "cannot make")
    assert Path("file").read_text(encoding="utf-8") == "taken"


def test_predict_refuses_other_columns_and_damaged_models(
    fit: Any, run: Any, table: Tables
) -> None:
    frame = table("regression")
    assert fit(frame, "--alpha", "0.1").code == 0
    frame.drop(columns="x4").to_csv("new.csv", index=False)
    refused(run("predict", "out/model.gossamer", "new.csv"), "no column 'x4'")
    refused(run("predict", "none.gossamer", "table.csv"), "none.gossamer")
    whole = Path("out/model.gossamer").read_bytes()
    Path("half.gossamer").write_bytes(whole[: len(whole) // 2])
    refused(run("predict", "half.gossamer", "table.csv"), "damaged")
    frame["x4"] = "a"
    frame.to_csv("new.csv", index=False)
    refused(run("predict", "out/model.gossamer", "new.csv"), "'x4'", "held numbers")
    gs.save(gs.Lasso().fit([[0.0], [1.0]], [0.0, 1.0]), "bare.gossamer")
    refused(run("predict", "bare.gossamer", "table.csv"), "does not take tables")


def test_a_certificate_that_misses_is_told_and_files_are_written(
    fit: Any, table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    solve = Problem.solve

    def hasty(*args: Any, **asked: Any) -> Any:
        return solve(*args, **{**asked, "max_iter": 1})

    monkeypatch.setattr(Problem, "solve", hasty)
    run = fit(table("multiclass"), "--alpha", "0.01")
    assert run.code == cli.NOT_CERTIFIED
    assert "misses the tolerance" in run.err
    assert "Not converged" in run.out
    assert len(list((run.folder / "out").iterdir())) == 4


def interrupt_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, interrupted at a later call."""
    count = 0

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count > calls:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return counting


def test_interrupted_before_there_is_a_model(
    fit: Any, table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ActiveSetNewton, "run", interrupt_after(20, ActiveSetNewton.run))
    run = fit(table("regression"))
    refused(run, "before all files were written", code=130)
    assert not list((run.folder / "out").iterdir())


def test_interrupted_folds_leave_a_model(
    fit: Any, table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv, "_fold_curve", interrupt_after(3, cv._fold_curve))
    run = fit(table("regression"), "--jobs", "1", "--resamples", "5", "--verbose")
    assert run.code == 130
    assert "first 3 of 4 folds" in run.err
    assert gs.load("out/model.gossamer")[-1].cv_results_.folds.shape[1] == 3
    assert len(list((run.folder / "out").iterdir())) == 4


def test_interrupted_half_samples_count_as_far_as_they_came(
    fit: Any, table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_weights = interrupt_after(4 + 6, Problem.with_weights)  # 4 folds, then 6 half-samples
    monkeypatch.setattr(Problem, "with_weights", with_weights)
    run = fit(table("regression"), "--resamples", "9", "--jobs", "1", "--verbose")
    assert run.code == 130
    assert "rests on 6 half-samples" in run.err
    assert "6 resamples" in (run.folder / "out" / "report.html").read_text(encoding="utf-8")


def test_a_bug_is_no_bad_input(fit: Any, table: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("loose screw")

    monkeypatch.setattr(resampling, "halves", broken)
    words = ["--resamples", "2", "--alpha", "0.1"]
    refused(fit(table("regression"), *words), "loose screw", "--debug", code=1)
    with pytest.raises(RuntimeError, match="loose screw"):
        fit(table("regression"), *words, "--debug")
