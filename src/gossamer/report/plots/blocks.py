"""Layers of a transformer by block and kind: what compressing them cost, and how much went."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator, PercentFormatter

from gossamer.report.plots.labels import label_ends
from gossamer.report.plots.style import (
    BLUE,
    MUTED,
    PALETTE,
    SMALL,
    name_bars,
    new_axes,
    quiet,
    say,
)
from gossamer.report.summary import Array

Rows = Sequence[Mapping[str, Any]]

# One hue that fades: a page in the dark has its own colours beneath.
_SHADES = LinearSegmentedColormap.from_list("gone", [(BLUE, 0.0), (BLUE, 1.0)])
_LINES = ("-", (0, (4, 2)))


def plot_block_errors(layers: Rows, *, ax: Axes | None = None) -> Axes:
    """The error of each layer's outputs along the blocks: a line a kind of layer.

    Parameters
    ----------
    layers : sequence of mapping
        ``gs.nn.language.Compression.to_dict()["layers"]``, or of a report.json: of each layer its
        ``name`` and the relative ``error`` of its outputs.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> layers = [{"name": f"h.{block}.mlp", "error": 0.1 * block} for block in range(3)]
    >>> plot_block_errors(layers).get_xlabel()
    'block'
    """
    ax = quiet(new_axes(3.0) if ax is None else ax)
    if not layers:
        return say(ax, "No layer was made sparse.")
    kinds, errors = _by_kind(layers, [row["error"] for row in layers])
    blocks, colours = np.arange(errors.shape[1]), []
    for place, line in enumerate(errors):
        colour = PALETTE[place % len(PALETTE)]
        style = _LINES[place // len(PALETTE) % len(_LINES)]
        ax.plot(blocks, line, color=colour, linestyle=style, linewidth=1.3, marker=".", ms=4)
        colours.append(colour)
    ax.set(xlabel="block", ylabel="relative error of outputs", xlim=(0, max(blocks[-1], 1)))
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ends = np.array([line[np.isfinite(line)][-1] for line in errors])
    label_ends(ax, ends, [_short(kind) for kind in kinds], colours)
    return ax


def plot_block_sparsity(layers: Rows, *, ax: Axes | None = None) -> Axes:
    """The share of zeros in each layer, as a map: blocks from left to right, kinds from the top.

    Parameters
    ----------
    layers : sequence of mapping
        As for `plot_block_errors`; of each layer its ``name``, ``weights`` and how many are
        ``alive``.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> layers = [{"name": f"h.{block}.mlp", "weights": 100, "alive": 30} for block in range(3)]
    >>> plot_block_sparsity(layers).get_xlabel()
    'block'
    """
    kinds, gone = _by_kind(layers, [1 - row["alive"] / row["weights"] for row in layers])
    ax = quiet(new_axes(0.9 + 0.26 * len(kinds)) if ax is None else ax, grid="none")
    if not layers:
        return say(ax, "No layer was made sparse.")
    count = gone.shape[1]
    mesh = ax.pcolormesh(gone, cmap=_SHADES, vmin=0, vmax=1, edgecolors="none")
    for place, row in enumerate(gone):
        text = f" {np.nanmean(row):.1%}"
        ax.text(count, place + 0.5, text, va="center", color=MUTED, fontsize=SMALL)
    name_bars(ax, map(_short, kinds))
    ax.set_yticks(np.arange(len(kinds)) + 0.5, [_short(kind) for kind in kinds])
    marked = range(0, count, max(1, round(count / 10)))
    ax.set_xticks([block + 0.5 for block in marked], [str(block) for block in marked])
    ax.set(xlabel="block", xlim=(0, count))
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.13, aspect=12, format=PercentFormatter(1.0))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, labelcolor=MUTED, length=0)
    return ax


def _by_kind(layers: Rows, values: Sequence[float]) -> tuple[list[str], Array]:
    """The kinds of layers, and (kinds, blocks) values; nan where a block has none of a kind."""
    places = [_place(str(row["name"])) for row in layers]
    kinds = list(dict.fromkeys(kind for _, kind in places))
    table = np.full((len(kinds), 1 + max((block for block, _ in places), default=0)), np.nan)
    for (block, kind), value in zip(places, values, strict=True):
        table[kinds.index(kind), block] = value
    return kinds, table


def _place(name: str) -> tuple[int, str]:
    """The number of the block, and the layer within it: ``model.layers.3.mlp.up_proj``."""
    found = re.fullmatch(r"(?:.*?\.)??(\d+)\.(.+)", name)
    return (int(found[1]), found[2]) if found else (0, name)


def _short(kind: str) -> str:
    return kind.rpartition(".")[2]
