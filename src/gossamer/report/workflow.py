"""From a table to a fitted model, its summary and its files: what ``gossamer fit`` does."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Sequence
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
from gossamer.report.clustered import fit_cluster, judged_by_folds
from gossamer.report.coefficients import write_coefficients
from gossamer.report.data import Data, split_table
from gossamer.report.fitting import Fit, fit_data
from gossamer.report.inferring import check_inference, infer
from gossamer.report.options import FitOptions
from gossamer.report.plain import write_plain
from gossamer.report.progress import progress
from gossamer.report.summarise import View, judged, summarise, view_of
from gossamer.report.summary import Finding, FitSummary
from gossamer.report.versions import versions

FILES = ("model.gossamer", "coefficients.csv", "summary.json", "report.html")
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
        Per unit of the table; of an additive model the sizes of the curves.
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
        """Write ``model.gossamer``, ``coefficients.csv``, ``summary.json`` and ``report.html``."""
        from gossamer.report.html import write_report

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save(self.model, folder / "model.gossamer")
        write_coefficients(
            self.summary, self.coef, self.intercept, self.deviation, folder / "coefficients.csv"
        )
        write_plain(self.summary, folder / "summary.json")
        write_report(self.summary, folder / "report.html")
        return [folder / name for name in FILES]


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
    if asked.dask is not None:
        return _on_cluster(table, target, asked)
    with _noting() as notes:
        data = split_table(load_table(table), target, asked)
        check_inference(asked, data)
        begun = time.perf_counter()
        fit = fit_data(data, asked)
        seconds = time.perf_counter() - begun
        stable = None if fit.interrupted else _stability(data, fit, asked)
        stopped = fit.interrupted or (stable is not None and stable.interrupted)
        findings, missing = ([], asked.inference) if stopped else _findings(data, asked)
    if stable is not None and stable.interrupted:
        notes.append(f"Interrupted: stability rests on {stable.n_resamples} half-samples only.")
    if missing:
        notes.append(f"Interrupted before {' and '.join(missing)}.")
    n_resamples = 0 if stable is None else stable.n_resamples
    share = _of_features(fit, stable.frequency) if stable is not None and n_resamples else None
    view = view_of(data, fit, asked)
    summary = replace(
        summarise(data, fit, view, asked, judged(data, fit)),
        stability=share,
        n_resamples=n_resamples,
        findings=findings,
        seconds=seconds,
    )
    return _finished(data, fit, view, summary, notes, stopped or bool(missing))


def _on_cluster(table: Any, target: str, asked: FitOptions) -> FittedTable:
    """The same where the rows are parts on the workers of a cluster."""
    if not isinstance(table, str | Path):
        raise TypeError("dask reads files: give the table as a path. Estimators take collections.")
    with _noting() as notes:
        begun = time.perf_counter()
        data, fit, view, n_rows = fit_cluster(str(table), target, asked)
        seconds = time.perf_counter() - begun
    found = judged_by_folds(data, fit)
    summary = replace(
        summarise(data, fit, view, asked, found | {"metrics": {}}),
        n_train=n_rows,
        seconds=seconds,
    )
    return _finished(data, fit, view, summary, notes, fit.interrupted)


def _finished(
    data: Data, fit: Fit, view: View, summary: FitSummary, notes: list[str], stopped: bool
) -> FittedTable:
    summary = replace(
        summary,
        notes=[*data.notes, *fit.notes, *notes],
        versions=versions(),
        created=date.today().isoformat(),
    )
    model = table_model(data.encoder, fit.estimator)
    return FittedTable(model, summary, view.raw, fit.intercept, view.deviation, stopped)


def _findings(data: Data, asked: FitOptions) -> tuple[list[Finding], Sequence[str]]:
    """What inference says, and the methods that an interrupt left out."""
    found: list[Finding] = []
    for done, name in enumerate(asked.inference):
        try:
            found.append(infer(name, data, asked))
        except KeyboardInterrupt:
            return found, asked.inference[done:]
    return found, ()


def _of_features(fit: Fit, frequency: np.ndarray) -> np.ndarray:
    """Of a curve how often any of its columns is selected; of a feature its own share."""
    if fit.kind != "additive":
        return frequency
    features, p = fit.estimator.basis_.features_, fit.estimator.n_features_in_
    return np.array([frequency[features == j].max(initial=0.0) for j in range(p)])


def load_table(table: Any) -> Table:
    """A table from a path or from whatever `as_table` takes."""
    return read_table(table) if isinstance(table, str | Path) else as_table(table)


def _stability(data: Data, fit: Fit, asked: FitOptions) -> Stability | None:
    small = data.train.X.size <= _SMALL
    wanted = asked.resamples
    count = (_RESAMPLES if small else _FEWER_RESAMPLES) if wanted is None else wanted
    if count == 0:
        return None
    assert fit.problem is not None
    with progress(count, "half-samples", enabled=asked.progress) as advance:
        return selection_frequency(
            fit.problem,
            fit.start,
            count,
            asked.seed,
            classes=data.kinds_of_rows,
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
