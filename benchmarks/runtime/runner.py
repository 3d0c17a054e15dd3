"""All cases, one after the other; kept as JSON lines, so that an interrupted run goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import scipy
import torch
from threadpoolctl import threadpool_limits

from benchmarks.records import Record, append, read
from benchmarks.runtime import roofline
from benchmarks.runtime.contestants import DENSE, OTHERS, InProcess, contestants, of_engine
from benchmarks.runtime.engines import Engine, Loaded, started
from benchmarks.runtime.problems import PATTERNS, Case
from benchmarks.runtime.turns import PAUSE, in_turn
from gossamer.kernels.machine import processor


def case_of(record: Record) -> Case:
    return Case(**record["case"])


def run(cases: Iterable[Case], results: Path, budget: float) -> None:
    """Measure the cases that are missing, each in about ``budget`` seconds."""
    done = {case_of(record) for record in read(results)}
    missing = [case for case in cases if case not in done]
    with started() as engines:
        for threads in sorted({case.threads for case in missing}):
            with at_work(threads):
                machine = roofline.machine(threads, engines.values())
                machine |= {"versions": versions(engines.values()), "processor": processor()[0]}
                for case in missing:
                    if case.threads == threads:
                        record = measure(case, engines.values(), budget) | {"machine": machine}
                        append(results, record)
                        print(brief(record), file=sys.stderr, flush=True)


def versions(engines: Iterable[Engine]) -> dict[str, str]:
    """Of all libraries."""
    found = {engine.name: engine.version for engine in engines}
    return {"torch": torch.__version__, "numpy": np.__version__, "scipy": scipy.__version__} | found


@contextmanager
def at_work(threads: int) -> Iterator[None]:
    """Everybody with so many threads, without gradients."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads), torch.no_grad():
            yield
    finally:
        torch.set_num_threads(before)


def measure(case: Case, engines: Iterable[Engine], budget: float) -> Record:
    """Times of all contestants of a case, and how far from right they are."""
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        running = list(contestants(case))
        for engine in engines:
            try:
                running += [
                    (name, stack.enter_context(one)) for name, one in of_engine(engine, case)
                ]
            except RuntimeError as reason:
                failed[engine.name] = str(reason)
        taken = in_turn([one for _, one in running], budget, PAUSE if case.threads > 1 else 0.0)
        found = [
            {"who": who, "pattern": pattern} | asdict(times) | one.facts | wrong(case, pattern, one)
            for ((who, pattern), one), times in zip(running, taken, strict=True)
        ]
    return {"case": case.as_dict(), "found": found, "failed": failed}


def wrong(case: Case, pattern: str, one: InProcess | Loaded) -> dict[str, float]:
    """Non-zero weights, and the largest error relative to the largest result."""
    right = case.expected(pattern)
    error = np.abs(one.result()[:8] - right).max() / max(np.abs(right).max(), 1e-30)
    return {"error": float(error), "nonzero": int(np.count_nonzero(case.weight(pattern)))}


def brief(record: Record) -> str:
    """One line for who is waiting."""
    times = {(one["who"], one["pattern"]): one["seconds"] for one in record["found"]}
    dense = times[DENSE]
    best = {}
    for pattern in PATTERNS:
        own = [s for (who, p), s in times.items() if who not in OTHERS and p == pattern]
        if own:
            best[pattern] = round(dense / min(own), 2)
    return f"{case_of(record)}: {best} times as fast as dense"
