"""Perplexity after one-shot pruning: ``python -m benchmarks.language.one_shot``.

Each cell of the table is the perplexity on pydoc's topics and on Persuasion, 8 windows of 512
tokens each, of SmolLM2 with all linear layers of its blocks pruned, calibrated on other text. The
weights are bfloat16, each layer is solved in float32. Cells that are in the results are kept: one
asks for rows and columns with ``--methods`` and ``--columns``, for the same cells anew with
``--again``, and for the table alone with ``--table``. Peers need ``--peers FOLDER``, see
`benchmarks.language.peers`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.language import peers, texts
from benchmarks.language.models import smollm2
from benchmarks.records import append, forget, read
from gossamer.nn.language import Method, compress, perplexity, shares
from gossamer.nn.language import methods as ours
from gossamer.nn.language.method import METHODS

RESULTS = Path(__file__).resolve().parent / "results" / "one_shot.jsonl"
KEY = ("method", "column", "samples", "length")
# what stays, and what lives or dies together; where that is None the method's own choice
COLUMNS: dict[str, dict[str, Any]] = {
    "50%": {"keep": 0.5},
    "60%": {"keep": 0.4},
    "70%": {"keep": 0.3},
    "2:4": {"on": "2:4"},
    "4:8": {"on": "4:8"},
    "16x1": {"on": "16x1", "keep": 0.5},
}
DENSE = "dense"


@dataclass(frozen=True)
class Row:
    """One line of the table: a method, and by what the shares of layers are chosen, if at all."""

    method: Method
    by: str | None = None

    def settings(self, column: str, model: nn.Module, calibration: Tensor) -> dict[str, Any]:
        """What `compress` is told."""
        told = COLUMNS[column]
        if self.by is None:
            return told
        if "on" in told:
            raise ValueError("a pattern fixes the share of each layer.")
        return {"keep": shares(model, calibration, told["keep"], self.by)}


def rows(folder: Path | None) -> dict[str, Row]:
    """All methods with their own settings, some combinations, and the peers where they are."""
    found = {kind.__name__: Row(kind()) for kind in METHODS}
    found["DSnoT of SparseGPT"] = Row(ours.DSnoT(start="sparsegpt"))
    found["Shrunk DSnoT"] = Row(ours.Shrunk("dsnot"))
    found["Shrunk DSnoT of SparseGPT"] = Row(ours.Shrunk(ours.DSnoT(start="sparsegpt")))
    found["Shrunk ADMM"] = Row(ours.Shrunk("admm"))
    found["DSnoT, means only"] = Row(ours.DSnoT(checked=False))
    for by in ("outliers", "influence", "sensitivity"):
        found[f"Wanda, shares by {by}"] = Row(ours.Wanda(), by)
        found[f"ADMM, shares by {by}"] = Row(ours.ADMM(), by)
    if folder is not None:
        found |= {name: Row(method) for name, method in peers.peers(folder).items()}
    return found


def judged(model: Any, evaluation: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: perplexity(model, tokens) for name, tokens in evaluation.items()}


def cell(row: Row, column: str, samples: int, length: int) -> dict[str, Any]:
    """A model pruned and judged."""
    model, tokenizer = smollm2(torch.bfloat16)
    calibration = texts.calibration(tokenizer, samples, length)
    begun = time.perf_counter()
    settings = row.settings(column, model, calibration)
    compression = compress(model, calibration, row.method, progress=_shown, **settings)
    seconds = time.perf_counter() - begun
    solving = sum(layer.seconds for layer in compression)
    error = sum(layer.error for layer in compression) / len(compression.layers)
    return {
        "sparsity": round(compression.sparsity, 4),
        "error": round(error, 5),
        "seconds": round(seconds, 1),
        "solving": round(solving, 1),
        **judged(model, texts.evaluation(tokenizer)),
    }


def _shown(done: int, total: int) -> None:
    print(f"\r{done}/{total} blocks", end="" if done < total else "\n", file=sys.stderr, flush=True)


def dense() -> dict[str, Any]:
    model, tokenizer = smollm2(torch.bfloat16)
    return judged(model, texts.evaluation(tokenizer))


def table(records: list[dict[str, Any]], samples: int, length: int) -> str:
    """Rows by columns in Markdown, "pydoc / Persuasion"; the best of each column and text bold."""
    own = [
        r
        for r in records
        if r["column"] == DENSE or (r["samples"], r["length"]) == (samples, length)
    ]
    names = ("pydoc", "Persuasion")
    best = {
        (column, name): min((r[name] for r in own if r["column"] == column), default=0.0)
        for column in COLUMNS
        for name in names
    }

    def shown(method: str, column: str) -> str:
        found = [r for r in own if (r["method"], r["column"]) == (method, column)]
        if not found:
            return ""
        record = found[-1]
        figures = [(f"{record[name]:.1f}", record[name] <= best[column, name]) for name in names]
        return " / ".join(f"**{figure}**" if first else figure for figure, first in figures)

    methods = dict.fromkeys(r["method"] for r in own if r["column"] != DENSE)
    lines = [f"| method | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for method in methods:
        cells = " | ".join(shown(method, column) for column in COLUMNS)
        lines.append(f"| {method} | {cells} |")
    floor = [r for r in own if r["column"] == DENSE]
    if floor:
        figures = " / ".join(f"{floor[-1][name]:.1f}" for name in names)
        lines.append(f"\nDense: {figures}. Calibrated on {samples} windows of {length} tokens.")
    return "\n".join(lines)


def run(asked: argparse.Namespace) -> None:
    known = rows(asked.peers)
    wanted = [
        (name, column, asked.samples, asked.length)
        for column in asked.columns
        for name in asked.methods or known
    ]
    if unknown := {key[0] for key in wanted} - set(known):
        raise SystemExit(f"there is no {sorted(unknown)}; there are {list(known)}")
    if asked.again:
        forget(asked.results, lambda record: tuple(record[name] for name in KEY) in wanted)
    done = {tuple(record[name] for name in KEY) for record in read(asked.results)}
    if (DENSE, DENSE, 0, 0) not in done:
        append(asked.results, dict(zip(KEY, (DENSE, DENSE, 0, 0), strict=True)) | dense())
    for key in wanted:
        if key in done:
            continue
        print(*key, flush=True)
        try:
            found = cell(known[key[0]], *key[1:])
        except (NotImplementedError, ValueError) as error:  # not a pattern for this method
            print(f"left out: {error}")
            continue
        append(asked.results, dict(zip(KEY, key, strict=True)) | found)
        print(found, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="*", help="rows; all by default")
    parser.add_argument("--columns", nargs="*", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--samples", type=int, default=64, help="windows of calibration text")
    parser.add_argument("--length", type=int, default=512, help="tokens in a window")
    parser.add_argument("--peers", type=Path, help="the folder of other people's code")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="measure known cells again")
    parser.add_argument("--table", action="store_true", help="only print what is known")
    asked = parser.parse_args()
    if not asked.table:
        run(asked)
    print(table(read(asked.results), asked.samples, asked.length))


if __name__ == "__main__":
    main()
