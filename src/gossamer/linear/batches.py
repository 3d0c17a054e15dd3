"""Fitting from batches of rows: only their moments are kept, so that the rows need not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.linear.base import SparseLinearModel
from gossamer.linear.moments import Moments
from gossamer.linear.words import listing


@dataclass(frozen=True)
class ParquetBatches:
    """Batches (X, y), or (X, y, sample_weight), of Parquet files; every iteration reads anew.

    Attributes
    ----------
    feature_names : tuple of str
        The columns of X.
    n_rows : int
    """

    path: Path
    files: tuple[Path, ...]
    targets: tuple[str, ...]
    is_column: bool  # several targets make y two-dimensional, and so does a list of one
    feature_names: tuple[str, ...]
    weight: str | None
    batch_rows: int
    n_rows: int

    def __iter__(self) -> Iterator[tuple[np.ndarray, ...]]:
        names = [*self.feature_names, *self.targets, *([self.weight] if self.weight else [])]
        p, k = len(self.feature_names), len(self.targets)
        for batch in self._stored(names):
            columns = np.empty((batch.num_rows, len(names)), order="F")
            for j, name in enumerate(names):
                columns[:, j] = self._numbers(batch.column(name), name)
            y = columns[:, p : p + k]
            rows = (columns[:, :p], y if self.is_column else y[:, 0])
            yield (*rows, columns[:, -1]) if self.weight else rows

    def _stored(self, names: list[str]) -> Iterator[Any]:
        for path in self.files:
            # a file that is buffered ahead would be in memory as a whole at its end
            with _arrow().parquet.ParquetFile(path, pre_buffer=False) as file:
                yield from file.iter_batches(self.batch_rows, columns=names)

    def _numbers(self, column: Any, name: str) -> np.ndarray:
        if column.null_count:
            raise ValueError(
                f"{self.path}: column {name!r} has missing values. Fill them or drop those rows, "
                "or leave the column out of features."
            )
        numbers: np.ndarray = column.to_numpy(zero_copy_only=False)
        return numbers


def parquet_batches(
    path: str | Path,
    target: str | Sequence[str],
    features: Sequence[str] | None = None,
    weight: str | None = None,
    batch_rows: int = 65536,
) -> ParquetBatches:
    """Batches of rows of Parquet, for ``fit_batches``, ``partial_fit`` or `Moments`.

    One batch is in memory at a time, and one row group of the file as it is stored.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of files of the same columns, read in the order of their names.
    target : str, or sequence of str for several targets
    features : sequence of str, default None
        The columns of X; by default all others, which must then be numeric.
    weight : str, default None
        Column of sample weights.
    batch_rows : int, default 65536

    Raises
    ------
    ImportError
        When pyarrow is not installed, with the remedy.
    FileNotFoundError, ValueError
        When there is no such file, it is not Parquet, or a column is unknown or not numeric.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.standard_normal((5000, 6)), columns=list("abcdef"))
    >>> table["y"] = 2 * table["c"] + rng.standard_normal(5000)
    >>> path = tempfile.mkdtemp() + "/rows.parquet"
    >>> table.to_parquet(path)
    >>> model = gs.Lasso(0.1).fit_batches(gs.linear.parquet_batches(path, "y", batch_rows=1000))
    >>> model.feature_names_in_[model.coef_ != 0]
    array(['c'], dtype=object)
    """
    pa = _arrow()
    path = Path(path)
    files = tuple(sorted(path.glob("*.parquet"))) if path.is_dir() else (path,)
    if not files or not files[0].is_file():
        raise FileNotFoundError(
            f"{path}: not found from {Path.cwd()}. Give a Parquet file, or a folder of .parquet "
            "files."
        )
    if not isinstance(batch_rows, int) or batch_rows < 1:
        raise ValueError(f"batch_rows must be a whole number >= 1, got {batch_rows!r}.")
    stored = [_schema(pa, file) for file in files]
    schema, n_rows = stored[0][0], sum(rows for _, rows in stored)
    targets = (target,) if isinstance(target, str) else tuple(target)
    roles = [*targets, *([weight] if weight is not None else [])]
    if features is None:
        features = [name for name in schema.names if name not in roles]
    if not features or not targets:
        raise ValueError(f"{path}: at least one feature and one target are needed.")
    for file, (schema, _) in zip(files, stored, strict=True):
        _check_columns(file, schema, [*features, *roles])
    return ParquetBatches(
        path,
        files,
        targets,
        not isinstance(target, str),
        tuple(features),
        weight,
        batch_rows,
        n_rows,
    )


def _schema(pa: Any, path: Path) -> tuple[Any, int]:
    """The columns of a file and its number of rows."""
    try:
        with pa.parquet.ParquetFile(path) as file:
            return file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is not a Parquet file, or is damaged ({error}). Write it again."
        ) from error


def _arrow() -> Any:
    """pyarrow with its `parquet`, or an ImportError that says how to get it."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'gossamer[parquet]'.") from error
    return pa


def _check_columns(path: Path, schema: Any, names: list[str]) -> None:
    types = _arrow().types
    unknown = [name for name in names if name not in schema.names]
    if unknown:
        raise ValueError(
            f"{path} has no column {listing(unknown)}: it has {listing(schema.names)}."
        )
    if len(set(names)) < len(names):
        twice = dict.fromkeys(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: column {listing(twice)} is given two roles, or twice.")
    kinds = (types.is_floating, types.is_integer, types.is_boolean)
    text = [name for name in names if not any(is_(schema.field(name).type) for is_ in kinds)]
    if text:
        raise ValueError(
            f"{path}: column {listing(text)} is not numeric. Encode it, or name the numeric "
            "columns by features=."
        )


def gather(model: SparseLinearModel, batches: Iterable[Any], n_parts: int = 1) -> list[Moments]:
    """The moments of batches that the model checks, row i in part i modulo ``n_parts``."""
    parts = [Moments() for _ in range(n_parts)]
    seen = 0
    for number, (X, y, sample_weight) in enumerate(unpacked(batches)):
        # a batch of no weight is allowed, and the weights are checked with the rest
        rows = replace(model._rows(X, y, None, None, reset=seen == 0), sample_weight=sample_weight)
        part_of = (seen + np.arange(len(rows.y))) % n_parts
        for part, new in zip(parts, rows.moments_by_part(part_of, n_parts), strict=True):
            part.merge(new)
        seen += len(rows.y)
        if model.verbose:
            print(f"batch {number}: {seen:,} rows read", flush=True)
    if seen == 0:
        raise ValueError("batches gave no rows: a generator can be read once only.")
    if isinstance(batches, ParquetBatches):
        model.feature_names_in_ = np.array(batches.feature_names, dtype=object)
    return parts


def unpacked(batches: Iterable[Any]) -> Iterator[tuple[Any, Any, Any]]:
    """(X, y, sample_weight or ``None``) of each batch."""
    for number, batch in enumerate(batches):
        if not isinstance(batch, tuple) or len(batch) not in (2, 3):
            raise ValueError(
                "each batch must be a tuple (X, y) or (X, y, sample_weight), got "
                f"{type(batch).__name__} in batch {number}."
            )
        X, y, sample_weight = (*batch, None)[:3]
        yield X, y, sample_weight
