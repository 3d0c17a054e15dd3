"""The picture: accuracy against sparsity, one line a method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.neural.table import SMOOTH, accuracies, mean_error, sparsity
from benchmarks.neural.training import METHODS, NETWORKS
from gossamer.report.plots.style import FONT_SIZE, INK, MUTED, PALETTE, PAPER, SMALL, quiet

LOWEST = 12.0  # points under the best curve's top; what falls deeper leaves the picture


def draw(records: list[dict[str, Any]], network: str, to: Path) -> None:
    """Write an SVG: mean over seeds, with a bar of one standard error."""
    found = accuracies(records, network)
    keeps = sorted({keep for _, keep in found}, reverse=True)
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmark"})
    matplotlib.rcParams["font.sans-serif"] = ["Helvetica", "Arial", "DejaVu Sans"]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained", facecolor=PAPER)
    ax = figure.add_subplot()
    quiet(ax)
    ax.set_xscale("log")
    ax.invert_xaxis()
    top = 0.0
    for number, (method, way) in enumerate(METHODS.items()):
        points = [
            (keep, *mean_error(found[method, keep])) for keep in keeps if (method, keep) in found
        ]
        if not points:
            continue
        xs, means, errors = zip(*points, strict=True)
        top = max(top, *means)
        smooth = method in SMOOTH
        ax.errorbar(
            xs, means, errors, label=way.title, color=PALETTE[number % len(PALETTE)],
            linestyle="-" if smooth else "--", linewidth=1.8 if smooth else 1.0,
            marker="o" if smooth else "s", markersize=4 if smooth else 3, elinewidth=0.9,
        )  # fmt: skip
    bottom, _ = ax.get_ylim()
    ax.set_ylim(max(bottom, top - LOWEST), top + 0.4)
    ax.xaxis.set_major_locator(FixedLocator(keeps))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda keep, _: sparsity(keep)))
    ax.set_xlabel("weights at zero", fontsize=FONT_SIZE, color=MUTED)
    ax.set_ylabel("test accuracy, %", fontsize=FONT_SIZE, color=MUTED)
    ax.set_title(NETWORKS[network].title, fontsize=FONT_SIZE, color=INK)
    ax.legend(frameon=False, fontsize=SMALL, labelcolor=INK, loc="lower left")
    figure.savefig(to, metadata={"Date": None, "Creator": None})
