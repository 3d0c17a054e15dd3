"""The picture: times as fast as dense float32 over sparsity, this library and its peers."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmarks.runtime.contestants import COMPILED, OTHERS
from benchmarks.runtime.table import Results, mean, percent
from gossamer.report.plots.style import FAINT, FONT_SIZE, INK, MUTED, PALETTE, PAPER, SMALL, quiet

BATCHES = (1, 8, 64, 512)
OWN = {"16x1": "gossamer, blocks 16x1", "unstructured": "gossamer, any zeros"}
PEERS = ("torch W @ x'", "scipy", "deepsparse", "onnxruntime", "bfloat16")


def draw(results: Results, threads: int, to: Path) -> None:
    """Write an SVG with a panel a batch: geometric means over shapes."""
    batches = [b for b in BATCHES if results.cases(threads, batch=b)]
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmark"})
    matplotlib.rcParams["font.sans-serif"] = ["Helvetica", "Arial", "DejaVu Sans"]
    figure = Figure(figsize=(9.4, 3.4), layout="constrained", facecolor=PAPER)
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for ax, batch in zip(panels, batches, strict=True):
        _panel(quiet(ax), results, threads, batch)
    panels[0].set_ylabel("times as fast as dense float32", fontsize=FONT_SIZE, color=MUTED)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False,
                  fontsize=SMALL, labelcolor=INK)  # fmt: skip
    figure.savefig(to, metadata={"Date": None, "Creator": None})


def _panel(ax: Axes, results: Results, threads: int, batch: int) -> None:
    sparsities = results.sparsities()
    ax.axhline(1, color=FAINT, linewidth=1.0)
    names = [(COMPILED, pattern) for pattern in OWN] + [(peer, "unstructured") for peer in PEERS]
    for number, (who, pattern) in enumerate(names):
        own = who == COMPILED
        heights = [
            mean(
                results.speed(
                    case, results.best(case, pattern) if own else times.get((who, pattern))
                )
                for case in results.cases(threads, batch=batch, sparsity=sparsity)
                if (times := results.times[case])
            )
            for sparsity in sparsities
        ]
        places = [x for x, height in enumerate(heights) if height is not None]
        ax.plot(
            places, [heights[x] for x in places], color=[*PALETTE, MUTED][number],
            label=OWN[pattern] if own else OTHERS[who].replace("`", ""), markersize=4,
            marker="o" if own else "^", linestyle="-" if own else "--",
            linewidth=1.8 if own else 1.1,
        )  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    ax.xaxis.set_major_locator(FixedLocator(range(len(sparsities))))
    ax.set_xticklabels([percent(s) for s in sparsities], fontsize=SMALL)
    ax.set_title(f"batch {batch}", fontsize=FONT_SIZE, color=INK)
