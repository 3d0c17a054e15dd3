"""S2FT and SparseLoRA beside LoRA and full fine-tuning:
``python -m benchmarks.language.structured_tuning [loss] [context] [cost]``.

``loss``: a tiny Llama of bytes, trained on docstrings, is tuned on two novels for 100 steps,
judged by a third novel, and by what became of docstrings.
``context``: the same with answers of 32 bytes after 96 bytes of context, the context sparse.
``cost``: processor time, memory and operations of a step of SmolLM2, 256 tokens on one core.

peft's LoRA is the peer. A quarter of an hour; an interrupted run goes on where it ended.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.language.models import smollm2
from benchmarks.language.texts import novel
from benchmarks.language.tiny import batches, judged, pretrained, prose
from benchmarks.records import append, read
from gossamer.nn.language import S2FT, SparseLoRA, fine_tune, tokens_of
from gossamer.nn.language.tuning.training import next_token_loss
from gossamer.nn.memory import backward_bytes

RESULTS = Path(__file__).parent / "results" / "structured_tuning.jsonl"
STEPS, CONTEXT, LENGTH = 100, 96, 128
Made = tuple[nn.Module, Any]


def lora(model: nn.Module, rank: int) -> Made:
    """peft's LoRA on all linear layers of the blocks."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    return get_peft_model(model, config), None  # type: ignore[arg-type]


def full(model: nn.Module) -> Made:
    return model, None


def s2ft(model: nn.Module, heads: float, channels: float, seed: int = 0) -> Made:
    return model, S2FT(model, heads, channels, seed=seed)


def sparse_lora(model: nn.Module, rank: int, channels: float, attention: float = 1.0) -> Made:
    return model, SparseLoRA(model, rank, channels=channels, attention=attention)


# The best rates of three each, which are the largest: 3e-4 to 3e-3, and 1e-3 to 1e-2.
TUNED: dict[str, tuple[Callable[[nn.Module], Made], float]] = {
    "full, 3e-3": (full, 3e-3),
    "LoRA of rank 4, 1e-2": (lambda model: lora(model, 4), 1e-2),
    "S2FT, 1e-2": (lambda model: s2ft(model, 6 / 32, 208 / 1536), 1e-2),
}


def loss(kind: str) -> dict[str, Any]:
    """Losses in training, on a novel that is held out, and on the text of before."""
    make, rate = TUNED[kind]
    text, held_out = prose("novels")
    torch.manual_seed(0)
    model, adapter = make(pretrained())
    tuned = fine_tune(model, batches(text, LENGTH), adapter, steps=STEPS, lr=rate)
    return {
        "trained": tuned.trained,
        "training": sum(tuned.losses[-20:]) / 20,
        "novel": judged(model, held_out),
        "docstrings": judged(model, prose("docstrings")[1]),
    }


CONTEXTUAL: dict[str, tuple[float, bool]] = {
    "all channels (LoRA)": (1.0, False),
    "1/2 of the channels": (0.5, False),
    "1/4 of the channels": (0.25, False),
    "1/4, drawn at random": (0.25, True),
}


def context(kind: str) -> dict[str, Any]:
    """Loss and operations where the context is sparse."""
    channels, random = CONTEXTUAL[kind]
    text, held_out = prose("novels")
    model, adapter = sparse_lora(pretrained(), 4, channels)
    if random:
        draws = torch.Generator().manual_seed(0)
        for choice in adapter.choices:
            choice.scores = lambda inputs: torch.rand(384, generator=draws)
    with FlopCounterMode(display=False) as counter:
        _answered(model.train(), next(batches(text, LENGTH))).backward()
    model.zero_grad()
    tuned = fine_tune(model, batches(text, LENGTH), adapter, steps=STEPS, lr=3e-3, loss=_answered)
    return {
        "training": sum(tuned.losses[-20:]) / 20,
        "novel": judged(model, held_out),
        "gigaflops": counter.get_total_flops() / 1e9,
    }


def _answered(model: nn.Module, tokens: Tensor) -> Tensor:
    """The loss of the last bytes, after those of the context."""
    labels = tokens.clone()
    labels[:, :CONTEXT] = -100
    found: Tensor = model(input_ids=tokens, labels=labels).loss
    return found


COSTLY: dict[str, Callable[[nn.Module], Made]] = {
    "full": full,
    "LoRA, rank 8": lambda model: lora(model, 8),
    "S2FT": lambda model: s2ft(model, 30 / 270, 2320 / 46080),
    "SparseLoRA, 1/2 of the MLP": lambda model: sparse_lora(model, 8, 0.5),
    "SparseLoRA, 1/4, attention 1/2": lambda model: sparse_lora(model, 8, 0.25, 0.5),
}


def cost(rounds: int = 2) -> Iterator[dict[str, Any]]:
    """What a step of the real model takes; the methods take turns, step by step."""
    torch.set_num_threads(1)
    model, tokenizer = smollm2()
    tokens = tokens_of(tokenizer, novel("emma"), 256, 1)
    made = {kind: make(copy.deepcopy(model)) for kind, make in COSTLY.items()}
    optimisers = {
        kind: torch.optim.AdamW([p for p in tuned.parameters() if p.requires_grad])
        for kind, (tuned, _) in made.items()
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in made}
    for _ in range(rounds):
        for kind, (tuned, _) in made.items():
            tuned.train()
            start = process_time()
            next_token_loss(tuned, tokens).backward()
            optimisers[kind].step()
            optimisers[kind].zero_grad()
            seconds[kind].append(process_time() - start)
    for kind, (tuned, _) in made.items():
        trained = sum(p.numel() for p in tuned.parameters() if p.requires_grad)
        with FlopCounterMode(display=False) as counter:
            next_token_loss(tuned, tokens).backward()
        tuned.zero_grad()
        yield {
            "kind": kind,
            "trained": trained,
            "seconds": median(seconds[kind]),
            "activations_mb": backward_bytes(tuned, lambda: next_token_loss(tuned, tokens)) / 1e6,  # noqa: B023
            "optimiser_mb": 12 * trained / 1e6,  # gradient and two moments in float32
            "gigaflops": counter.get_total_flops() / 1e9,
        }


def main(tables: list[str]) -> None:
    known = read(RESULTS)
    for table, kinds, measure in (("loss", TUNED, loss), ("context", CONTEXTUAL, context)):
        for kind in kinds if table in tables else ():
            record = next((r for r in known if (r["table"], r["kind"]) == (table, kind)), None)
            if record is None:
                record = {"table": table, "kind": kind, **measure(kind)}  # type: ignore[operator]
                append(RESULTS, record)
            _show(record)
    if "cost" in tables:
        found = [r for r in known if r["table"] == "cost"]
        if not found:
            found = [{"table": "cost", **record} for record in cost()]
            append(RESULTS, *found)
        for record in found:
            _show(record)


def _show(record: dict[str, Any]) -> None:
    kind = record["kind"]
    values = (f"{k} {v:,.4g}" for k, v in record.items() if k not in ("table", "kind"))
    print(f"{record['table']}: {kind:32} " + "  ".join(values), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["loss", "context", "cost"])
