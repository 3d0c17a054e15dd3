"""Options on real tables."""

from __future__ import annotations

import importlib.util
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

islp = pytest.mark.skipif(
    importlib.util.find_spec("ISLP") is None, reason="the ISLP data are absent"
)


def selected() -> list[str]:
    found = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    return [item["feature"] for item in found["selected"]]


def islp_table(name: str) -> pd.DataFrame:
    found = importlib.util.find_spec("ISLP")
    assert found is not None
    assert found.origin is not None
    return pd.read_csv(Path(found.origin).parent / "data" / f"{name}.csv")


def test_the_best_five_of_diabetes_are_proved(fit: Any) -> None:
    frame = load_diabetes(as_frame=True).frame
    words = ["--n-nonzero", "5", "--solver", "branch-and-bound", "--test-size", "0"]
    run = fit(frame, *words, "--inference", "debiased", target="target")
    assert run.code == 0, run.err
    assert "Proved optimal" in run.out
    y = frame.pop("target")
    X = frame - frame.mean()

    def left(names: tuple[str, ...]) -> float:
        columns = X[list(names)].to_numpy()
        return float(np.linalg.lstsq(columns, y - y.mean(), rcond=None)[1][0])

    assert set(selected()) == set(min(combinations(X.columns, 5), key=left))


@islp
def test_survival_of_publications(fit: Any, run: Any) -> None:
    words = ["--event", "status", "--drop", "mech", "--alpha", "0.15"]
    told = fit(islp_table("Publication"), *words, target="time")
    assert told.code == 0, told.err
    assert selected()[0] == "impact"
    shown = run("predict", "out/model.gossamer", "table.csv", "--times", "12,24")
    assert shown.out.startswith("prediction,S(12),S(24)\n")


@islp
def test_riders_as_counts_with_more_spread(fit: Any) -> None:
    frame = islp_table("Bikeshare")[["bikers", "temp", "hum", "windspeed", "workingday"]][:600]
    run = fit(frame, "--loss", "negative-binomial", "--alpha", "0.02", target="bikers")
    assert run.code == 0, run.err
    assert {"temp", "hum"} <= set(selected())
