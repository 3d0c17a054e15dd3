"""Every smooth loss from a Parquet folder, under a limit on memory that the rows exceed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gossamer as gs
from gossamer.linear import parquet_batches


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    X = rng.standard_normal((900, 5))
    table = pd.DataFrame(X, columns=list("abcde"))
    table["y"] = rng.poisson(np.exp(X[:, 1] / 2))
    table["label"] = np.where(X[:, 2] + rng.standard_normal(900) > 0, 1.0, 0.0)
    for number, part in enumerate(np.split(np.arange(900), [400, 401])):
        table.iloc[part].to_parquet(tmp_path / f"part-{number}.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (gs.SparsePoisson(0.05), "y"),
        (gs.SparsePoisson(0.05, penalty="scad"), "y"),
        (gs.SparseLogistic(0.03), "label"),
        (gs.SparseModel(gs.losses.Huber(), gs.L1(0.05)), "y"),
        (gs.Lasso(0.05), "y"),
    ],
    ids=str,
)
def test_a_folder_gives_the_fit_of_all_rows(model: Any, target: str, folder: Path) -> None:
    table = pd.concat(pd.read_parquet(file) for file in sorted(folder.iterdir()))
    model.set_params(tol=1e-11)
    expected = type(model)(**model.get_params()).fit(table[list("abcde")], table[target])
    batches = parquet_batches(folder, target, features=list("abcde"), batch_rows=150)
    assert batches.n_rows == 900 and len(batches.files) == 3
    model.fit_batches(batches)
    assert model.coef_ == pytest.approx(expected.coef_, abs=1e-5)
    assert model.certificate_.holds
    assert model.feature_names_in_.tolist() == list("abcde")
    assert model.predict(table[list("abcde")]).shape == (900,)


def test_the_strength_is_chosen_from_batches(folder: Path) -> None:
    batches = parquet_batches(folder, "y", features=list("abcde"), batch_rows=300)
    model = gs.linear.SparsePoissonCV(n_alphas=5, cv=3).fit_batches(batches)
    assert model.certificate_.holds and np.abs(model.coef_).argmax() == 1


def test_rows_that_come_once_are_refused(folder: Path) -> None:
    batches = parquet_batches(folder, "y", features=list("abcde"))
    with pytest.raises(ValueError, match=r"needs several passes"):
        gs.SparsePoisson().fit_batches(iter(batches))
    with pytest.raises(ValueError, match="batches gave no rows"):
        gs.SparsePoisson().fit_batches([])
    with pytest.raises(FileNotFoundError, match=r"folder of \.parquet"):
        parquet_batches(folder / "none", "y")


LIMITED = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import gossamer as gs

folder, n_files, rows, p = sys.argv[1], 20, 25_000, 50

def table(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, p))
    y = rng.poisson(np.exp(X[:, 7] / 2)).astype(float)
    return pa.table({f"x{j}": X[:, j] for j in range(p)} | {"y": y})

def fit(path):
    batches = gs.linear.parquet_batches(path, "y", batch_rows=8192)
    return gs.SparsePoisson(0.05).fit_batches(batches)

def address_space():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

for number in range(n_files):
    pq.write_table(table(number), f"{folder}/{number:02d}.parquet", compression="none",
                   use_dictionary=False, row_group_size=8192)
fit(f"{folder}/00.parquet")  # what has to be loaded and compiled is
size = n_files * rows * (p + 1) * 8
limit = address_space() + size // 4
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.ones(size // 8)
    print("the limit does not hold")
except MemoryError:
    model = fit(folder)
    print(np.flatnonzero(model.coef_).tolist(), model.certificate_.holds, size)
"""


def test_a_folder_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    """204 MB of rows, and address space for a quarter of them beyond what a small fit has."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        # Arrow's own pools reserve more address space than they use, and so do a thread's arenas
        env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[7] True 204000000"
