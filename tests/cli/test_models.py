"""``gossamer fit`` with every loss, penalty and kind of model; its report; predictions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gossamer as gs
from gossamer.core.registry import LOSSES, PENALTIES

Tables = Callable[[str], pd.DataFrame]


@pytest.fixture
def survival(table: Tables) -> pd.DataFrame:
    """Times that the score of the table shortens, about a third of them censored."""
    rng = np.random.default_rng(0)
    frame = table("regression")
    time = rng.exponential(np.exp(-frame.pop("y") / 2))
    limit = rng.exponential(2.0, len(frame))
    frame["days"] = np.minimum(time, limit).round(4)
    frame["died"] = (time <= limit).astype(int)
    return frame


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests look at does not depend on how often inference repeats its work."""
    monkeypatch.setattr("gossamer.report.inferring._N_PAIRS", 6)
    monkeypatch.setattr("gossamer.report.inferring._N_SPLITS", 4)


def page(run: Any) -> str:
    return (run.folder / "out" / "report.html").read_text(encoding="utf-8")


def plain() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    return found


def test_help_names_every_loss_and_penalty(run: Any) -> None:
    words = " ".join(run("fit", "--help").out.split())
    assert [k.__name__ for k in LOSSES if k.__name__.lower() not in words] == []
    assert [k.__name__ for k in PENALTIES if k.__name__.lower() not in words] == []


@pytest.mark.parametrize(
    ("kind", "words", "told"),
    [
        ("regression", ["quantile", "--level", "0.8"], "Quantile (level = 0.8)"),
        ("regression", ["least-absolute"], "absolute deviations explained"),
        ("regression", ["squareroot"], "variance explained"),
        ("counts", ["negative-binomial", "--dispersion", "0.5"], "NegativeBinomial (dispersion"),
        ("counts", ["tweedie", "--power", "1.2"], "Tweedie (power = 1.2)"),
        ("binary", ["squaredhinge"], "right on the test set"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_losses_with_their_parameters(
    fit: Any, table: Tables, kind: str, words: list[str], told: str
) -> None:
    run = fit(table(kind), "--alpha", "0.1", "--loss", *words)
    assert run.code == 0, run.err
    assert told in " ".join(run.out.split())
    assert "x1" in [item["feature"] for item in plain()["selected"]]


def test_gamma(fit: Any, table: Tables) -> None:
    frame = table("regression")
    frame["y"] = np.exp(frame["y"] / 2)
    run = fit(frame, "--loss", "gamma", "--alpha", "0.1")
    assert run.code == 0, run.err
    assert "deviance explained" in run.out


@pytest.mark.parametrize(
    "words",
    [
        ["l0", "--ridge", "0.1"],
        ["slope", "--fdr", "0.2"],
        ["fused", "--sparsity", "0.3"],
        ["sparsegroup", "--groups", "categorical"],
        ["exclusive", "--groups", "categorical"],
    ],
    ids=lambda words: words[0],
)
def test_penalties_of_their_own(fit: Any, table: Tables, words: list[str]) -> None:
    run = fit(table("regression"), "--alpha", "0.05", "--penalty", *words)
    assert run.code == 0, run.err
    assert gs.load("out/model.gossamer")[-1].certificate_.holds


@pytest.mark.parametrize("words", [["--adaptive"], ["--refit"]], ids=lambda words: words[0])
def test_less_shrinkage(fit: Any, table: Tables, words: list[str]) -> None:
    frame = table("regression")

    def size() -> float:
        return float(abs(gs.load("out/model.gossamer")[-1].coef_[1]))

    assert fit(frame, "--alpha", "0.3").code == 0
    shrunk = size()
    assert fit(frame, "--alpha", "0.3", *words).code == 0
    assert size() > shrunk + 0.1


def test_a_strength_from_theory(fit: Any, table: Tables) -> None:
    run = fit(table("regression"), "--loss", "squareroot", "--selection", "theory")
    assert run.code == 0, run.err
    assert "noise alone rarely exceeds" in " ".join(run.out.split())
    model = gs.load("out/model.gossamer")[-1]
    assert model.alpha is None
    assert plain()["level"]["value"] == model.alpha_
    assert {item["feature"] for item in plain()["selected"]} >= {"x1", "x2"}


# -- best subsets ----------------------------------------------------------------------------------
def test_best_subsets_of_each_size(fit: Any, table: Tables) -> None:
    run = fit(table("regression"), "--max-nonzero", "5", "--selection", "gic", drawn=True)
    assert run.code == 0, run.err
    assert "at most 3 features: smallest generalised information criterion" in run.out
    assert "Best subsets of each size" in page(run)
    assert "features allowed" in page(run)
    assert gs.load("out/model.gossamer")[-1].n_nonzero_ == 3
    assert plain()["level"] == {
        "of": "features", "value": 3.0,
        "chosen by": "smallest generalised information criterion (GIC)",
    }  # fmt: skip


def test_a_subset_of_a_size_with_a_proof(fit: Any, table: Tables) -> None:
    words = ["--n-nonzero", "2", "--solver", "branch-and-bound", "--time-limit", "30"]
    run = fit(table("regression").drop(columns="town"), *words)
    assert run.code == 0, run.err
    assert "Proved optimal" in run.out
    assert "All subsets were searched through or ruled out" in page(run)
    assert {item["feature"] for item in plain()["selected"]} == {"x1", "x2"}


# -- curves, order, survival -----------------------------------------------------------------------
def test_curves(fit: Any, run: Any, table: Tables) -> None:
    frame = table("regression")
    frame["y"] += 2 * np.sin(3 * frame["x4"])
    told = fit(frame, "--curves", "nested", "--alpha", "0.05", "--resamples", "4", drawn=True)
    assert told.code == 0, told.err
    assert "<h2>Curves</h2>" in page(told)
    assert "The size of each curve" in page(told)
    assert "x4" in [item["feature"] for item in plain()["selected"][:3]]
    predicted = run("predict", "out/model.gossamer", "table.csv")
    expected = gs.load("out/model.gossamer").predict(frame.drop(columns="y"))
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(predicted.out))["prediction"], expected)


def test_ordered_classes(fit: Any, run: Any, table: Tables) -> None:
    words = ["--loss", "ordinal", "--order", "low,mid,high", "--alpha", "0.03"]
    told = fit(table("multiclass"), *words)
    assert told.code == 0, told.err
    text = Path("out/coefficients.csv").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in csv.reader(text.splitlines())}
    assert "(threshold low | mid)" in rows
    assert float(rows["(threshold mid | high)"][0]) > float(rows["(threshold low | mid)"][0])
    assert float(rows["x1"][0]) > 0
    assert "Thresholds between classes" in page(told)
    shown = run("predict", "out/model.gossamer", "table.csv").out
    assert shown.startswith("prediction,P(low),P(mid),P(high)\n")


