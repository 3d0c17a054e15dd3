"""SLoPe beside dense pretraining: ``python -m benchmarks.language.sparse_pretraining``.

A tiny Llama of bytes (96 channels, 3 blocks) is trained on docstrings for 250 steps, with 2:4 in
all layers but the output: dense, doubly pruned without low-rank layers, and with them in the last 4
and 10 % of the steps. The better of two learning rates, by held-out loss. Five minutes of one core;
an interrupted run goes on where it ended.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.language.tiny import batches, judged, prose, tiny_llama
from benchmarks.records import append, read
from gossamer.nn.language import SLoPe, fine_tune

RESULTS = Path(__file__).parent / "results" / "sparse_pretraining.jsonl"
STEPS, RATES = 250, (1e-3, 3e-3)
KINDS: dict[str, dict[str, Any] | None] = {
    "dense": None,
    "doubly pruned": {"rank": 0},
    "and rank 16 in the last 4 %": {"rank": 16, "lazy": 0.04},
    "and rank 16 in the last 10 %": {"rank": 16, "lazy": 0.1},
}


def measure(kind: str, rate: float) -> float:
    """The loss on text that is held out."""
    text, held_out = prose("docstrings")
    model, settings = tiny_llama(96, 3), KINDS[kind]
    adapter = None if settings is None else SLoPe(model, **settings)
    fine_tune(model, batches(text), adapter, steps=STEPS, lr=rate, floor=0.1)
    if adapter is not None:
        adapter.merge()
    return judged(model, held_out)


def main() -> None:
    known = {(record["kind"], record["lr"]): record["loss"] for record in read(RESULTS)}
    for kind in KINDS:
        for rate in RATES:
            if (kind, rate) not in known:
                known[kind, rate] = measure(kind, rate)
                append(RESULTS, {"kind": kind, "lr": rate, "loss": known[kind, rate]})
        loss, best = min((known[kind, rate], rate) for rate in RATES)
        print(f"{kind:30} {loss:.4f} nats a byte, at a rate of {best:g}", flush=True)


if __name__ == "__main__":
    main()
