"""The coefficients of a model as a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gossamer.report.summary import Array, FitSummary


def write_coefficients(
    summary: FitSummary, coef: Array, intercept: Array | float, deviation: Array, path: Path
) -> None:
    """Write one line per non-zero coefficient, largest feature first, below the intercepts.

    Of an additive model the coefficients are the sizes of the curves.

    Columns are ``feature``, ``class`` (where there are several vectors), ``coefficient`` per unit
    of the table, ``per_deviation`` (per standard deviation of the feature) and ``stability``, the
    share of half-samples that selected the feature (where it is known).

    Parameters
    ----------
    coef : (p,) or (p, K) array
        Per unit of the table.
    intercept : float or (K,), empty where there is none
    deviation : (p,) array
        Standard deviation of each feature.
    """
    coef = np.asarray(coef)
    several = coef.ndim == 2 and summary.classes is not None
    labels = list(summary.classes or ()) if several else [""]
    stable = summary.stability
    header = ["feature", *["class"] * several, "coefficient", "per_deviation"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *["stability"] * (stable is not None)])
        thresholds = summary.intercept_names
        for label, value in zip(thresholds or labels, np.atleast_1d(intercept), strict=False):
            first = f"(threshold {label})" if thresholds else "(intercept)"
            row = [first, *[label] * several, repr(float(value)), ""]
            writer.writerow([*row, *[""] * (stable is not None)])
        for j in summary.selected:
            for label, value in zip(labels, np.atleast_1d(coef[j]), strict=True):
                if value:
                    row = [summary.feature_names[j], *[label] * several, repr(float(value))]
                    share = [] if stable is None else [f"{stable[j]:.4g}"]
                    writer.writerow([*row, repr(float(value * deviation[j])), *share])
