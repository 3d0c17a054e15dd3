"""Compiled models: what each layer took before, and what it takes now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from gossamer.report.plots.style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    SMALL,
    name_bars,
    new_axes,
    quiet,
    say,
)


def plot_compiled(report: Any, *, ax: Axes | None = None) -> Axes:
    """What each layer of a compiled model takes beside what it took: two bars a layer.

    Parameters
    ----------
    report : CompileReport, or mapping
        ``gossamer.runtime.report(model)``, or what its ``to_dict()`` gives.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> row = {"name": "fc1", "layout": "csr", "dense_seconds": 3e-5, "seconds": 1e-5}
    >>> total = row | {"name": "", "layout": ""}
    >>> plot_compiled({"layers": [row], "total": total}).get_xlabel()
    'microseconds'
    """
    record: Any = report if isinstance(report, Mapping) else getattr(report, "to_dict", dict)()
    if not {"layers", "total"} <= set(record):
        raise TypeError(
            f"report must be what gossamer.runtime.report(model) gives, or its to_dict(), got "
            f"{type(report).__name__}."
        )
    rows = record["layers"]
    ax = quiet(new_axes(0.7 + 0.34 * (len(rows) + 1)) if ax is None else ax, grid="x")
    if not rows:
        return say(ax, "No layer could be replaced.")
    rows = [*rows, record["total"]]
    before = 1e6 * np.array([row["dense_seconds"] for row in rows])
    now = 1e6 * np.array([row["seconds"] for row in rows])
    places = np.arange(len(rows))
    ax.barh(places - 0.18, before, height=0.34, color=GRID, linewidth=0, label="before")
    ax.barh(places + 0.18, now, height=0.34, color=BLUE, linewidth=0, label="compiled")
    for place, row, ratio in zip(
        range(len(rows)), rows, before / np.maximum(now, 1e-12), strict=True
    ):
        text = f" {row['layout']} {ratio:.2f}x"
        end = max(before[place], now[place])
        ax.text(end, place, text, va="center", color=MUTED, fontsize=SMALL)
    ax.set(xlabel="microseconds", xlim=(0, 1.3 * max(before.max(), now.max())))
    name_bars(ax, (row["name"] or "whole model" for row in rows))
    ax.legend(  # above the bars: their ends carry text
        frameon=False,
        fontsize=SMALL,
        labelcolor=INK,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        borderaxespad=0,
    )
    return ax
