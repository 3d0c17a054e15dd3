"""Small tables, one a kind of target, and the command run in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gossamer.cli import main
from gossamer.report.plots import style

N = 120


@pytest.fixture
def table() -> Callable[[str], pd.DataFrame]:
    """Makes the table of a kind: regression, counts, binary or multiclass."""
    return make_table


def make_table(kind: str) -> pd.DataFrame:
    """Ten numbers, a category, and a target ``y`` that follows ``x1``, ``x2`` and the category."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({f"x{j}": rng.standard_normal(N).round(4) for j in range(10)})
    frame["town"] = rng.choice(["Köln", "Ulm", "北京"], N)
    score = 2 * frame["x1"] - frame["x2"] + (frame["town"] == "Ulm")
    score += 0.3 * rng.standard_normal(N)
    frame["y"] = {
        "regression": score.round(4),
        "counts": rng.poisson(np.exp(0.5 * score + 1)),
        "binary": np.where(score > 0, "yes", "no"),
        "multiclass": pd.cut(score, 3, labels=["low", "mid", "high"]).astype(str),
    }[kind]
    return frame


@dataclass(frozen=True)
class Run:
    """What a run of the command left behind."""

    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Run ``gossamer`` with the given words in a fresh folder."""
    monkeypatch.chdir(tmp_path)

    def go(*words: str) -> Run:
        code = main(list(words))
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err, tmp_path)

    return go


@pytest.fixture
def fit(
    run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Write a table and run ``gossamer fit`` on it, quickly: 4 folds, no half-samples.

    Plots are drawn but not turned into SVG unless ``drawn`` is set: that takes most of the time.
    """

    def go(
        table: pd.DataFrame | str | bytes, *words: str, target: str = "y", drawn: bool = False
    ) -> Run:
        path = tmp_path / "table.csv"
        if isinstance(table, pd.DataFrame):
            table.to_csv(path, index=False)
        else:
            path.write_bytes(table if isinstance(table, bytes) else table.encode())
        quick: Sequence[str] = ("--cv", "4", "--resamples", "0", "-o", "out")
        with monkeypatch.context() as patch:
            if not drawn:
                patch.setattr(style, "to_svg", lambda ax, name: "<svg></svg>")
            return run("fit", "table.csv", "--target", target, *quick, *words)

    return go
