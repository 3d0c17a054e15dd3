"""Inference against R's hdi and stabs, and the gaps of knockoffs against knockpy.

``python -m benchmarks.inference SOURCES`` prints CPU seconds of one run each, on one thread, and
those of the peer over ours: the table of docs/guide/inference. SOURCES is a folder with the
packages' sources, ``cran+hdi`` and ``hofnerb+stabs`` (mirrors on GitHub); needs R with glmnet.
knockpy, left out where it is not installed, is measured with cvxpy; it says itself that it is 10 to
100 times faster with scikit-dsdp, which has to be built.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import gossamer as gs
from gossamer.linear.inference.gaps import semidefinite


def data(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """Independent columns, five of which matter, and noise of variance one."""
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((n, p)))
    return X, X[:, :5].sum(axis=1) + rng.standard_normal(n)


def cpu_seconds(action: Callable[[], object]) -> float:
    action()  # compiles what is not compiled yet
    begun = time.process_time()
    action()
    return time.process_time() - begun


def by_r(X: np.ndarray, y: np.ndarray, sources: Path, package: str) -> float:
    """CPU seconds that the R script measures of itself."""
    with tempfile.TemporaryDirectory() as name:
        table, answer = Path(name) / "table", Path(name) / "answer"
        np.concatenate([X.shape, X.ravel("F"), y]).astype(float).tofile(table)
        script = Path(__file__).with_suffix(".R")
        subprocess.run(["Rscript", script, table, answer, sources, package], check=True)
        return float(answer.read_text())


def row(what: str, ours: float, peer: str, theirs: float) -> None:
    print(f"{what:<46}{ours:>9.2f} s{peer:>10}{theirs:>9.2f} s{theirs / ours:>8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    sources = parser.parse_args().sources
    X, y = data(100, 100)
    ours = cpu_seconds(lambda: gs.DebiasedLasso(noise=1.0).fit(X, y))
    row("intervals of all coefficients, 100 x 100", ours, "hdi", by_r(X, y, sources, "hdi"))
    X, y = data(200, 500)
    stable = gs.StabilitySelection(n_selected=10, threshold=0.75, random_state=0)
    ours = cpu_seconds(lambda: stable.fit(X, y))
    row("stability, 100 halves of 200 x 500, q = 10", ours, "stabs", by_r(X, y, sources, "stabs"))
    if find_spec("knockpy"):
        from knockpy.mac import solve_SDP

        for p in (50, 200):
            chain = 0.6 ** np.abs(np.subtract.outer(np.arange(p), np.arange(p)))
            ours, theirs = (
                cpu_seconds(lambda f=f, R=chain: f(R)) for f in (semidefinite, solve_SDP)
            )
            sums = semidefinite(chain).sum(), np.trace(solve_SDP(chain))
            row(f"gaps of {p} knockoffs", ours, "knockpy", theirs)
            print(f"    sums of the gaps, larger is better: {sums[0]:.4f} and {sums[1]:.4f}")


if __name__ == "__main__":
    main()
