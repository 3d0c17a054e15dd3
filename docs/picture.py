"""Draw docs/_static/path.svg, the picture of the README: ``python docs/picture.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

import gossamer as gs
from gossamer.report import plot_path
from gossamer.report.plots.style import BLUE, FONT_SIZE, INK, MUTED, PAPER, SMALL, quiet

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "examples"))

from real_tables import hitters  # noqa: E402 - the examples are no package

TOL = 1e-6


def main() -> None:
    table = hitters()
    path = gs.Lasso(tol=TOL).path(table.X, table.y, n_alphas=200)
    # rounding can close a gap entirely, which no log axis shows
    values = np.maximum([c.value for c in path.certificates], 1e-17)

    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "path"})
    matplotlib.rcParams["font.sans-serif"] = ["Helvetica", "Arial", "DejaVu Sans"]
    figure = Figure(figsize=(8.2, 4.6), layout="constrained", facecolor=PAPER)
    above, below = figure.subplots(2, 1, height_ratios=[3.2, 1], sharex=True)
    plot_path(path.alphas, path.coefs, table.features, n_labels=10, ax=above)
    above.set_xlabel("")
    above.tick_params(labelbottom=False)
    above.set_ylabel("salary per standard deviation")

    quiet(below)
    below.semilogy(path.alphas, values, ".", color=BLUE, markersize=3)
    below.axhline(TOL, color=INK, linewidth=0.9)
    below.annotate(
        "asked for: 1e-6", (path.alphas[0], TOL), xytext=(2, 3), textcoords="offset points",
        fontsize=SMALL, color=INK,
    )  # fmt: skip
    below.yaxis.set_major_locator(FixedLocator([1e-16, 1e-11, 1e-6]))
    below.yaxis.set_minor_locator(NullLocator())
    below.set_ylim(3e-18, 3e-5)
    below.set_ylabel("relative gap")
    below.set_xlabel("strength α (log scale)", fontsize=FONT_SIZE, color=MUTED)
    figure.align_ylabels()
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    figure.savefig(DOCS / "_static" / "path.svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
