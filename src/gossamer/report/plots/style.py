"""The one look of all plots: colours, lines and type, on screen, on paper and in the dark."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from io import StringIO
from threading import Lock
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gossamer.report.text import shorten

# Okabe and Ito's colour-blind-safe palette, without the yellow, which is lost on white. Each colour
# has a lighter twin for dark pages. All values differ, because `to_svg` finds them by value.
LIGHT = {
    "paper": "#fefefd",
    "ink": "#1d2733",
    "muted": "#66717d",
    "faint": "#b9c1c9",
    "grid": "#e6e9ec",
    "blue": "#0072b2",
    "red": "#d55e00",
    "green": "#009e73",
    "pink": "#c0609a",
    "orange": "#d08a00",
    "sky": "#3aa0dd",
}
DARK = {
    "paper": "#14181d",
    "ink": "#e8ebee",
    "muted": "#9aa5b0",
    "faint": "#59636e",
    "grid": "#2a3139",
    "blue": "#5bb0ea",
    "red": "#ff8f4d",
    "green": "#35c79d",
    "pink": "#e59cc6",
    "orange": "#f2b640",
    "sky": "#93d3fa",
}
PAPER, INK, MUTED, FAINT, GRID = (LIGHT[n] for n in ("paper", "ink", "muted", "faint", "grid"))
PALETTE = tuple(LIGHT[n] for n in ("blue", "red", "green", "pink", "orange", "sky"))
BLUE, RED = PALETTE[:2]

FONT_SIZE = 8.5
SMALL = 7.5
WIDTH = 5.0  # inches


def new_axes(height: float, width: float = WIDTH) -> Axes:
    """Axes on a figure of their own, in inches."""
    return new_figure(height, width).add_subplot()


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure whose page shows through, in inches."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="none")


def quiet(ax: Axes, grid: str = "both") -> Axes:
    """Give axes the house look: light grid behind thin lines, no box."""
    ax.set_facecolor("none")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.8)
    ax.tick_params(labelsize=FONT_SIZE, colors=MUTED, labelcolor=MUTED, length=0, pad=4)
    ax.tick_params(which="minor", length=0)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set(color=INK, fontsize=FONT_SIZE)
    if grid != "none":
        ax.grid(True, axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
    return ax


def name_bars(ax: Axes, names: Iterable[str]) -> None:
    """Names of horizontal bars, from the top down: the bar at 0 is the first."""
    labels = [shorten(name, 28) for name in names]
    ax.set_yticks(range(len(labels)), labels, color=INK, fontsize=FONT_SIZE)
    ax.grid(False, axis="y")
    ax.invert_yaxis()


def say(ax: Axes, message: str) -> Axes:
    """Axes that hold one sentence in place of a plot that would be empty."""
    ax.set_axis_off()
    ax.text(
        0.5,
        0.5,
        message,
        transform=ax.transAxes,
        ha="center",
        va="center",
        color=MUTED,
        fontsize=FONT_SIZE,
        parse_math=False,
    )
    return ax


_rendering = Lock()


def to_svg(ax: Axes, name: str) -> str:
    """The figure of the axes as an SVG element for a page that sets the colours as CSS variables.

    Text stays text, in the font of the page; colours become ``var(--ink)`` and so on, so that the
    page's dark mode reaches into the plot. `name` keeps the ids of several plots on one page apart.
    """
    figure = ax.get_figure(root=True)
    if figure is None:
        raise ValueError("ax was removed from its figure; make the plot again.")
    buffer = StringIO()
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name}
    # Both the settings and the warning filter are global to the process: one plot at a time.
    with _rendering, matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser picks a font that has the glyph; only the measured width is a guess.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, dpi=200)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", svg, count=1)
    svg = svg.replace("xlink:href=", "href=")
    # Matplotlib numbers all that it draws; on a page of several plots these ids would clash.
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", svg)
    for colour, value in LIGHT.items():
        svg = svg.replace(value, f"var(--{colour})")
    return svg
