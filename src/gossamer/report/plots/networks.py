"""Plots of sparse networks: what is left of each layer, and accuracy against sparsity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from gossamer.report.plots.style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    PALETTE,
    SMALL,
    name_bars,
    new_axes,
    quiet,
    say,
)
from gossamer.report.summary import Array


def plot_layers(
    units: Mapping[str, tuple[int, int]], *, unit: str = "units", ax: Axes | None = None
) -> Axes:
    """What is left of each layer: a bar a weight, on a logarithmic scale.

    Parameters
    ----------
    units : mapping from a weight's name to (alive, all)
        ``Finalised.units``, or ``{row.name: (row.alive, row.units) for row in sparse.report()}``.
    unit : str
        What is counted, for the axis.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> plot_layers({"fc1.weight": (120, 2000), "fc2.weight": (40, 100)}).get_xlabel()
    'units'
    """
    ax = quiet(new_axes(0.6 + 0.28 * len(units)) if ax is None else ax, grid="x")
    if not units:
        return say(ax, "No weight is sparse.")
    rows = np.arange(len(units))
    alive, count = np.array(list(units.values()), dtype=float).T
    ax.barh(rows, count, height=0.62, color=GRID, linewidth=0)
    ax.barh(rows, np.maximum(alive, 0.5), height=0.62, color=BLUE, linewidth=0)
    for row, (left, total) in enumerate(units.values()):
        text = f" {left:,} of {total:,} ({left / total:.1%})"
        ax.text(total, row, text, va="center", color=MUTED, fontsize=SMALL)
    ax.set_xscale("log")
    ax.set(xlabel=unit, xlim=(0.5, 20 * count.max()))
    name_bars(ax, units)
    return ax


def plot_tradeoff(
    curves: Mapping[str, tuple[Array | Sequence[float], Array | Sequence[float]]],
    *,
    errors: Mapping[str, Array | Sequence[float]] | None = None,
    score_name: str = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Score against sparsity; the right end, where little is left, is spread out.

    Parameters
    ----------
    curves : mapping from a method's name to (sparsity, score)
        Sparsities in [0, 1), for example of the points of ``gossamer.nn.path``.
    errors : mapping from a method's name to half the length of its error bars, optional
    score_name : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> plot_tradeoff({"depth 2": ([0.9, 0.99], [0.96, 0.95])}).get_ylabel()
    'accuracy'
    """
    ax = quiet(new_axes(3.0) if ax is None else ax)
    if not curves:
        return say(ax, "There are no curves.")
    for number, (name, (sparsity, score)) in enumerate(curves.items()):
        kept = 1 - np.asarray(sparsity, dtype=float)
        colour = PALETTE[number % len(PALETTE)]
        bars = None if errors is None else errors.get(name)
        ax.errorbar(kept, score, bars, color=colour, marker="o", markersize=3, lw=1.2, label=name)
    ticks = sorted({float(1 - s) for pair in curves.values() for s in pair[0]}, reverse=True)
    ax.set_xscale("log")
    ax.set_xticks(ticks, [f"{1 - kept:.4g}" for kept in ticks])
    ax.set_xticklabels([f"{100 * (1 - kept):.4g} %" for kept in ticks])
    ax.minorticks_off()
    ax.invert_xaxis()
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set(xlabel="weights that are zero", ylabel=score_name)
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK)
    return ax
