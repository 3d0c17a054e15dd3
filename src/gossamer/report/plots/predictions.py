"""Plots of predictions: calibration and confusion of classes, residuals and fit of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from gossamer.report.plots.labels import note_font_size
from gossamer.report.plots.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    PAPER,
    RED,
    new_axes,
    quiet,
    say,
)
from gossamer.report.summary import Array
from gossamer.report.text import shorten

_MANY_POINTS = 1500  # from here on points are drawn as pixels, which keeps the file small
_SQUARE = 3.3


def plot_confusion(
    y_true: Array, y_pred: Array, classes: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Counts of true against predicted class, shaded by the share of the true class.

    Parameters
    ----------
    y_true, y_pred : (n,) arrays of int
        Codes 0 ... K-1 into `classes`.
    classes : sequence of str, length K
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    k = len(classes)
    counts = np.zeros((k, k), dtype=int)
    np.add.at(counts, (np.asarray(y_true, dtype=int), np.asarray(y_pred, dtype=int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(5.0, max(2.6, 1.2 + 0.5 * k))
    ax = quiet(new_axes(size, size + 0.5) if ax is None else ax, grid="none")
    font = note_font_size(k, size - 1.2)
    for row, column in np.ndindex(k, k):
        right = row == column
        share = float(shares[row, column])
        tile = Rectangle(
            (column - 0.47, row - 0.47),
            0.94,
            0.94,
            facecolor=BLUE if right else RED,
            alpha=0.05 + 0.9 * share if counts[row, column] else 0.04,
            linewidth=0,
        )
        ax.add_patch(tile)
        if counts[row, column]:
            colour = PAPER if share > 0.5 else INK
            ax.text(
                column,
                row,
                f"{counts[row, column]:,}",
                ha="center",
                va="center",
                color=colour,
                fontsize=font * 1.15,
            )
    ax.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal")
    ax.spines[["left", "bottom"]].set_visible(False)
    names = [shorten(name, 16) for name in classes]
    crowded = sum(map(len, names)) > 9 * size
    ax.set_xticks(range(k), labels=names, rotation=90 if crowded else 0)
    ax.set_yticks(range(k), labels=names)
    for text in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        text.set_parse_math(False)
        text.set_fontsize(font)
    ax.set_xlabel("predicted")
    ax.set_ylabel("true")
    return ax


def plot_calibration(
    y_true: Array, probability: Array, *, n_bins: int = 10, ax: Axes | None = None
) -> Axes:
    """Predicted probability against observed frequency, with 95 % Wilson intervals.

    Parameters
    ----------
    y_true : (n,) array of int
        Codes 0 ... K-1.
    probability : (n, K) array
        With two classes the second is drawn; with more, the pairs of sample and class are pooled.
    n_bins : int
        Most bins of equal count; fewer where there are few samples.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    probability = np.asarray(probability, dtype=float)
    happened = np.asarray(y_true, dtype=int)[:, None] == np.arange(probability.shape[1])
    two = probability.shape[1] == 2
    columns = slice(1, 2) if two else slice(None)
    p, hit = probability[:, columns].ravel(), happened[:, columns].ravel()
    ax = quiet(new_axes(_SQUARE, _SQUARE + 0.1) if ax is None else ax)
    if not p.size:
        return say(ax, "There is no sample to compare with.")

    n_bins = int(np.clip(p.size // 8, 2, n_bins))
    # A bin ends with its edge, so that the many probabilities of exactly 0 share one.
    bins = np.searchsorted(np.unique(np.quantile(p, np.arange(1, n_bins) / n_bins)), p)
    filled = np.unique(bins)
    predicted = np.array([p[bins == b].mean() for b in filled])
    observed = np.array([hit[bins == b].mean() for b in filled])
    counts = np.array([np.count_nonzero(bins == b) for b in filled])
    low, high = _wilson(observed, counts)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.vlines(predicted, low, high, color=BLUE, linewidth=1.0, alpha=0.55)
    ax.plot(predicted, observed, color=BLUE, linewidth=1.2, marker="o", markersize=4)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.xaxis.set_major_formatter(PercentFormatter(1.0))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("predicted probability")
    ax.set_ylabel("observed frequency")
    return ax


def plot_predicted(
    y_true: Array,
    y_pred: Array,
    *,
    background: tuple[Array, Array] | None = None,
    counts: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Predicted against true values, and the line on which both agree.

    Parameters
    ----------
    y_true, y_pred : (n,) arrays
    background : pair of arrays, optional
        True and predicted values of the training set, drawn in grey beneath.
    counts : bool
        Whether the values are counts; these get axes in square roots, which evens out their spread.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    y_true, y_pred = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    ax = quiet(new_axes(_SQUARE, _SQUARE + 0.1) if ax is None else ax)
    if not y_true.size:
        return say(ax, "There is no sample to compare with.")
    everything = [y_true, y_pred]
    if background is not None:
        everything += [np.asarray(part, dtype=float) for part in background]
        _points(ax, everything[2], everything[3], FAINT)
    low, high = _limits(np.concatenate(everything))
    low = min(low, 0.0) if counts else low
    ax.axline((low, low), (high, high), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    _points(ax, y_true, y_pred, BLUE)
    if counts:
        _root_axis(ax, "x", high)
        _root_axis(ax, "y", high)
        low = 0.0
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.set_box_aspect(1)
    ax.set_xlabel("true")
    ax.set_ylabel("predicted")
    return ax


def plot_residuals(
    y_true: Array, y_pred: Array, *, counts: bool = False, ax: Axes | None = None
) -> Axes:
    """Residuals against predictions; dotted lines hold two standard deviations.

    Parameters
    ----------
    y_true, y_pred : (n,) arrays
    counts : bool
        Whether the values are counts, whose residuals are divided by the root of the prediction
        (Pearson residuals).
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    y_true, y_pred = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    ax = quiet(new_axes(_SQUARE, _SQUARE + 0.1) if ax is None else ax)
    if not y_true.size:
        return say(ax, "There is no sample to compare with.")
    residual = y_true - y_pred
    if counts:
        residual = residual / np.sqrt(np.maximum(y_pred, np.finfo(float).tiny))
    width = 2 * float(residual.std())
    for level, line in ((0.0, "-"), (width, ":"), (-width, ":")):
        ax.axhline(level, color=MUTED, linewidth=0.8, linestyle=line, zorder=1.5)
    _points(ax, y_pred, residual, BLUE)
    low, high = _limits(y_pred)
    if counts:
        _root_axis(ax, "x", high)
        low = 0.0
    ax.set_xlim(low, high)
    reach = max(float(np.abs(residual).max()), width) * 1.08 or 1.0
    ax.set_ylim(-reach, reach)
    ax.set_xlabel("predicted")
    ax.set_ylabel("Pearson residual" if counts else "residual (true − predicted)")
    return ax


def _points(ax: Axes, x: Array, y: Array, colour: str) -> None:
    many = x.size > _MANY_POINTS
    ax.scatter(
        x,
        y,
        s=5 if many else 16,
        c=colour,
        alpha=max(0.15, 0.65 * min(1.0, (_MANY_POINTS / x.size) ** 0.5)),
        linewidths=0,
        rasterized=many,
        zorder=2.5,
    )


def _limits(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    reach = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - reach, high + reach


def _root_axis(ax: Axes, which: Literal["x", "y"], high: float) -> None:
    """A square-root axis whose ticks run 0, 1, 2, 5, 10, 20, ... and do not crowd."""
    series = [digit * 10.0**power for power in range(10) for digit in (1, 2, 5)]
    ticks = [0.0]
    for value in series:
        if value <= high and np.sqrt(value) - np.sqrt(ticks[-1]) > 0.09 * np.sqrt(high):
            ticks.append(value)
    scale, axis = (ax.set_xscale, ax.xaxis) if which == "x" else (ax.set_yscale, ax.yaxis)
    scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())


def _wilson(share: Array, count: Array, z: float = 1.96) -> tuple[Array, Array]:
    """Wilson's 95 % interval of a proportion, sound at 0, at 1 and for few samples."""
    weight = 1 + z**2 / count
    centre = (share + z**2 / (2 * count)) / weight
    half = z / weight * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return centre - half, centre + half
