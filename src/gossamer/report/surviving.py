"""Survival in groups of risk: what the model foretells, and what came."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.report.summary import Array, SurvivalCurves

_N_TIMES = 200
_MOST = 0.95  # share of the samples after whose times too few are left to be drawn
_FEW = 60  # samples below which there are two groups, not three


def kaplan_meier(time: Array, event: Array, at: Array) -> Array:
    """Kaplan and Meier's estimate of the share without event, at some times.

    >>> kaplan_meier(np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1]), np.array([0.5, 1.0, 3.0]))
    array([1.        , 0.66666667, 0.        ])
    """
    steps, inverse = np.unique(time, return_inverse=True)
    died = np.bincount(inverse, np.asarray(event, dtype=float), len(steps))
    at_risk = len(time) - np.searchsorted(np.sort(time), steps, side="left")
    share = np.concatenate([[1.0], np.cumprod(1 - died / at_risk)])
    found: Array = share[np.searchsorted(steps, at, side="right")]
    return found


def survival_curves(
    estimator: Any, X: Array, y: Array, offset: Array | None, strata: list[str]
) -> SurvivalCurves:
    """Groups of equal size by the predicted risk, and their curves.

    Parameters
    ----------
    estimator : fitted SparseCox or SparseCoxCV
    X, y, offset : the rows to be judged by
    strata : names of the strata, by their number in the third column of y
    """
    base, risk = estimator.baseline_hazard_, estimator.predict(X, offset=offset)
    count = 2 if len(y) < _FEW else 3
    groups = np.array_split(np.argsort(risk, kind="stable"), count)
    times = np.linspace(0.0, float(np.quantile(y[:, 0], _MOST)), _N_TIMES)
    own = y[:, 2] if y.shape[1] > 2 else np.zeros(len(y))
    hazard = np.zeros((len(y), len(times)))
    for stratum in np.unique(own):
        if stratum in base.stratum:
            known = stratum if len(np.unique(base.stratum)) > 1 else None
            hazard[own == stratum] = base.at(times, known)
    with np.errstate(over="ignore", invalid="ignore"):
        chance = np.exp(-hazard * np.exp(risk)[:, None])
    present = np.unique(base.stratum)
    labels = ["lower risk", *["middle"] * (count - 2), "higher risk"]
    return SurvivalCurves(
        times=times,
        labels=labels,
        predicted=np.array([chance[group].mean(axis=0) for group in groups]),
        observed=np.array([kaplan_meier(y[group, 0], y[group, 1], times) for group in groups]),
        hazard_times=[base.time[base.stratum == s] for s in present],
        hazard=[base.cumulative[base.stratum == s] for s in present],
        strata=[strata[int(s)] if strata else "" for s in present],
    )