def test_survival(fit: Any, run: Any, survival: pd.DataFrame) -> None:
    words = ["--event", "died", "--inference", "stability", "--jobs", "1"]
    told = fit(survival, "--alpha", "0.1", *words, target="days", drawn=True)
    assert told.code == 0, told.err
    assert "who has the event first is foretold right" in " ".join(told.out.split())
    for word in ("Survival by predicted risk", "Baseline hazard", "multiplies the hazard"):
        assert word in page(told)
    assert "(intercept)" not in Path("out/coefficients.csv").read_text(encoding="utf-8")
    shown = run("predict", "out/model.gossamer", "table.csv", "--times", "0.5,1")
    assert shown.code == 0, shown.err
    found = pd.read_csv(io.StringIO(shown.out))
    assert list(found) == ["prediction", "S(0.5)", "S(1)"]
    assert (found["S(1)"] <= found["S(0.5)"]).all()
    model = gs.load("out/model.gossamer")
    np.testing.assert_array_equal(found["prediction"], model.predict(survival.drop(
        columns=["days", "died"])))  # fmt: skip


def test_strata(fit: Any, run: Any, survival: pd.DataFrame) -> None:
    survival["clinic"] = np.tile(["north", "south"], len(survival) // 2)
    words = ["--event", "died", "--strata", "clinic", "--alpha", "0.1"]
    told = fit(survival, *words, target="days", drawn=True)
    assert told.code == 0, told.err
    assert "north" in page(told)
    refused = run("predict", "out/model.gossamer", "table.csv", "--times", "1")
    assert refused.code == 2
    assert "strata" in refused.err
    assert set(np.unique(gs.load("out/model.gossamer")[-1].baseline_hazard_.stratum)) == {0, 1}


# -- inference -------------------------------------------------------------------------------------
def test_inference_in_words(fit: Any, table: Tables) -> None:
    words = ["--inference", "stability,knockoffs", "--inference", "debiased", "--fdr", "0.5"]
    run = fit(table("regression"), "--alpha", "0.1", *words, "--jobs", "1", drawn=True)
    assert run.code == 0, run.err
    text = page(run)
    for word in (
        "<h2>Stability selection</h2>", "would be found again", "<h2>Knockoffs</h2>", "decoy",
        "<h2>Intervals (95%)</h2>", "What is promised.", "What is not.", "share the credit",
    ):  # fmt: skip
        assert word in text
    found = {item["method"]: item for item in plain()["inference"]}
    assert {"x1", "x2"} <= set(found["stability"]["selected"])
    assert {"x1", "x2"} <= set(found["debiased"]["selected"])
    assert "stability" in run.out


def test_sample_splitting_of_classes(fit: Any, table: Tables) -> None:
    run = fit(table("binary"), "--alpha", "0.1", "--inference", "multisplit", "--jobs", "1")
    assert run.code == 0, run.err
    assert "Sample splitting" in page(run)


def test_an_interrupt_of_inference_keeps_what_is_done(
    fit: Any, table: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gs.Knockoffs, "fit", interrupted)
    words = ["--inference", "debiased,knockoffs", "--alpha", "0.1", "--verbose"]
    run = fit(table("regression"), *words)
    assert run.code == 130
    assert "Interrupted before knockoffs." in run.err
    assert [item["method"] for item in plain()["inference"]] == ["debiased"]


# -- what does not go together ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--event", "x1", "--loss", "quadratic"], ["--event", "survival", "quadratic"]),
        (["--loss", "cox"], ["--event"]),
        (["--strata", "town"], ["--strata", "--event"]),
        (["--event", "x1"], ["'x1'", "1", "0"]),
        (["--n-nonzero", "2", "--alpha", "1"], ["--n-nonzero", "--alpha", "exclude"]),
        (["--n-nonzero", "2", "--max-nonzero", "3"], ["--n-nonzero", "--max-nonzero"]),
        (["--max-nonzero", "3", "--penalty", "mcp"], ["--max-nonzero", "--penalty"]),
        (["--max-nonzero", "0"], ["max_nonzero", ">= 1"]),
        (["--curves", "--adaptive"], ["--curves", "--adaptive"]),
        (["--curves", "both"], ["curves", "nested"]),
        (["--curves", "--inference", "knockoffs"], ["--curves", "--inference"]),
        (["--refit", "--selection", "bic"], ["--refit", "--selection"]),
        (["--adaptive", "--groups", "categorical"], ["--adaptive", "--groups"]),
        (["--level", "0.3"], ["level", "quantile"]),
        (["--loss", "quantile", "--power", "2"], ["power", "tweedie", "quantile"]),
        (["--penalty", "exclusive", "--groups", "categorical"], ["exclusive", "--alpha"]),
        (["--penalty", "sparsegroup"], ["sparsegroup", "--groups"]),
        (["--order", "a,b"], ["--order", "ordinal"]),
        (["--loss", "huber", "--inference", "knockoffs"], ["knockoffs", "huber", "stability"]),
        (["--inference", "magic"], ["magic", "knockoffs"]),
        (["--inference", "knockoffs", "--weights", "x1"], ["'x1'"]),
        (["--inference", "debiased", "--offset", "x1"], ["debiased", "--offset"]),
        (["--selection", "theory"], ["--selection theory", "squareroot"]),
        (["--time-limit", "3"], ["--time-limit", "branch-and-bound"]),
        (["--solver", "magic"], ["magic"]),
        (["--fdr", "0.2"], ["--fdr", "knockoffs"]),
        (["--max-false", "2"], ["--max-false", "stability"]),
        (["--confidence", "0.9"], ["--confidence", "debiased"]),
        (["--n-nonzero", "2", "--gamma", "3"], ["gamma", "mcp"]),
        (["--curves", "--no-standardise"], ["--curves", "--standardise"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_options_that_exclude_each_other(
    fit: Any, table: Tables, words: list[str], told: list[str]
) -> None:
    run = fit(table("regression"), *words)
    assert run.code == 2, run.out + run.err
    assert len(run.err.splitlines()) <= 2, run.err
    for word in told:
        assert word in run.err
