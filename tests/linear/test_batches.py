"""Batches: any cut of the rows gives the fit of all of them, in the memory of one batch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

import gossamer as gs
from gossamer.linear import parquet_batches

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    """A table, its target, and weights with zeros among them."""
    X = rng.standard_normal((1000, 6)) + 3
    return X, X[:, 0] - X[:, 3] + rng.standard_normal(1000), rng.integers(0, 3, 1000) / 2


def cut(*arrays: Any, at: tuple[int, ...] = (1, 300, 310)) -> Iterator[tuple[Any, ...]]:
    yield from zip(*(np.split(array, at) for array in arrays), strict=True)


def assert_same_fit(model: Any, other: Any) -> None:
    """Inside a group that is kept, a gap of 1e-12 leaves coefficients free by its root."""
    error = 1e-7 if "Group" in type(model).__name__ else 1e-9
    assert model.coef_ == pytest.approx(other.coef_, abs=error)
    assert model.intercept_ == pytest.approx(other.intercept_, abs=10 * error)


# -- estimators


MODELS = [
    gs.Lasso(0.1),
    gs.Lasso(0.1, standardise=True, nonnegative=True),
    gs.linear.ElasticNet(0.1, fit_intercept=False),
    gs.GroupLasso(0.1, groups=[0, 0, 1, 1, 2, 2]),
    gs.SparseGroupLasso(0.1, groups=[0, 0, 1, 1, 2, 2]),
    gs.MCPRegressor(0.2, standardise=True),
    gs.SCADRegressor(0.2),
    gs.SparseModel(penalty=gs.Lq(0.1, q=0.5)),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_batches_give_the_fit_of_all_rows(model: Any, data: Data) -> None:
    model.set_params(tol=1e-12)
    expected = type(model)(**model.get_params()).fit(*data)
    for X, y, s in cut(*data, at=(9, 300, 310)):
        model.partial_fit(X, y, s)
    assert_same_fit(model, expected)
    assert model.certificate_.holds
    assert model.moments_.count == (data[2] > 0).sum()
    assert_same_fit(type(model)(**model.get_params()).fit_batches(cut(*data)), expected)


def test_several_targets(data: Data) -> None:
    X, y, s = data
    Y = np.column_stack([y, X[:, 1] + y])
    model = gs.MultiTaskLasso(0.1, tol=1e-12).fit_batches(cut(X, Y, s))
    expected = gs.MultiTaskLasso(0.1, tol=1e-12).fit(X, Y, s)
    assert model.coef_ == pytest.approx(expected.coef_, abs=1e-7)
    assert model.predict(X).shape == (1000, 2)


def test_offsets_are_subtracted(data: Data) -> None:
    X, y, _ = data
    offset = np.cos(np.arange(1000.0))
    model = gs.Lasso(0.1, tol=1e-12)
    for rows in np.split(np.arange(1000), [400]):
        model.partial_fit(X[rows], y[rows], offset=offset[rows])
    assert_same_fit(model, gs.Lasso(0.1, tol=1e-12).fit(X, y, offset=offset))


def test_frames_and_sparse_batches(data: Data) -> None:
    X, y, _ = data
    expected = gs.Lasso(0.1, tol=1e-12).fit(X, y)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = gs.Lasso(0.1, tol=1e-12).fit_batches((frame[i : i + 250], y[i : i + 250])
                                                 for i in range(0, 1000, 250))  # fmt: skip
    assert_same_fit(model, expected)
    assert model.feature_names_in_.tolist() == list("abcdef")
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame[["b", "a", "c", "d", "e", "f"]], y)
    model = gs.Lasso(0.1, tol=1e-12).partial_fit(sparse.csr_array(X), y)
    assert_same_fit(model, expected)


def test_partial_fit_goes_on_where_the_batches_ended(data: Data, tmp_path: Path) -> None:
    X, y, s = data
    model = gs.Lasso(0.1, tol=1e-12).fit_batches([(X[:700], y[:700], s[:700])])
    gs.save(model, tmp_path / "model.gossamer")
    model = gs.load(tmp_path / "model.gossamer").partial_fit(X[700:], y[700:], s[700:])
    assert_same_fit(model, gs.Lasso(0.1, tol=1e-12).fit(*data))


def test_fit_forgets_the_batches(data: Data) -> None:
    X, y, _ = data
    model = gs.Lasso(0.1, tol=1e-12).partial_fit(X[:500], y[:500]).fit(X[500:], y[500:])
    assert_same_fit(model, gs.Lasso(0.1, tol=1e-12).fit(X[500:], y[500:]))
    assert not hasattr(model, "moments_")
    model.partial_fit(X[:500], y[:500])
    assert model.moments_.count == 500
    model.fit_batches([(X, y)])
    assert model.moments_.count == 1000


def test_a_refused_batch_leaves_the_model(data: Data) -> None:
    X, y, _ = data
    model = gs.Lasso(0.1).partial_fit(X, y)
    before = model.coef_.copy()
    with pytest.raises(ValueError, match="X has 5 features, but Lasso is expecting 6"):
        model.partial_fit(X[:, :5], y)
    with pytest.raises(ValueError, match="rows have 6 features and 2 targets"):
        model.partial_fit(X, np.column_stack([y, y]))
    assert model.moments_.count == 1000 and (model.coef_ == before).all()


@pytest.mark.parametrize(
    "model", [gs.SparseLogistic(), gs.SparsePoisson(), gs.SparseModel(gs.losses.Huber())], ids=str
)
def test_other_losses_need_the_rows(model: Any) -> None:
    assert not hasattr(model, "partial_fit")


@pytest.mark.parametrize("selection", ["min", "1se", "bic"])
def test_choice_of_the_strength(selection: str, data: Data) -> None:
    """Rows are dealt out to the folds in turn, whatever the batches."""
    turn = np.arange(1000) % 4
    folds = [(np.flatnonzero(turn != i), np.flatnonzero(turn == i)) for i in range(4)]
    options = {"selection": selection, "n_alphas": 12, "tol": 1e-12}
    expected = gs.LassoCV(cv=folds, **options).fit(*data)
    steps: list[None] = []
    model = gs.LassoCV(cv=4, **options)
    model.fit_batches(cut(*data), on_step=lambda: steps.append(None))
    assert model.cv_results_.mean == pytest.approx(expected.cv_results_.mean, rel=1e-9)
    assert model.cv_results_.folds == pytest.approx(expected.cv_results_.folds, rel=1e-9)
    assert model.alpha_ == pytest.approx(expected.alpha_)
    assert_same_fit(model, expected)
    assert len(steps) == (12 if selection == "bic" else 12 * 5)


def test_a_batch_without_weight_adds_nothing(data: Data) -> None:
    X, y, _ = data
    batches = [(X[:9], y[:9], np.zeros(9)), (X, y, np.ones(1000))]
    model = gs.Lasso(0.1, tol=1e-12).fit_batches(batches)
    assert_same_fit(model, gs.Lasso(0.1, tol=1e-12).fit(X, y))
    with pytest.raises(ValueError, match="no rows of positive weight"):
        gs.Lasso(0.1).fit_batches(batches[:1])


def test_verbose_counts_the_rows(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    gs.Lasso(0.1, verbose=1).fit_batches(cut(*data))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "batch 0: 1 rows read" and lines[3] == "batch 3: 1,000 rows read"
    assert lines[4].startswith("alpha 0.1: ")


def test_batches_are_refused(data: Data) -> None:
    X, y, _ = data
    with pytest.raises(ValueError, match="batches gave no rows: a generator can be read once"):
        gs.Lasso().fit_batches([])
    with pytest.raises(ValueError, match=r"tuple \(X, y\) .*, got ndarray in batch 0"):
        gs.Lasso().fit_batches(X)
    with pytest.raises(ValueError, match="cv must be a whole number >= 2 for rows in parts"):
        gs.LassoCV(cv=[(np.arange(3), np.arange(3))]).fit_batches([(X, y)])
    with pytest.raises(ValueError, match="cv=5 folds need a row of positive weight each"):
        gs.LassoCV(cv=5).fit_batches([(X[:4], y[:4])])
    with pytest.raises(ValueError, match="selection must be one of"):
        gs.LassoCV(selection="best").fit_batches([(X, y)])


# -- Parquet files


NAMES = ["age", "dose", "flag", "count"]


@pytest.fixture
def file(tmp_path: Path, rng: np.random.Generator) -> Path:
    frame = pd.DataFrame(
        {
            "age": rng.standard_normal(1000).astype(np.float32),
            "dose": rng.standard_normal(1000),
            "flag": rng.random(1000) < 0.3,
            "count": rng.integers(0, 9, 1000),
        }
    )
    frame["y"] = frame["dose"] + frame["flag"] + rng.standard_normal(1000)
    frame["z"] = rng.standard_normal(1000)
    frame["w"] = rng.integers(0, 3, 1000)
    frame.to_parquet(tmp_path / "rows.parquet", row_group_size=300)
    return tmp_path / "rows.parquet"


def test_a_file_gives_its_rows(file: Path) -> None:
    frame = pd.read_parquet(file)
    batches = parquet_batches(file, "y", features=NAMES, weight="w", batch_rows=128)
    assert batches.n_rows == 1000 and batches.feature_names == tuple(NAMES)
    for _ in range(2):  # read anew
        read = list(batches)
        assert max(len(X) for X, _, _ in read) == 128
        for i, name in enumerate((NAMES, "y", "w")):
            together = np.concatenate([batch[i] for batch in read])
            assert (together == frame[name].to_numpy(float)).all()


def test_a_file_is_fitted(file: Path) -> None:
    frame = pd.read_parquet(file)
    model = gs.Lasso(0.05, tol=1e-12)
    model.fit_batches(parquet_batches(file, "y", features=NAMES, weight="w", batch_rows=100))
    assert_same_fit(model, gs.Lasso(0.05, tol=1e-12).fit(frame[NAMES], frame["y"], frame["w"]))
    assert model.feature_names_in_.tolist() == NAMES
    assert model.predict(frame[NAMES]).shape == (1000,)
    grouped = gs.GroupLasso(0.1, groups=[["age", "dose"], ["flag", "count"]])
    grouped.fit_batches(parquet_batches(file, "y", features=NAMES))
    assert grouped.certificate_.holds
    chosen = gs.LassoCV(cv=3, n_alphas=5).fit_batches(parquet_batches(file, "y"))
    assert chosen.feature_names_in_.tolist() == [*NAMES, "z", "w"]


def test_several_targets_of_a_file(file: Path) -> None:
    frame = pd.read_parquet(file)
    model = gs.MultiTaskLasso(0.05, tol=1e-12)
    model.fit_batches(parquet_batches(file, ["y", "z"], features=NAMES))
    expected = gs.MultiTaskLasso(0.05, tol=1e-12).fit(frame[NAMES], frame[["y", "z"]])
    assert model.coef_ == pytest.approx(expected.coef_, abs=1e-7)


def test_files_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not found from"):
        parquet_batches(tmp_path / "none.parquet", "y")
    (tmp_path / "text.parquet").write_text("a,y\n1,2\n")
    with pytest.raises(ValueError, match="is not a Parquet file, or is damaged"):
        parquet_batches(tmp_path / "text.parquet", "y")
    with pytest.raises(ValueError, match="has no column 'Y': it has 'age'"):
        parquet_batches(file, "Y")
    with pytest.raises(ValueError, match="column 'y' is given two roles, or twice"):
        parquet_batches(file, "y", features=["age", "y"])
    with pytest.raises(ValueError, match="at least one feature and one target"):
        parquet_batches(file, "y", features=[])
    with pytest.raises(ValueError, match="batch_rows must be a whole number >= 1, got 0"):
        parquet_batches(file, "y", batch_rows=0)
    pq.write_table(pa.table({"a": [1.0, None], "b": ["x", "y"], "y": [1, 2]}), file)
    with pytest.raises(ValueError, match="column 'b' is not numeric"):
        parquet_batches(file, "y")
    with pytest.raises(ValueError, match="column 'a' has missing values"):
        list(parquet_batches(file, "y", features=["a"]))


def test_what_to_install_is_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'gossamer\[parquet\]'"):
        parquet_batches(file, "y")


FIT_A_FILE = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import gossamer as gs

path, n, p = sys.argv[1], 400_000, 50

def rows(seed, n):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    columns = {f"x{j}": X[:, j] for j in range(p)}
    return pa.table(columns | {"y": 2 * X[:, 7] + rng.standard_normal(n)})

def fit():
    batches = gs.linear.parquet_batches(path, "y", batch_rows=8192)
    return gs.LassoCV(n_alphas=10).fit_batches(batches)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small = rows(0, 20_000)
pq.write_table(small, path)
fit()  # all that has to be loaded is loaded, and a file of one row group was read
with pq.ParquetWriter(path, small.schema, compression="none", use_dictionary=False) as writer:
    for seed in range(n // 20_000):
        writer.write_table(rows(seed, 20_000))
before = peak()
model = fit()
print(peak() - before, np.flatnonzero(np.abs(model.coef_) > 0.1).tolist())
"""


def test_a_file_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    """A fit of 163 MB of rows may take a fifth of that beyond what a small fit takes."""
    path = tmp_path / "large.parquet"
    run = subprocess.run(
        [sys.executable, "-c", FIT_A_FILE, str(path)], capture_output=True, text=True, check=True
    )
    grown, _, selected = run.stdout.strip().partition(" ")
    size = path.stat().st_size
    assert size > 160e6 and selected == "[7]"
    assert int(grown) < size / 5, f"{int(grown) / 1e6:.0f} MB for a file of {size / 1e6:.0f} MB"
