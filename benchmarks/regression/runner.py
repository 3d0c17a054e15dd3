"""All problems and peers, one process a pair, one after the other; results kept as JSON lines.

A pair that is in the results already is not measured again, so an interrupted run goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

from benchmarks.records import Record, append, read
from benchmarks.regression.peers import PEERS

ROOT = Path(__file__).resolve().parents[2]
BUILDING = 300.0  # seconds for what comes before the first fit: building, compiling
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long one fit may take."""

    problems: list[str]
    peers: list[str]
    targets: list[float]
    limit: float
    tiny: bool = False

    def includes(self, record: Record) -> bool:
        """Whether the record is of a pair that the plan measures."""
        return record["problem"] in self.problems and record["peer"] in self.peers


def environment(threads: int) -> dict[str, str]:
    """Of a child that is to use so many threads."""
    here = {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    return os.environ | here | dict.fromkeys(THREADS, str(threads))


def run(plan: Plan, results: Path) -> None:
    """Measure what is missing and append it to the results."""
    done = {(r["problem"], r["peer"], r["target"]) for r in read(results)}
    for problem in plan.problems:
        for name in plan.peers:
            targets = [t for t in plan.targets if (problem, name, t) not in done]
            if not targets:
                continue
            records = list(measure(problem, name, targets, plan.limit, plan.tiny))
            append(results, *records)
            print("  ".join([problem, name, *map(brief, records)]), file=sys.stderr, flush=True)


def brief(record: Record) -> str:
    if "cpu" in record:
        return f"{record['target']:.0e}: {record['cpu']:.3f} s"
    return f"{record['target']:.0e}: {record['note']}"


def measure(
    problem: str, name: str, targets: list[float], limit: float, tiny: bool
) -> Iterator[Record]:
    """One record a target: an answer, or a note that says why there is none."""
    answers: dict[float, Record] = {}
    note, best = "", float("inf")
    for event in _events(problem, name, targets, limit, tiny):
        kind = event.pop("event")
        if kind == "answer":
            answers[event["target"]] = event
        elif kind == "rung":
            best = min(best, event["certificate"])
        elif kind == "end":
            note = event["note"]
    missed = {"note": note, "certificate": best if best < float("inf") else None}
    for target in targets:
        record = {"problem": problem, "peer": name, "target": target}
        yield record | answers.get(target, missed)


def _events(
    problem: str, name: str, targets: list[float], limit: float, tiny: bool
) -> Iterator[Record]:
    """What the child says; the last event says why it ended."""
    command = [
        sys.executable, "-m", "benchmarks.regression.child", problem, name,
        "--targets", ",".join(map(str, targets)), "--limit", str(limit), *["--tiny"] * tiny,
    ]  # fmt: skip
    child = subprocess.Popen(
        command, cwd=ROOT, env=environment(PEERS[name].threads), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    lines: Queue[str] = Queue()
    reader = Thread(target=_forward, args=(child, lines), daemon=True)
    reader.start()
    patience, late = BUILDING, f"not built in {BUILDING:g} s"
    try:
        while line := lines.get(timeout=patience):
            if not line.startswith("{"):
                continue  # a library that prints
            event = json.loads(line)
            fitting = event["event"] == "fit"
            patience = limit if fitting else BUILDING
            late = f"a fit took more than {limit:g} s" if fitting else "it hangs"
            yield event
        if child.wait() != 0:
            yield {"event": "end", "note": f"failed: the process ended with {child.returncode}"}
    except Empty:
        os.killpg(child.pid, signal.SIGKILL)  # with R, where that is its child
        yield {"event": "end", "note": late}
    finally:
        child.wait()
        reader.join()


def _forward(child: subprocess.Popen[str], lines: Queue[str]) -> None:
    """Lines of the child as they come, and an empty one at the end."""
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            lines.put(line)
    lines.put("")
