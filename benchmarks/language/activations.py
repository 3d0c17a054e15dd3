"""SmolLM2 with fewer inputs of its layers: ``python -m benchmarks.language.activations``.

Perplexity on two texts (8 windows of 512 tokens each) when each linear layer of the blocks keeps
so much of its inputs: by magnitude, as TEAL, or by magnitude times the norm of the column (WINA),
with one threshold a layer or the best inputs of each token; then with WINA's inputs turned to
coordinates in which columns are orthogonal, layer by layer, which reads more, or with the whole
residual stream rotated to its principal axes, which reads nothing more; and with shares that are
chosen for each layer under the same total. Calibrated on other text. The last column is the share
of the weights that a token reads, turning included.

Records are kept, so that an interrupted run goes on; ``--levels 0.5`` asks for one sparsity.
"""

from __future__ import annotations

import argparse
import functools
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import records
from benchmarks.language.models import smollm2
from benchmarks.language.texts import calibration, evaluation
from gossamer.nn.language import perplexity, rotate
from gossamer.runtime import choose_activation_shares, sparsify_activations

RESULTS = Path(__file__).parent / "results" / "activations.jsonl"
LEVELS = (0.5, 0.65, 0.4, 0.25)
BLOCKS = "model.layers.*"
#: what reads the residual stream: two turns a block
TURNED = tuple(f"*.{name}_proj" for name in ("q", "k", "v", "gate", "up"))
WIDENING = TURNED[-2:]
WAYS: dict[str, dict[str, Any]] = {
    "magnitude, thresholds": {"criterion": "magnitude"},
    "magnitude, top-k": {"criterion": "magnitude", "rule": "top_k"},
    "WINA, thresholds": {"criterion": "wina"},
    "WINA, top-k": {"criterion": "wina", "rule": "top_k"},
    "WINA, turned, thresholds": {"criterion": "wina", "turn": TURNED},
    "magnitude, chosen shares": {"criterion": "magnitude", "chosen": True},
    "WINA, MLPs turned, chosen shares": {"criterion": "wina", "turn": WIDENING, "chosen": True},
    "WINA, rotated, thresholds": {"criterion": "wina", "rotated": True},
    "WINA, rotated, chosen shares": {"criterion": "wina", "rotated": True, "chosen": True},
    "magnitude, rotated, chosen shares": {
        "criterion": "magnitude",
        "rotated": True,
        "chosen": True,
    },
}


@functools.cache
def subject(rotated: bool = False) -> tuple[nn.Module, Any]:
    model, tokenizer = smollm2(torch.bfloat16)
    if rotated:
        rotate(model, calibration(tokenizer, 4, 512))
    return model, tokenizer


@functools.cache
def calibrated() -> Tensor:
    """Four windows, of which shares see two."""
    return calibration(subject()[1], 4, 512)


def sparse(way: str, sparsity: float) -> tuple[nn.Module, dict[str, float]]:
    """The model with zeros among its inputs, and what each layer keeps."""
    options = dict(WAYS[way])
    model, _ = subject(options.pop("rotated", False))
    keep: dict[str, float] = {BLOCKS: 1 - sparsity}
    if options.pop("chosen", False):
        settings = {name: options[name] for name in ("criterion", "turn") if name in options}
        batches = calibrated()[:2].split(1)
        keep = choose_activation_shares(model, batches, 1 - sparsity, on=BLOCKS, **settings)
    return sparsify_activations(
        model, calibrated(), keep, skip=False, batch_size=2, **options
    ), keep


def read(way: str, keep: dict[str, float]) -> float:
    """Share of the blocks' weights that a token reads, with the matrices that turn its inputs."""
    model, _ = subject()
    all_weights, some, turning = 0.0, 0.0, 0.0
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear) and name.startswith(BLOCKS.rstrip("*")):
            all_weights += layer.weight.numel()
            some += keep.get(name, keep.get(BLOCKS, 1.0)) * layer.weight.numel()
            if any(fnmatch(name, pattern) for pattern in WAYS[way].get("turn", ())):
                turning += layer.in_features**2 * name.endswith(("q_proj", "gate_proj"))
    return (some + turning) / all_weights


def measure(way: str | None, sparsity: float) -> records.Record:
    model, tokenizer = subject()
    record: records.Record = {"way": way or "dense", "sparsity": sparsity, "read": 1.0}
    if way is not None:
        model, keep = sparse(way, sparsity)
        record["read"] = read(way, keep)
    for text, tokens in evaluation(tokenizer).items():
        record[text] = perplexity(model, tokens)
    return record


def table(found: list[records.Record]) -> str:
    lines = [f"{'':33} sparsity    pydoc  Persuasion  read"]
    for record in sorted(found, key=lambda one: one["sparsity"]):
        lines.append(
            f"{record['way']:33} {record['sparsity']:8.0%} {record['pydoc']:8.2f} "
            f"{record['Persuasion']:11.2f} {record['read']:5.0%}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    arguments = parser.parse_args()
    known = {(one["way"], one["sparsity"]) for one in records.read(RESULTS)}
    wanted = [(None, 0.0)] + [(way, level) for level in arguments.levels for way in arguments.ways]
    for way, level in wanted:
        if (way or "dense", level) not in known:
            records.append(RESULTS, measure(way, level))
            print(table(records.read(RESULTS)[-1:]), flush=True)
    print(table(records.read(RESULTS)))


if __name__ == "__main__":
    main()
