"""``gossamer fit --dask``: rows that stay with the workers of a cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gossamer as gs

pytest.importorskip("distributed", reason="dask is not installed")

Tables = Callable[[str], pd.DataFrame]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler with one worker, both in this process."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def rows(table: Tables, tmp_path: Path) -> Path:
    """A folder of three Parquet files."""
    frame, folder = table("regression"), tmp_path / "rows"
    folder.mkdir()
    for part in range(3):
        frame[40 * part : 40 * (part + 1)].to_parquet(folder / f"{part}.parquet")
    return folder


def test_a_folder_is_fitted_as_a_table(run: Any, table: Tables, rows: Path, address: str) -> None:
    words = ["--target", "y", "--alpha", "0.1", "-o", "out"]
    told = run("fit", str(rows), *words, "--dask", address)
    assert told.code == 0, told.err
    assert "Proved optimal" in told.out
    assert "The rows stayed on the cluster" in told.out
    page = (told.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "pictures of single predictions, a test set and half-samples are left out" in page
    model = gs.load("out/model.gossamer")
    table("regression").to_csv("table.csv", index=False)
    whole = run("fit", "table.csv", *words[:-1], "whole", "--test-size", "0", "--resamples", "0")
    assert whole.code == 0, whole.err
    expected = gs.load("whole/model.gossamer")
    np.testing.assert_allclose(model[-1].coef_, expected[-1].coef_, atol=1e-5)
    assert run("predict", "out/model.gossamer", "table.csv").code == 0


def test_folds_and_subsets(run: Any, rows: Path, address: str) -> None:
    words = ["--max-nonzero", "4", "--cv", "3", "--dask", address]
    told = run("fit", str(rows), "--target", "y", "-o", "out", *words)
    assert told.code == 0, told.err
    found = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert {"x1", "x2"} <= {item["feature"] for item in found["selected"]}
    assert "held-out folds" in found["headline"]
    assert found["samples"] == {"training": 120, "test": 0}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--curves"], ["--dask", "--curves"]),
        (["--inference", "stability"], ["--dask", "--inference"]),
    ],
)
def test_what_needs_the_rows_is_refused(
    run: Any, rows: Path, words: list[str], told: list[str]
) -> None:
    answer = run("fit", str(rows), "--target", "y", "-o", "out", "--dask", "tcp://no:1", *words)
    assert answer.code == 2
    assert all(word in answer.err for word in told)


def test_files_that_are_not_there(run: Any, address: str) -> None:
    answer = run("fit", "nowhere.parquet", "--target", "y", "-o", "out", "--dask", address)
    assert answer.code == 2
    assert "nowhere.parquet cannot be read" in answer.err
