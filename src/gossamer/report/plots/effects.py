"""The curves of an additive model, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gossamer.report.plots.style import BLUE, FAINT, FONT_SIZE, INK, new_figure, quiet, say
from gossamer.report.summary import Array
from gossamer.report.text import shorten

_COLUMNS, _PANEL = 4, 1.45  # panels in a row, inches of height of one


def plot_effects(
    model: Any,
    X: Array | None = None,
    *,
    top: int = 12,
    output: int = 0,
    figure: Figure | None = None,
) -> list[Axes]:
    """What each feature adds to the prediction of an additive model, on one common scale.

    Parameters
    ----------
    model : fitted SparseAdditive or SparseAdditiveCV, or its shape functions
    X : (n, p) array or DataFrame, optional
        Samples, whose values are marked at the foot of each panel.
    top : int
        Panels at most: the terms whose curves reach farthest.
    output : int
        Of several outputs or classes, the one to draw.
    figure : Figure, optional

    Returns
    -------
    list of Axes
        One a term, the farthest reaching first; one that says so where no feature is in the model.
    """
    if not isinstance(top, int) or top < 1:
        raise ValueError(f"top must be a whole number >= 1, got {top!r}.")
    curves = [
        (j, curve, curve.y if curve.y.ndim == 1 else curve.y[:, output])
        for j, curve in enumerate(model if isinstance(model, list) else model.shape_functions())
        if curve.kind != "absent"
    ]
    curves = sorted(curves, key=lambda piece: -float(np.ptp(piece[2])))[:top]
    rows = max(-(-len(curves) // _COLUMNS), 1)
    figure = new_figure(rows * _PANEL + 0.3, 7.5) if figure is None else figure
    if not curves:
        return [say(figure.add_subplot(), "No feature is in the model.")]
    low = min(float(y.min()) for _, _, y in curves)
    high = max(float(y.max()) for _, _, y in curves)
    axes = []
    for place, (j, curve, y) in enumerate(curves):
        ax = quiet(figure.add_subplot(rows, min(len(curves), _COLUMNS), place + 1))
        ax.axhline(0, color=FAINT, linewidth=0.8, zorder=1)
        ax.plot(curve.x, y, color=BLUE, linewidth=1.4, linestyle="-")
        margin = 0.08 * (high - low) or 1.0
        ax.set_ylim(low - margin, high + margin)
        ax.set_title(shorten(curve.name, 24), fontsize=FONT_SIZE, color=INK, parse_math=False)
        ax.locator_params(nbins=4)
        if place % _COLUMNS:
            ax.tick_params(labelleft=False)
        if X is not None:
            _mark(ax, _column(X, j), curve.x)
        axes.append(ax)
    return axes


def _column(X: Any, j: int) -> np.ndarray:
    return np.asarray(X.iloc[:, j] if hasattr(X, "iloc") else np.asarray(X)[:, j], dtype=float)


def _mark(ax: Axes, values: np.ndarray, x: Sequence[float] | np.ndarray, most: int = 200) -> None:
    """Ticks at quantiles of the samples, at most so many."""
    seen = values[(values >= min(x)) & (values <= max(x))]
    if seen.size:
        at = np.unique(np.quantile(seen, np.linspace(0, 1, min(most, seen.size))))
        foot = np.full(at.size, 0.02)
        ax.plot(at, foot, "|", color=FAINT, markersize=4, transform=ax.get_xaxis_transform())
