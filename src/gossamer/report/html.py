"""One self-contained HTML file about one fit."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gossamer.report import plots, wording
from gossamer.report.page import inline, page
from gossamer.report.plots import style
from gossamer.report.summary import Finding, FitSummary

_MOST_PANELS = 8
_MOST_ROWS = 1000
_OPEN_ROWS = 25


def write_report(summary: FitSummary, path: str | Path) -> Path:
    """Write the report of a fit: one file without scripts or outside resources.

    Parameters
    ----------
    summary : FitSummary
    path : str or path
        Overwritten where it exists.

    Returns
    -------
    Path
        Where the report lies.
    """
    path = Path(path)
    path.write_text(render_report(summary), encoding="utf-8")
    return path


def render_report(summary: FitSummary) -> str:
    """The report of a fit as HTML text."""
    return page("template.html").render(
        s=summary,
        wording=wording,
        paths=[
            (name, inline(ax, f"path{index}")) for index, (name, ax) in enumerate(_paths(summary))
        ],
        plots={name: inline(draw(), name) for name, draw in _plots(summary)},
        rows=list(_rows(summary)),
        found={
            f.method: "" if (ax := _finding_plot(f)) is None else inline(ax, f.method)
            for f in summary.findings
        },
        open_rows=_OPEN_ROWS,
        most_rows=_MOST_ROWS,
        command=shlex.join(summary.command),
    )


def _along(s: FitSummary) -> dict[str, Any]:
    """What all plots along the path mark: model sizes and strengths."""
    minimum = None if s.cv_mean is None else s.index_min
    return {"nonzero": s.path_nonzero, "minimum": minimum, "selected": s.index_selected}


def _paths(s: FitSummary) -> Iterator[tuple[str, Axes]]:
    """The path, or one small plot a class, all on one scale; with the name of the class."""
    if s.classes is None or s.path_coefs.ndim != 3 or s.path_coefs.shape[2] > _MOST_PANELS:
        yield "", plots.plot_path(s.alphas, s.path_coefs, s.feature_names, **_along(s))
        return
    low, high = float(s.path_coefs.min()), float(s.path_coefs.max())
    reach = 0.05 * (high - low) or 1.0
    for k, name in enumerate(s.classes):
        ax = style.new_axes(2.75, 3.2)
        ax.set_ylim(low - reach, high + reach)
        along = _along(s) | {"nonzero": None, "n_labels": 6, "ax": ax}
        yield name, plots.plot_path(s.alphas, s.path_coefs[:, :, k], s.feature_names, **along)


def _plots(s: FitSummary) -> Iterator[tuple[str, Callable[[], Axes]]]:
    if (mean := s.cv_mean) is not None:
        yield (
            "cv",
            lambda: plots.plot_cv(s.alphas, mean, s.cv_se, score_name=s.cv_score_name, **_along(s)),
        )
    if s.curves:
        yield "curves", lambda: plots.plot_effects(list(s.curves))[0]
    elif s.selected.size:
        yield (
            "coefficients",
            lambda: plots.plot_coefficients(s.coef, s.feature_names, classes=s.classes),
        )
    if (frequency := s.stability) is not None:
        yield (
            "stability",
            lambda: plots.plot_stability(
                frequency, s.feature_names, selected=s.selected, n_resamples=s.n_resamples
            ),
        )
    if (curves := s.survival) is not None:
        yield (
            "survival",
            lambda: plots.plot_survival(
                curves.times, curves.predicted, curves.observed, curves.labels
            ),
        )
        yield "hazard", lambda: plots.plot_hazard(curves.hazard_times, curves.hazard, curves.strata)
    elif s.has_rows:
        yield from _prediction_plots(s)


def _finding_plot(f: Finding) -> Axes | None:
    """The picture of a method of inference, where it has one."""
    data = f.data
    if f.method == "stability":
        return plots.plot_stability_path(
            data["alphas"], data["path"], data["threshold"], data["names"]
        )
    if f.method == "knockoffs":
        return plots.plot_knockoffs(data["statistics"], data["threshold"], data["names"])
    if f.method == "debiased":
        return plots.plot_intervals(
            data["effects"], data["limits"], data["names"], selected=data["selected"]
        )
    return None


def _prediction_plots(s: FitSummary) -> Iterator[tuple[str, Callable[[], Axes]]]:
    y_true, y_pred, probability = s.judged
    if (classes := s.classes) is not None:
        yield "confusion", lambda: plots.plot_confusion(y_true, y_pred, classes)
        if probability is not None:
            yield "calibration", lambda: plots.plot_calibration(y_true, probability)
        return
    counts = s.task == "counts"
    background = None
    if s.n_test and s.y_train is not None and s.prediction_train is not None:
        background = (s.y_train, s.prediction_train)
    yield (
        "predicted",
        lambda: plots.plot_predicted(y_true, y_pred, background=background, counts=counts),
    )
    yield "residuals", lambda: plots.plot_residuals(y_true, y_pred, counts=counts)


def _rows(s: FitSummary) -> Iterator[dict[str, Any]]:
    """One row of the table of coefficients for each selected feature, largest first."""
    coef, sizes = np.asarray(s.coef, dtype=float), s.sizes
    for feature in s.selected[:_MOST_ROWS]:
        yield {
            "name": s.feature_names[feature],
            "values": np.atleast_1d(coef[feature]).tolist(),
            "share": float(sizes[feature] / sizes[s.selected[0]]),
            "stability": None if s.stability is None else float(s.stability[feature]),
        }
