"""Groups pruned and rounded, against 2:4 and two bits: ``python -m benchmarks.language.quantised``.

SmolLM2-135M, all linear layers of its blocks; perplexity on pydoc's topics and on Persuasion, 8
windows of 512 tokens each, calibrated on other text. Megabytes are those of these layers as they
would be stored: of 2:4 in 16 bits half of the weights and two bits of place for each, of quantised
layers what `Quantised.pack` makes. The two stages of GQSA come one after the other. Rows that are
in the results are kept; ``--again`` measures those named anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import records
from benchmarks.language import texts
from benchmarks.language.models import smollm2
from gossamer.nn.language import (
    BlockTuning,
    Compression,
    GridScales,
    Method,
    compress,
    fine_tune,
    perplexity,
)
from gossamer.nn.language.methods import GQSA, SparseGPT, Wanda

RESULTS = Path(__file__).resolve().parent / "results" / "quantised.jsonl"
SAMPLES, LENGTH = 16, 512
# The rate by the errors of three blocks on a window of the table's; passes and steps by the time
# there was: 6 passes with 48 steps at 1e-4, and 3 with 120 at 3e-4, were worse on both texts.
TUNING = BlockTuning(epochs=3)
STEPS, LR = 280, 6e-4  # of scales and zero points, a window of 512 tokens a step


@dataclass(frozen=True)
class Row:
    """A line of the table: what `compress` is told, and the line of the same with scales tuned."""

    method: Method
    settings: dict[str, Any]
    then: str | None = None


ROWS: dict[str, Row] = {
    "2:4 in 16 bits, Wanda": Row(Wanda(), {"on": "2:4"}),
    "2:4 in 16 bits, SparseGPT": Row(SparseGPT(), {"on": "2:4"}),
    "2 bits, groups of 64": Row(GQSA(bits=2, group=64), {"keep": 1.0}),
    "2 bits, blocks tuned": Row(
        GQSA(bits=2, group=64),
        {"keep": 1.0, "refine": TUNING},
        then="2 bits, blocks and scales tuned",
    ),
    "GQSA 4 bits, half of the groups": Row(GQSA(), {"keep": 0.5}),
    "GQSA, blocks tuned": Row(
        GQSA(), {"keep": 0.5, "refine": TUNING}, then="GQSA, blocks and scales tuned"
    ),
    "GQSA of ADMM": Row(GQSA(start="admm"), {"keep": 0.5}),
    "GQSA of ADMM, blocks tuned": Row(
        GQSA(start="admm"),
        {"keep": 0.5, "refine": TUNING},
        then="GQSA of ADMM, blocks and scales tuned",
    ),
}
ORDER = [name for key, row in ROWS.items() for name in (key, row.then) if name is not None]


def megabytes(compression: Compression) -> float:
    """Of the compressed layers."""
    if compression.quantised:
        return sum(weight.bytes for weight in compression.quantised.values()) / 1e6
    return sum(2 * row.alive + row.alive / 4 for row in compression) / 1e6


def measured(name: str) -> Iterator[dict[str, Any]]:
    """The records of a model compressed and judged."""
    row = ROWS[name]
    model, tokenizer = smollm2(torch.bfloat16)
    begun = time.perf_counter()
    calibration = texts.calibration(tokenizer, SAMPLES, LENGTH)
    told = row.settings | {"batch_size": 1, "progress": _shown}
    compression = compress(model, calibration, row.method, **told)
    begun, judged = _judged(name, model, tokenizer, compression, begun)
    yield judged
    if row.then is not None:
        adapter = GridScales(model, compression.quantised)
        windows = texts.calibration(tokenizer, STEPS, LENGTH, seed=1)
        fine_tune(model, windows.split(1), adapter, steps=STEPS, lr=LR)
        adapter.merge()
        yield _judged(row.then, model, tokenizer, compression, begun)[1]


def _judged(
    name: str, model: Any, tokenizer: Any, compression: Compression, begun: float
) -> tuple[float, dict[str, Any]]:
    """The record of a model, and when it was made."""
    seconds = round(time.perf_counter() - begun)
    found = {
        text: perplexity(model, tokens) for text, tokens in texts.evaluation(tokenizer).items()
    }
    record = {"row": name, "megabytes": megabytes(compression), "seconds": seconds}
    return time.perf_counter() - seconds, record | found


def _shown(done: int, total: int) -> None:
    print(f"\r{done}/{total} blocks", end="" if done < total else "\n", file=sys.stderr, flush=True)


def table(found: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| what | MB of the blocks | pydoc | Persuasion |", "|---|---|---|---|"]
    for record in sorted(found, key=lambda record: ORDER.index(record["row"])):
        figures = " | ".join(f"{record[name]:.1f}" for name in ("pydoc", "Persuasion"))
        lines.append(f"| {record['row']} | {record['megabytes']:.1f} | {figures} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--again", nargs="*", choices=ROWS, default=[], metavar="ROW")
    parser.add_argument("--results", type=Path, default=RESULTS)
    asked = parser.parse_args()
    records.forget(asked.results, lambda record: record["row"] in asked.again)
    done = {record["row"] for record in records.read(asked.results)}
    for name in asked.rows:
        if name not in done:
            print(name, flush=True)
            for record in measured(name):
                records.append(asked.results, record)
    print(table(records.read(asked.results)))


if __name__ == "__main__":
    main()
