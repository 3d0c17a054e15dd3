"""Rows on two workers against one process: the same optimum, from data that never meet.

    python -m benchmarks.distributed [--rows 2000000] [--features 200]

Blocks are drawn by seed on the workers. The one process reads the same blocks one after the other.
Columns: seconds and their ratio, the largest difference of coefficients and of objectives, and the
peak memory of the client beside the size of the data.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

import gossamer as gs
from gossamer.linear.distributed import connected

BLOCK = 50_000


class Blocks:
    """Blocks of rows drawn by seed: (X, y), again the same in every iteration."""

    def __init__(self, n: int, p: int, loss: str) -> None:
        self.n, self.p, self.loss = n, p, loss

    def __len__(self) -> int:
        return self.n // BLOCK

    def block(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(number)
        X = rng.standard_normal((BLOCK, self.p))
        z = X[:, :10] @ (0.3 * (-1.0) ** np.arange(10))
        if self.loss == "quadratic":
            return X, z + rng.standard_normal(BLOCK)
        return X, (z + rng.logistic(size=BLOCK) > 0).astype(float)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return map(self.block, range(len(self)))


def collections(blocks: Blocks) -> tuple[Any, Any]:
    """The same blocks as dask arrays, drawn where they will stay."""
    import dask
    import dask.array as da

    drawn = [dask.delayed(blocks.block)(number) for number in range(len(blocks))]
    X = [da.from_delayed(pair[0], (BLOCK, blocks.p), float) for pair in drawn]
    y = [da.from_delayed(pair[1], (BLOCK,), float) for pair in drawn]
    return da.concatenate(X), da.concatenate(y)


def peak() -> int:
    """Bytes of memory that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def compare(blocks: Blocks, tol: float) -> str:
    """One row of the table."""
    kind = gs.Lasso if blocks.loss == "quadratic" else gs.SparseLogistic
    many, one = kind(0.01, tol=tol), kind(0.01, tol=tol)
    begun = time.perf_counter()
    many.fit(*collections(blocks))
    middle = time.perf_counter()
    client = peak()
    one.fit_batches(blocks)
    alone = time.perf_counter() - middle
    size = blocks.n * blocks.p * 8
    # in a table too small to matter the interpreter alone is larger
    assert client < max(size, 1_000_000_000), "the rows came into the client's process"
    objectives = many.certificate_.objective, one.certificate_.objective
    assert many.certificate_.holds and one.certificate_.holds
    return (
        f"{blocks.loss:<10} {blocks.n:>9,} x {blocks.p:<4} {middle - begun:8.1f} {alone:8.1f} "
        f"{alone / (middle - begun):6.2f} {np.abs(many.coef_ - one.coef_).max():9.1e} "
        f"{abs(objectives[0] - objectives[1]):9.1e} {client / 1e6:8.0f} {size / 1e6:8.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=200)
    parser.add_argument("--losses", default="quadratic,logistic")
    asked = parser.parse_args()
    from distributed import LocalCluster

    print(
        f"{'loss':<10} {'table':>16} {'workers':>8} {'one':>8} {'ratio':>6} {'coef':>9} "
        f"{'objective':>9} {'client':>8} {'data MB':>8}"
    )
    warnings.simplefilter("ignore")  # of the cluster's start
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
    ) as cluster, connected(cluster.scheduler_address):  # fmt: skip
        for loss in asked.losses.split(","):
            print(compare(Blocks(asked.rows, asked.features, loss), 1e-10), flush=True)


if __name__ == "__main__":
    main()
