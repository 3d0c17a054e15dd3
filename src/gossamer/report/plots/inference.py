"""Plots of inference: knockoff statistics, and the paths of stability selection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from gossamer.report.plots.labels import alpha_axis, label_ends, label_gap
from gossamer.report.plots.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    PALETTE,
    RED,
    SMALL,
    name_bars,
    new_axes,
    quiet,
    say,
)
from gossamer.report.summary import Array
from gossamer.report.text import counted, names_or_default, shorten


def plot_knockoffs(
    statistics: Array,
    threshold: float | None = None,
    feature_names: Sequence[str] | None = None,
    *,
    selected: Array | None = None,
    n_labels: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """By how much each feature beats its knockoff, from the largest distance to the smallest.

    A feature without effect is as likely to lose as to win: the bars that point down show how many
    of those that point up are luck.

    Parameters
    ----------
    statistics : (p,) array
        As ``statistics_`` of :class:`gossamer.Knockoffs`.
    threshold : float, optional
        Drawn as a line where it is finite; features from it on are selected.
    feature_names : sequence of str, optional
    selected : array of int, optional
        Where there is no threshold, the features selected.
    n_labels : int
        Most selected features named, the largest.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    statistics = np.asarray(statistics, dtype=float)
    names = names_or_default(feature_names, statistics.size)
    ax = quiet(new_axes(3.1) if ax is None else ax, grid="y")
    shown = np.flatnonzero(statistics)
    if not shown.size:
        return say(ax, "No feature and no knockoff entered the model.")
    shown = shown[np.argsort(-np.abs(statistics[shown]), kind="stable")]
    level = np.inf if threshold is None or np.isnan(threshold) else threshold
    inside = np.zeros(statistics.size, dtype=bool)
    if selected is not None:
        inside[selected] = True
    else:
        inside = statistics >= level
    heights, places = statistics[shown], np.arange(shown.size)
    colours = [BLUE if inside[j] else RED if statistics[j] < 0 else FAINT for j in shown]
    ax.bar(places, heights, width=0.8, color=colours, linewidth=0)
    ax.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
    if np.isfinite(level):
        ax.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    _name_bars(ax, shown, inside, statistics, names, n_labels)
    ax.set_xticks([])
    ax.set_xlabel(
        f"{counted(int(inside.sum()), 'feature')} selected (blue); red: the knockoff won\n"
        f"{counted(shown.size, 'feature')} that entered, by the size of the statistic"
    )
    ax.set_ylabel("feature against its knockoff, W")
    return ax


def _name_bars(
    ax: Axes, shown: Array, inside: Array, statistics: Array, names: Sequence[str], most: int
) -> None:
    """Names above the largest selected bars."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.25 * (high - low))
    for place, feature in enumerate(shown[:most]):
        if inside[feature]:
            ax.annotate(
                names[feature], (place, statistics[feature]), xytext=(0, 3),
                textcoords="offset points", rotation=60, ha="left", va="bottom",
                rotation_mode="anchor", color=MUTED, fontsize=SMALL, parse_math=False,
            )  # fmt: skip


def plot_stability_path(
    alphas: Array,
    path: Array,
    threshold: float | None = None,
    feature_names: Sequence[str] | None = None,
    *,
    n_labels: int = 12,
    ax: Axes | None = None,
) -> Axes:
    """Share of the halves of the samples that have chosen each feature by each strength.

    Parameters
    ----------
    alphas : (m,) array
        Decreasing strengths.
    path : (m, n_units) array
        As ``path_`` of :class:`gossamer.StabilitySelection`.
    threshold : float, optional
        Drawn as a line; features that end on it or above are drawn in colour and named.
    feature_names : sequence of str, optional
        One a unit.
    n_labels : int
        Most features named.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    path = np.asarray(path, dtype=float)
    names = names_or_default(feature_names, path.shape[1])
    ax = quiet(new_axes(3.4) if ax is None else ax)
    ever = np.flatnonzero(path[-1] > 0)
    if not ever.size:
        return say(ax, "No half of the samples chose a feature.")
    order = ever[np.argsort(-path[-1, ever], kind="stable")]
    level = 0.5 if threshold is None else threshold
    named = order[path[-1, order] >= level][: min(n_labels, int(0.9 / label_gap(ax)))]
    for feature in order[::-1]:
        if feature not in named:
            ax.plot(alphas, path[:, feature], color=FAINT, linewidth=0.7)
    colours = [PALETTE[i % len(PALETTE)] for i in range(named.size)]
    for feature, colour in zip(named, colours, strict=True):
        ax.plot(alphas, path[:, feature], color=colour, linewidth=1.4)
    if threshold is not None:
        ax.axhline(threshold, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    alpha_axis(ax, np.asarray(alphas), None, label="strength α (log scale)")
    ax.set_ylabel("share of halves that chose the feature")
    label_ends(ax, path[-1, named], [names[feature] for feature in named], colours)
    return ax


def plot_intervals(
    effects: Array,
    limits: Array,
    feature_names: Sequence[str] | None = None,
    *,
    selected: Array | None = None,
    top: int = 25,
    ax: Axes | None = None,
) -> Axes:
    """Effects with their intervals, one row a feature, in the order given.

    Parameters
    ----------
    effects : (p,) array
    limits : (p, 2) array
        As ``confidence_intervals`` of :class:`gossamer.DebiasedLasso`.
    feature_names : sequence of str, optional
    selected : (p,) array of bool, optional
        Drawn in colour.
    top : int
        Most features shown.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    effects, limits = np.asarray(effects)[:top], np.asarray(limits)[:top]
    names = names_or_default(None, len(effects)) if feature_names is None else feature_names[:top]
    rows = len(effects)
    ax = quiet(new_axes(0.6 + 0.21 * max(rows, 4)) if ax is None else ax, grid="x")
    if not rows:
        return say(ax, "There is no feature to show.")
    inside = np.ones(rows, dtype=bool) if selected is None else np.asarray(selected)[:top]
    for row in range(rows):
        colour = BLUE if inside[row] else MUTED
        ax.plot(limits[row], (row, row), color=colour, linewidth=1.4)
        ax.plot(effects[row], row, "o", color=colour, markersize=3.5)
    ax.axvline(0, color=INK, linewidth=0.8)
    name_bars(ax, [shorten(name, 28) for name in names])
    ax.set_xlabel("effect of one standard deviation of the feature")
    return ax
