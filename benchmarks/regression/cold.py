"""What a fresh process spends until its first fit: import, compiling, solving.

CPU seconds, not wall-clock: several threads would hide work. Every library fits the same small
problem, with an empty and with a filled cache of compiled code. numpy is imported before.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.records import append, read
from benchmarks.regression import designs
from benchmarks.regression.peers import OWN, PEERS
from benchmarks.regression.problems import Problem
from benchmarks.regression.runner import ROOT, environment

SEEN = ("lasso", "logistic")
WARM_RUNS = 3


def small_problem(kind: str) -> Problem:
    X = designs.independent(100, 1000)
    signal = designs.sparse_signal(X, 5)
    problem = Problem("cold", X, designs.noisy(signal))
    if kind == "logistic":
        problem = replace(problem, y=designs.labels(signal), loss="logistic")
    return problem.at(10)


def cpu_seconds() -> float:
    """Of this process and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def child(kind: str, name: str) -> None:
    """Print the CPU seconds of the import and of the first fit."""
    problem, peer = small_problem(kind), PEERS[name]
    begun = cpu_seconds()
    peer.load()
    imported = cpu_seconds()
    # the loosest tolerance: what counts is what comes before the first step
    peer.fit(problem, peer.prepare(problem), peer.tolerances[0])
    peer.close()
    print("\n" + json.dumps([imported - begun, cpu_seconds() - imported]))


def fresh_process(kind: str, name: str, cache: str) -> tuple[float, float]:
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.regression.cold", kind, name], cwd=ROOT,
        env=environment(1) | {"NUMBA_CACHE_DIR": cache}, check=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    ).stdout  # fmt: skip
    imported, fitted = json.loads(output.splitlines()[-1])
    return imported, fitted


def measure(kind: str, name: str) -> dict[str, Any]:
    """CPU seconds: the import, the first fit ever, the first fit of a later process."""
    with tempfile.TemporaryDirectory() as cache:
        _, first = fresh_process(kind, name, cache)
        later = [fresh_process(kind, name, cache) for _ in range(WARM_RUNS)]
    return {
        "kind": kind,
        "peer": name,
        "version": PEERS[name].version(),
        "import": median(run[0] for run in later),
        "no_cache": first,
        "cache": median(run[1] for run in later),
    }


def run(kinds: list[str], names: list[str], results: Path) -> None:
    """Measure the peers that are not in the results yet."""
    done = {(record["kind"], record["peer"]) for record in read(results)}
    for kind in kinds:
        for name in names:
            peer = PEERS[name]
            if (kind, name) in done or peer.threads > 1 or peer.refuses(small_problem(kind)):
                continue
            append(results, measure(kind, name))


def table(records: list[dict[str, Any]]) -> str:
    """Markdown: a row a library and problem, with the whole in units of gossamer's."""
    lines = [
        "| first fit | library | import | fit, no cache | fit, cache | in all, vs gossamer |",
        "|---|---|--:|--:|--:|--:|",
    ]
    own = {r["kind"]: r["import"] + r["cache"] for r in records if r["peer"] == OWN[0]}
    for r in records:
        whole = r["import"] + r["cache"]
        ratio = f"{whole / own[r['kind']]:.2f}x" if r["kind"] in own else ""
        cells = [f"{r[key]:.2f}" for key in ("import", "no_cache", "cache")]
        lines.append("| " + " | ".join([r["kind"], r["peer"], *cells, ratio]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    child(*sys.argv[1:])
