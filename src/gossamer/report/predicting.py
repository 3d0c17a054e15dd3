"""Predictions of a saved model for a table in a file: what ``gossamer predict`` does."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from gossamer.linear.files import load
from gossamer.linear.table import read_table
from gossamer.linear.table_model import columns_of, predict_table, unseen_levels
from gossamer.linear.words import listing
from gossamer.report.targets import number_column


def predict_file(
    model_file: str | Path,
    table_file: str | Path,
    output: str | Path | None = None,
    *,
    offset: str | None = None,
    times: Sequence[float] = (),
) -> list[str]:
    """Write one line per row: ``prediction``, and for classifiers ``P(label)`` for every label.

    Parameters
    ----------
    output : str or path, optional
        A CSV file; standard output by default.
    offset : str, optional
        Column that is added to the linear prediction.
    times : sequence of float
        Of survival: the chance of no event up to each of them is written as ``S(time)``.

    Returns
    -------
    list of str
        What the user should know.
    """
    model = load(model_file)
    names = columns_of(model)
    table = read_table(table_file, columns=[*names, *([offset] if offset else [])])
    shift = number_column(table, offset, "offset")
    features = table.select(names)
    columns = predict_table(model, features, shift, times)
    if output is None:
        _write(columns, sys.stdout)
    else:
        with Path(output).open("w", encoding="utf-8", newline="") as file:
            _write(columns, file)
    unseen = unseen_levels(model[0], features)
    what = "; ".join(f"{name}: {listing(levels, 3)}" for name, levels in unseen.items())
    return [f"levels that the fit did not see count as no level ({what})."] if unseen else []


def _write(columns: dict[str, Any], file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True)
    )
