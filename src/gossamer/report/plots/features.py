"""Plots of features: their coefficients, and how often resampling selects them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gossamer.report.plots.style import (
    BLUE,
    FAINT,
    FONT_SIZE,
    INK,
    MUTED,
    PAPER,
    RED,
    SMALL,
    new_axes,
    quiet,
    say,
)
from gossamer.report.summary import Array
from gossamer.report.text import counted, names_or_default, number, shorten

_MOST_COLUMNS = 6


def plot_coefficients(
    coef: Array,
    feature_names: Sequence[str] | None = None,
    *,
    classes: Sequence[str] | None = None,
    top: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """Non-zero coefficients as bars, largest first.

    Parameters
    ----------
    coef : (p,) or (p, K) array
        With up to 6 classes, each class gets a column of bars, all columns on one scale; with more,
        the norm over the classes is drawn.
    feature_names : sequence of str, optional
    classes : sequence of str, optional
        Names of the K columns.
    top : int
        Most features shown; the last row says how many more there are.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    coef = np.asarray(coef, dtype=float)
    names = names_or_default(feature_names, coef.shape[0])
    table = coef[:, None] if coef.ndim == 1 else coef
    sizes = np.linalg.norm(table, axis=1)
    inside = np.flatnonzero(sizes)
    shown = inside[np.argsort(-sizes[inside], kind="stable")][:top]
    label = "coefficient"
    if table.shape[1] > _MOST_COLUMNS:
        label = f"size of the coefficients over {table.shape[1]} classes"
        table = sizes[:, None]
    ax = quiet(new_axes(_height(shown.size)) if ax is None else ax, grid="x")
    if not shown.size:
        return say(ax, "No feature is in the model.")

    largest = float(np.abs(table[shown]).max())
    n_columns = table.shape[1]
    rows = np.arange(shown.size)
    for column, values in enumerate(table[shown].T):
        zero = 2.3 * largest * column
        colours = [BLUE if value > 0 else RED for value in values]
        ax.barh(rows, values, left=zero, height=0.62, color=colours, linewidth=0)
        ax.axvline(zero, color=FAINT, linewidth=0.8, zorder=1)
    if n_columns > 1:
        _name_columns(ax, classes or [str(k) for k in range(n_columns)], 2.3 * largest)
        label = f"coefficient, by class; all on one scale, the longest bar is {number(largest)}"
    else:
        ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        ax.margins(x=0.03)
    ax.set_xlabel(label)
    _name_rows(ax, [names[index] for index in shown], inside.size - shown.size)
    return ax


def plot_stability(
    frequency: Array,
    feature_names: Sequence[str] | None = None,
    *,
    selected: Array | None = None,
    n_resamples: int | None = None,
    top: int = 30,
    ax: Axes | None = None,
) -> Axes:
    """How often each feature is selected when the fit is repeated on resampled data.

    Parameters
    ----------
    frequency : (p,) array
        Shares in [0, 1].
    feature_names : sequence of str, optional
    selected : array of int, optional
        Features of the final model: drawn filled, the others hollow.
    n_resamples : int, optional
        For the label of the axis.
    top : int
        Most features shown, those with the highest shares.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    frequency = np.asarray(frequency, dtype=float)
    names = names_or_default(feature_names, frequency.size)
    ever = np.flatnonzero(frequency > 0)
    in_model = np.zeros(frequency.size, dtype=bool)
    in_model[ever if selected is None else selected] = True
    shown = ever[np.lexsort((~in_model[ever], -frequency[ever]))][:top]
    ax = quiet(new_axes(_height(shown.size)) if ax is None else ax, grid="x")
    if not shown.size:
        return say(ax, "No feature was selected in any resample.")

    rows, shares = np.arange(shown.size), frequency[shown]
    fill = [BLUE if inside else PAPER for inside in in_model[shown]]
    ax.hlines(rows, 0, shares, color=FAINT, linewidth=1.0, zorder=1.5)
    ax.scatter(shares, rows, s=26, c=fill, edgecolors=BLUE, linewidths=1.1, zorder=2.5)
    ax.set_xlim(0, 1.02)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    times = "resamples" if n_resamples is None else counted(n_resamples, "resample")
    ax.set_xlabel(f"share of {times} in which a feature is selected")
    _name_rows(ax, [names[index] for index in shown], ever.size - shown.size)
    return ax


def _height(n_rows: int) -> float:
    return 1.2 if n_rows == 0 else 0.75 + 0.185 * (n_rows + 1)


def _name_rows(ax: Axes, names: Sequence[str], n_more: int) -> None:
    """Row names from the top down, and a last row that counts those not shown."""
    labels = [shorten(name) for name in names]
    if n_more:
        labels.append(f"… and {n_more:,} more")
    ax.set_yticks(range(len(labels)), labels=labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    for index, text in enumerate(ax.get_yticklabels()):
        text.set_parse_math(False)
        text.set(color=INK if index < len(names) else MUTED, fontsize=SMALL)


def _name_columns(ax: Axes, classes: Sequence[str], step: float) -> None:
    ax.set_xticks([step * k for k in range(len(classes))])
    ax.set_xticklabels([shorten(name, 14) for name in classes])
    ax.tick_params(axis="x", labeltop=True, labelbottom=False)
    for text in ax.get_xticklabels():
        text.set_parse_math(False)
        text.set(color=INK, fontsize=FONT_SIZE)
    ax.grid(False, axis="x")
    ax.spines["bottom"].set_visible(False)
    ax.set_xlim(-step / 2, step * (len(classes) - 0.5))
