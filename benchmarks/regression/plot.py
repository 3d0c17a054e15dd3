"""The picture: every peer's time in units of gossamer's, on every problem."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from benchmarks.regression.peers import OWN
from benchmarks.regression.problems import PROBLEMS
from benchmarks.regression.table import Results, power
from gossamer.report.plots.style import FAINT, FONT_SIZE, INK, MUTED, PALETTE, PAPER, SMALL, quiet

MARKERS = "oosD^vPX*"


def draw(results: Results, to: Path) -> None:
    """Write an SVG with one panel a target, one row a problem, one mark a peer."""
    problems = results.problems
    peers = [peer for peer in results.peers if peer not in OWN]
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmark"})
    matplotlib.rcParams["font.sans-serif"] = ["Helvetica", "Arial", "DejaVu Sans"]
    figure = Figure(figsize=(9.4, 1.6 + 0.21 * len(problems)), layout="constrained",
                    facecolor=PAPER)  # fmt: skip
    panels = figure.subplots(1, len(results.targets), sharey=True, squeeze=False)[0]
    for ax, target in zip(panels, results.targets, strict=True):
        _panel(ax, results, problems, peers, target)
    panels[0].set_yticks(range(len(problems)), [PROBLEMS[p].title for p in problems])
    panels[0].set_ylim(len(problems) - 0.4, -0.6)
    panels[0].tick_params(axis="y", labelsize=SMALL, labelcolor=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(peers), 9),
                  frameon=False, fontsize=FONT_SIZE, labelcolor=INK, handletextpad=0.1,
                  columnspacing=1.2)  # fmt: skip
    figure.savefig(to, metadata={"Date": None, "Creator": None})


def _panel(
    ax: Axes, results: Results, problems: list[str], peers: list[str], target: float
) -> None:
    quiet(ax)
    ax.set_xscale("log")
    ax.axvline(1, color=INK, linewidth=1.1)
    for k, peer in enumerate(peers):
        xs, ys = [], []
        for row, problem in enumerate(problems):
            ours = results.reached(problem, target, OWN[0])
            theirs = results.reached(problem, target, peer)
            if ours and theirs:
                xs.append(theirs["cpu"] / ours["cpu"])
                ys.append(row)
        look = {"color": PALETTE[k % len(PALETTE)], "markeredgecolor": PAPER, "markersize": 5}
        ax.plot(xs, ys, MARKERS[k % len(MARKERS)], label=peer, markeredgewidth=0.5, **look)
    left, right = ax.get_xlim()
    ax.set_xlim(min(left, 0.5), max(right, 20))
    for row, problem in enumerate(problems):
        if not results.reached(problem, target, OWN[0]):
            ax.text(
                1, row, " gossamer does not get there", color=MUTED, fontsize=SMALL, va="center"
            )
        elif not results.best_peer(problem, target):
            ax.text(1, row, " no other gets there", color=MUTED, fontsize=SMALL, va="center")
    ax.xaxis.set_major_locator(LogLocator(numticks=9))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    ax.spines["left"].set_color(FAINT)
    ax.set_title(f"to a certificate of {power(target)}", fontsize=FONT_SIZE, color=INK)
    ax.set_xlabel("CPU time over gossamer's (right of the line: slower)", fontsize=SMALL)
