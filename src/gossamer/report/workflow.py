"""From a table to a fitted model, its summary and its files: what ``gossamer fit`` does."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.linear.files import save
from gossamer.linear.inference.resampling import Stability, selection_frequency
from gossamer.linear.table import Table, as_table, read_table
from gossamer.linear.table_model import table_model
from gossamer.report.coefficients import write_coefficients
from gossamer.report.data import Data, split_table
from gossamer.report.fitting import Fit, fit_data
from gossamer.report.options import FitOptions
from gossamer.report.progress import progress
from gossamer.report.summarise import deviations, summarise
from gossamer.report.summary import FitSummary
from gossamer.report.versions import versions

_RESAMPLES, _FEWER_RESAMPLES = 50, 20
_SMALL = 20_000_000  # cells of the matrix up to which a table is small


@dataclass(frozen=True, eq=False)
class FittedTable:
    """A model fitted to a table, and all that is to be said about it.

    Attributes
    ----------
    model : sklearn.pipeline.Pipeline
        A `TableEncoder` and an estimator; predicts from tables.
    summary : FitSummary
    coef, intercept : (p,) or (p, K) array, and float or (K,)
        Per unit of the table.
    deviation : (p,) array
        Standard deviation of each feature in the training rows.
    interrupted : bool
        Whether the user cut the work short: the model stands, and the notes say what is missing.
    """

    model: Any
    summary: FitSummary
    coef: np.ndarray
    intercept: Any
    deviation: np.ndarray
    interrupted: bool

    def write(self, folder: str | Path) -> list[Path]:
        """Write ``model.gossamer``, ``coefficients.csv`` and ``report.html`` into a folder."""
        from gossamer.report.html import write_report

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save(self.model, folder / "model.gossamer")
        write_coefficients(
            self.summary, self.coef, self.intercept, self.deviation, folder / "coefficients.csv"
        )
        write_report(self.summary, folder / "report.html")
        return [folder / name for name in ("model.gossamer", "coefficients.csv", "report.html")]


def fit_table(table: Any, target: str, **options: Any) -> FittedTable:
    """Fit a sparse model to a table, and judge it.

    The loss is chosen by looking at the target, the strength by cross-validation, the quality is
    read from rows that were held out, and the selection is repeated on half-samples.

    Parameters
    ----------
    table : str, path, data frame, mapping or Table
        Paths as `gossamer.linear.table.read_table` takes them.
    target : str
        The column to predict.
    **options
        See `FitOptions`.

    Raises
    ------
    FileNotFoundError, ValueError
        When the table cannot be read or the options do not suit it, with the remedy.
    KeyboardInterrupt
        When interrupted before there was a model.

    Examples
    --------
    >>> from gossamer.report import fit_table
    >>> rng = np.random.default_rng(0)
    >>> table = {f"x{j}": rng.standard_normal(80) for j in range(10)}
    >>> table["y"] = 2 * table["x3"] + 0.1 * rng.standard_normal(80)
    >>> fitted = fit_table(table, "y", resamples=0)
    >>> [fitted.summary.feature_names[j] for j in fitted.summary.selected]
    ['x3']
    >>> fitted.summary.certificate["holds"]
    True
    """
    asked = FitOptions(**options)
    with _noting() as notes:
        data = split_table(load_table(table), target, asked)
        begun = time.perf_counter()
        fit = fit_data(data, asked)
        seconds = time.perf_counter() - begun
        stable = None if fit.interrupted else _stability(data, fit, asked)
    if stable is not None and stable.interrupted:
        notes.append(f"Interrupted: stability rests on {stable.n_resamples} half-samples only.")
    summary = summarise(data, fit, stable, asked)
    summary = replace(
        summary,
        seconds=seconds,
        notes=[*data.notes, *fit.notes, *notes],
        versions=versions(),
        created=date.today().isoformat(),
    )
    stopped = fit.interrupted or (stable is not None and stable.interrupted)
    model = table_model(data.encoder, fit.estimator)
    return FittedTable(model, summary, *fit.start, deviations(fit), stopped)


def load_table(table: Any) -> Table:
    """A table from a path or from whatever `as_table` takes."""
    return read_table(table) if isinstance(table, str | Path) else as_table(table)


def _stability(data: Data, fit: Fit, asked: FitOptions) -> Stability | None:
    small = data.train.X.size <= _SMALL
    wanted = asked.resamples
    count = (_RESAMPLES if small else _FEWER_RESAMPLES) if wanted is None else wanted
    if count == 0:
        return None
    with progress(count, "half-samples", enabled=asked.progress) as advance:
        return selection_frequency(
            fit.problem,
            fit.start,
            count,
            asked.seed,
            classes=data.train.y if data.loss.classifies else None,
            groups=data.train.groups,
            tol=max(asked.tol, 1e-5),
            n_jobs=asked.jobs or os.cpu_count() or 1,
            on_step=advance,
        )


@contextmanager
def _noting() -> Iterator[list[str]]:
    """Collect warnings as sentences, each once."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        yield notes
    notes += dict.fromkeys(str(warning.message) for warning in caught)
