"""Plots of survival: curves of groups of risk, and the baseline hazard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from gossamer.report.plots.labels import label_ends
from gossamer.report.plots.style import INK, PALETTE, new_axes, quiet
from gossamer.report.summary import Array


def plot_survival(
    times: Array,
    predicted: Array,
    observed: Array | None = None,
    labels: Sequence[str] = (),
    *,
    ax: Axes | None = None,
) -> Axes:
    """Share without event over time, one colour a group: predicted thick, observed thin.

    Parameters
    ----------
    times : (m,) array
    predicted : (G, m) array
        As the means of ``predict_survival_function`` of :class:`gossamer.SparseCox` over groups.
    observed : (G, m) array, optional
        Kaplan and Meier's estimates, drawn as thin steps.
    labels : sequence of str, length G
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = quiet(new_axes(3.4) if ax is None else ax)
    predicted = np.atleast_2d(predicted)
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(predicted))]
    for i, colour in enumerate(colours):
        ax.plot(times, predicted[i], color=colour, linewidth=1.6)
        if observed is not None:
            ax.step(times, observed[i], where="post", color=colour, linewidth=0.8)
    ax.set_ylim(0, 1.03)
    ax.set_xlim(float(times[0]), float(times[-1]))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("time" if observed is None else "time (thick: predicted; thin: observed)")
    ax.set_ylabel("without event")
    if len(labels):
        label_ends(ax, predicted[:, -1], list(labels), colours)
    return ax


def plot_hazard(
    times: Sequence[Array],
    hazard: Sequence[Array],
    labels: Sequence[str] = (),
    *,
    ax: Axes | None = None,
) -> Axes:
    """Cumulative baseline hazard of each stratum over time.

    Parameters
    ----------
    times, hazard : one array a stratum
    labels : sequence of str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = quiet(new_axes(2.8) if ax is None else ax)
    several = len(times) > 1
    colours = [PALETTE[i % len(PALETTE)] if several else INK for i in range(len(times))]
    for steps, values, colour in zip(times, hazard, colours, strict=True):
        ax.step(np.append(0.0, steps), np.append(0.0, values), where="post", color=colour)
    ax.set_xlim(left=0.0)
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("time")
    ax.set_ylabel("cumulative hazard")
    if several and len(labels):
        label_ends(ax, np.array([values[-1] for values in hazard]), list(labels), colours)
    return ax
