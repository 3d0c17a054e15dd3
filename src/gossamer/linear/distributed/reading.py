"""Tables that the workers of a cluster read, and encode where they lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.linear.distributed.cluster import _dask
from gossamer.linear.encode import TableEncoder
from gossamer.linear.table import Table, as_table

_SAMPLE = 50_000  # rows by which columns are told apart


def read_rows(path: str) -> Any:
    """The rows of Parquet or CSV files as a dask data frame; nothing is read yet but a head.

    Parameters
    ----------
    path : str
        A file, a folder of Parquet files, or a pattern such as ``rows/*.csv``.

    Raises
    ------
    FileNotFoundError
        When there is none.
    ImportError
        When dask or its data frames are not installed.
    """
    _dask()
    from dask import config, dataframe

    suffix = Path(path).suffix.lower()
    with config.set({"dataframe.convert-string": False}):
        try:
            if suffix in (".csv", ".tsv"):
                return dataframe.read_csv(path, sep="\t" if suffix == ".tsv" else ",")
            return dataframe.read_parquet(path)
        except (FileNotFoundError, OSError) as error:
            raise FileNotFoundError(
                f"{path} cannot be read ({error}). Give a Parquet or CSV file, a folder of Parquet "
                "files or a pattern, at a place that all workers see."
            ) from error


def sample_of(rows: Any) -> Table:
    """The first rows, in memory."""
    return as_table(rows.head(_SAMPLE, npartitions=-1), "the first rows")


@dataclass(frozen=True, eq=False)
class EncodedRows:
    """Rows of numbers on a cluster, and what is known of their columns.

    X, kept : dask data frames of the features, and of the columns that were kept as they are.
    means, deviation : (p,) arrays; the deviation is one where a column is constant.
    """

    X: Any
    kept: Any
    n_rows: int
    means: np.ndarray
    deviation: np.ndarray


def encode_rows(rows: Any, encoder: TableEncoder, keep: list[str]) -> EncodedRows:
    """Features encoded by the workers, beside other columns; one pass for their moments.

    All come out of one task a part: read for themselves, columns may be cut into other parts.
    """
    part = rows[[*(str(name) for name in encoder.feature_names_in_), *keep]]
    like = _encoded(part.head(5, npartitions=-1), encoder, keep)
    frame = part.map_partitions(_encoded, encoder, keep, meta=like.iloc[:0])
    X = frame[[str(name) for name in encoder.get_feature_names_out()]]
    n_rows, means, deviation = _dask().compute(
        frame.shape[0], X.mean(axis=0), X.std(axis=0, ddof=0)
    )
    spread = np.asarray(deviation, dtype=float)
    return EncodedRows(
        X,
        frame[keep],
        int(n_rows),
        np.asarray(means, dtype=float),
        np.where(spread > 0, spread, 1.0),
    )


def _encoded(part: Any, encoder: TableEncoder, keep: list[str]) -> Any:
    """A part of the rows as a data frame of numbers, and the columns kept."""
    features = part[[str(name) for name in encoder.feature_names_in_]]
    names = [str(name) for name in encoder.get_feature_names_out()]
    values = encoder.transform(as_table(features)) if len(part) else np.empty((0, len(names)))
    frame = type(part)(np.asarray(values), columns=names, index=part.index)
    return frame.assign(**{name: part[name] for name in keep})
