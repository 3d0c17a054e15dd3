"""Real tables, each with the model that suits it, beside the field's tools for that model.

``python -m benchmarks.tables`` prints the table of docs/benchmarks_tables.md, and takes some
minutes; peers and data packages that are not installed are left out, by name. ``--record FILE``
keeps what the peers found, which tests/linear/test_tables.py reads.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gossamer as gs
from benchmarks.tables.cases import CASES, Case
from benchmarks.tables.judge import EQUAL, Judged, Own, ours, theirs
from benchmarks.tables.peers import PEERS, version_of

HEAD = (
    "| table | n x p | model | peer | objective less the peer's | selected | in one only | "
    "deviance explained | peer's CPU / ours | certificate |\n"
    "|---|---|---|---|--:|--:|--:|--:|--:|---|"
)


@dataclass(frozen=True)
class Row:
    case: Case
    peer: str
    version: str
    problem: gs.Problem
    own: Own
    peers: Judged

    @property
    def difference(self) -> float:
        return self.own.judged.objective - self.peers.objective

    @property
    def apart(self) -> int:
        """How many coefficients one of the two selects and the other does not."""
        return len(set(self.own.judged.support) ^ set(self.peers.support))

    @property
    def verdict(self) -> str:
        """Better, equal or worse in the objective; a support that differs without need is worse."""
        if self.difference < -EQUAL:
            return "better"
        same = self.apart == 0 or not self.own.unique
        return "equal" if self.difference <= EQUAL and same else "worse"

    def __str__(self) -> str:
        mine, n, p = self.own.judged, len(self.problem.y), self.problem.shape[0]
        apart = str(self.apart) if self.own.unique or not self.apart else f"{self.apart} *"
        certificate = self.own.certificate
        cells = (
            self.case.table, f"{n} x {p}", self.case.model, f"{self.peer} {self.version}",
            f"{self.difference:+.0e}, {self.verdict}", len(mine.support), apart,
            f"{mine.explained:.6f} / {self.peers.explained:.6f}",
            f"{self.peers.seconds / mine.seconds:.2g}",
            f"{certificate.value:.0e}, {certificate.kind}",
        )  # fmt: skip
        return "| " + " | ".join(map(str, cells)) + " |"

    def record(self) -> dict:
        found = {"table": self.case.table, "model": self.case.model, "peer": self.peer}
        found |= {"version": self.version, "objective": self.peers.objective}
        return found | {"explained": self.peers.explained, "support": self.peers.support.tolist()}


def rows(only: str) -> Iterator[Row]:
    for case in CASES:
        if only not in f"{case.table} {case.model} {' '.join(case.peers)}":
            continue
        try:
            problem = case.problem()
        except ModuleNotFoundError as error:
            print(f"| {case.table} | | {case.model} | not here: {error} |")
            continue
        own = ours(case, problem)
        for peer in case.peers:
            version = version_of(peer)
            if version is None:
                print(f"| {case.table} | | {case.model} | {peer} is not here |")
                continue
            try:
                found = theirs(problem, PEERS[peer], own.judged.objective)
            except RuntimeError as error:
                print(f"| {case.table} | | {case.model} | {peer} failed: {error} |")
                continue
            yield Row(case, peer, version, problem, own, found)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", default="", help="rows with this in table, model or peers")
    parser.add_argument("--record", type=Path, help="where to keep what the peers found")
    asked = parser.parse_args()
    print(HEAD)
    found = []
    for row in rows(asked.only):
        found.append(row)
        print(row, flush=True)
    verdicts = [row.verdict for row in found]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("better", "equal", "worse"))
    # birthwt_low and birthwt_bwt are one table with two targets
    tables = len({row.case.table.split("_")[0] for row in found})
    print(f"\n{len(found)} comparisons on {tables} tables: {counts}.")
    if asked.record:
        lines = ",\n".join(json.dumps(row.record()) for row in found)
        asked.record.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
