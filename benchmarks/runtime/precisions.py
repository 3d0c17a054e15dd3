"""Stored values of less precision: ``python -m benchmarks.runtime.precisions``.

The same weight in a layout with values of float32, bfloat16 and int8, against torch's dense product
of float32, all in turn: microseconds (the least), bytes, and the relative error of the results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from torch import from_numpy
from torch.nn import functional as F

from benchmarks.neural.table import row
from benchmarks.runtime.contestants import InProcess
from benchmarks.runtime.problems import Case
from benchmarks.runtime.runner import at_work
from benchmarks.runtime.turns import in_turn
from gossamer.runtime import BlockRows, Layout, SlicedRows
from gossamer.runtime.stored_values import PRECISIONS

SIDES, BATCHES = (768, 4096), (1, 8, 64)
HEAD = ("weight", "layout", "batch", "torch dense", *PRECISIONS, "bytes", "errors")
# Which zeros, in which layout.
KINDS: dict[tuple[str, str], tuple[type[Layout], dict[str, int]]] = {
    ("unstructured", "sliced 16"): (SlicedRows, {"window": 16}),
    ("unstructured", "sliced 32"): (SlicedRows, {"window": 32}),
    ("16x1", "blocks 16x1"): (BlockRows, {"height": 16}),
    ("dense", "blocks 16x1"): (BlockRows, {"height": 16}),
}


def lines(sides: Sequence[int], batches: Sequence[int], threads: int, budget: float) -> Iterator:
    """The cells of a line for each weight and batch."""
    for side in sides:
        for (pattern, name), (kind, options) in KINDS.items():
            weight = Case(threads, side, side, 1, 0.9).weight(pattern)
            assert weight is not None
            layouts = [kind.build(weight, precision=p, **options) for p in PRECISIONS]
            sizes = " / ".join(f"{layout.nbytes / 1e6:.2f} MB" for layout in layouts)
            title = f"{side} x {side}, " + ("dense" if pattern == "dense" else "90 % zeros")
            for batch in batches:
                x = Case(threads, side, side, batch, 0.9).samples()
                times, errors = _measured(weight, layouts, x, threads, budget)
                shown = (f"{1e6 * seconds:.1f}" for seconds in times)
                wrong = " / ".join(f"{100 * error:.2f} %" for error in errors)
                yield title, name, str(batch), *shown, sizes, wrong


def _measured(
    weight: np.ndarray, layouts: Sequence[Layout], x: np.ndarray, threads: int, budget: float
) -> tuple[list[float], list[float]]:
    """Least seconds of torch and of each layout, and the layouts' relative errors."""
    tensors, out = (from_numpy(x), from_numpy(weight)), np.empty((len(x), len(weight)), np.float32)
    expected = x.astype(np.float64) @ weight.T
    runs = [InProcess(lambda: F.linear(*tensors))] + [
        InProcess(lambda layout=layout: layout.matmul(x, out=out, threads=threads))
        for layout in layouts
    ]
    errors = [np.linalg.norm(run.result() - expected) for run in runs[1:]]
    times = [taken.least for taken in in_turn(runs, budget)]
    return times, [float(error / np.linalg.norm(expected)) for error in errors]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, nargs="+", default=SIDES)
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=0.5, help="seconds of a line, about")
    options = parser.parse_args(argv)
    with at_work(options.threads):
        print(row(HEAD), row(["---"] * len(HEAD)), sep="\n")
        for line in lines(options.side, options.batch, options.threads, options.budget):
            print(row(line), flush=True)


if __name__ == "__main__":
    main()
