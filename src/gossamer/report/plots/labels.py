"""Axes of strengths, marks on them, and labels at line ends that do not overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from scipy.optimize import isotonic_regression

from gossamer.report.plots.style import FONT_SIZE, INK, MUTED, PAPER, SMALL
from gossamer.report.summary import Array
from gossamer.report.text import shorten


def spread(positions: Array, gap: float, low: float, high: float) -> Array:
    """Positions moved as little as possible (least squares) to be `gap` apart within [low, high].

    Subtracting the gaps turns "at least `gap` apart" into "in order", which is isotonic regression.
    """
    positions = np.asarray(positions, dtype=float)
    order = np.argsort(positions, kind="stable")
    steps = gap * np.arange(order.size)
    level = isotonic_regression(positions[order] - steps).x
    moved = np.empty_like(positions)
    moved[order] = np.clip(level, low, max(low, high - steps[-1])) + steps
    return moved


def label_gap(ax: Axes) -> float:
    """Least distance of two lines of small text, as a share of the height of the axes."""
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    return 1.4 * SMALL / height


def label_ends(ax: Axes, ends: Array, names: Sequence[str], colours: Sequence[str]) -> None:
    """Write each line's name right of its end, joined to it by a hair line.

    Call when the limits of the y axis are final.
    """
    low, high = ax.get_ylim()
    at = (np.asarray(ends) - low) / (high - low)
    for end, place, name, colour in zip(
        at, spread(at, label_gap(ax), 0.0, 1.0), names, colours, strict=True
    ):
        ax.annotate(
            shorten(name, 18),
            xy=(1, end),
            xycoords="axes fraction",
            xytext=(1.035, place),
            va="center",
            color=colour,
            fontsize=SMALL,
            annotation_clip=False,
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.5,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 0,
            },
        )


def is_budget(alphas: Array) -> bool:
    """Whether these are numbers of features, from zero up, and no strengths (those are > 0)."""
    alphas = np.asarray(alphas)
    return bool(alphas.size and alphas[0] == 0 and (np.diff(alphas) > 0).all())


def level_label(alphas: Array) -> str:
    """What the axis of a path counts."""
    return "features allowed" if is_budget(alphas) else "strength α (log scale)"


def alpha_axis(ax: Axes, alphas: Array, nonzero: Array | None, *, label: str) -> None:
    """Strengths, strongest at the left, on a log axis; model sizes, where known, along the top.

    Numbers of features run on a plain axis.
    """
    ax.set_xlabel(label)
    if is_budget(alphas):
        last = float(alphas[-1])
        ax.set_xlim(-0.02 * max(last, 1.0), max(last, 1.0))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
        return
    first, last = float(alphas[0]), float(alphas[-1])
    ax.set_xscale("log")
    ax.set_xlim(first * 1.02, last) if first > last else ax.set_xlim(first * 2, first / 2)
    ax.xaxis.set_major_locator(LogLocator(subs=_log_ticks(ax, np.log10(first / last))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if nonzero is not None:
        _model_size_axis(ax, alphas, np.asarray(nonzero))


def _model_size_axis(ax: Axes, alphas: Array, nonzero: Array, n_ticks: int = 7) -> None:
    marks = np.geomspace(alphas[0], alphas[-1], n_ticks)
    nearest = np.unique([int(np.argmin(np.abs(np.log(alphas / mark)))) for mark in marks])
    top = ax.secondary_xaxis("top")
    top.set_xticks(alphas[nearest], labels=[f"{count:,}" for count in nonzero[nearest]])
    top.xaxis.set_minor_locator(NullLocator())
    top.spines["top"].set_visible(False)
    top.tick_params(labelsize=SMALL, labelcolor=MUTED, length=0, pad=2)
    top.set_xlabel("features in the model", fontsize=SMALL, color=MUTED)


def _log_ticks(ax: Axes, decades: float) -> tuple[float, ...]:
    """As many ticks a decade as stay about half an inch apart."""
    room = 2.2 * ax.get_window_extent().width / ax.figure.dpi
    choices: tuple[tuple[float, ...], ...] = ((1.0, 2.0, 5.0), (1.0, 3.0))
    return next((subs for subs in choices if len(subs) * decades <= room), (1.0,))


def mark_strengths(ax: Axes, alphas: Array, minimum: int | None, selected: int | None) -> None:
    """Vertical lines at the selected strength and at the minimum of the criterion.

    Their names get a band of their own above the data, on two heights so that they cannot meet.
    """
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.16 * (high - low))
    if selected is not None:
        text = "selected, at the minimum" if selected == minimum else "selected"
        _mark(ax, float(alphas[selected]), text, 0.985, INK, "-")
    if minimum is not None and minimum != selected:
        _mark(ax, float(alphas[minimum]), "minimum", 0.915, MUTED, (0, (4, 3)))


def _mark(
    ax: Axes,
    alpha: float,
    text: str,
    height: float,
    colour: str,
    line: str | tuple[int, tuple[int, int]],
) -> None:
    ax.axvline(alpha, ymax=height, color=colour, linewidth=0.9, linestyle=line, zorder=1.5)
    left, right, here = (ax.transData.transform((x, 0.0))[0] for x in (*ax.get_xlim(), alpha))
    has_room = (here - left) / (right - left) < 0.7
    ax.annotate(
        text,
        xy=(alpha, height),
        xycoords=("data", "axes fraction"),
        xytext=(4 if has_room else -4, 0),
        textcoords="offset points",
        ha="left" if has_room else "right",
        va="top",
        color=colour,
        fontsize=SMALL,
        bbox={"facecolor": PAPER, "linewidth": 0, "pad": 1},
    )


def note_font_size(n_items: int, room: float) -> float:
    """The size at which `n_items` lines of text fit into `room` inches, at most the normal size."""
    return min(FONT_SIZE, max(4.0, 72 * room / max(n_items, 1) / 1.3))
