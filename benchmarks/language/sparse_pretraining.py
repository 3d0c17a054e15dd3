"""SLoPe beside dense pretraining: ``python -m benchmarks.language.sparse_pretraining``.

A tiny Llama of bytes (96 channels, 3 blocks) is trained on docstrings for 250 steps, with 2:4 in
all layers but the output: dense, doubly pruned without low-rank layers, and with them in the last 2
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
STEPS, RATES = 250, (3e-3, 1e-2)
KINDS: dict[str, tuple[dict[str, Any] | None, tuple[float, ...]]] = {
    "dense": (None, RATES),
    "doubly pruned": ({"rank": 0}, RATES),
    "and rank 16 in the last 2 %": ({"rank": 16, "lazy": 0.02}, RATES[1:]),
    "and rank 16 in the last 10 %": ({"rank": 16, "lazy": 0.1}, RATES[1:]),
}


def measure(kind: str, rate: float) -> float:
    """The loss on text that is held out."""
    text, held_out = prose("docstrings")
    model, settings = tiny_llama(96, 3), KINDS[kind][0]
    adapter = None if settings is None else SLoPe(model, **settings)
    fine_tune(model, batches(text), adapter, steps=STEPS, lr=rate)
    if adapter is not None:
        adapter.merge()
    return judged(model, held_out)


def main() -> None:
    known = {(record["kind"], record["lr"]): record["loss"] for record in read(RESULTS)}
    for kind, (_, rates) in KINDS.items():
        for rate in rates:
            if (kind, rate) not in known:
                known[kind, rate] = measure(kind, rate)
                append(RESULTS, {"kind": kind, "lr": rate, "loss": known[kind, rate]})
        loss, best = min((known[kind, rate], rate) for rate in rates)
        print(f"{kind:30} {loss:.4f} nats a byte, at a rate of {best:g}", flush=True)


if __name__ == "__main__":
    main()
