"""SmolLM2-135M writing on a CPU, dense and sparse: ``python -m benchmarks.language.decode``.

One token after the other with the model's own cache (batch 1, after a prompt of 64 tokens), and a
prompt of 256 tokens read at once: the whole model with its embedding, attention and head. Each
contestant takes turns with the dense model in float32 and in bfloat16, so that what else goes on
meets all three; ratios are medians over the rounds. With one thread the clock is that of its CPU,
which stands still while other programs have the core. Weights are pruned by magnitude, as quality
has no part in this; WINA skips half of the inputs of all projections and leaves the head whole.
The last column compares the 24 tokens that a model writes with those of the same model in dense
float32 layers: rounded values may tell another story, and so may WINA's, whose inputs jump to zero
at a threshold, which the smallest rounding may move them across.

Results are kept, so that an interrupted run goes on where it ended; ``--again "WINA 50 %"``
measures some contestants anew.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import gossamer as gs
from benchmarks import records
from benchmarks.language.models import smollm2
from benchmarks.language.texts import calibration, pydoc
from gossamer.nn.language import tokens_of
from gossamer.nn.memory import parameter_bytes

Clock = Callable[[], float]

RESULTS = Path(__file__).parent / "results" / "decode.jsonl"
LAYERS = "*layers*proj"
PROMPT, PREFILL, ROUNDS, TOKENS, WRITTEN = 64, 256, 12, 8, 24
# Rounding moves the outputs of a model that pruning has damaged far: only speed counts here.
TOLERANCES = {"float32": 1e-3, "bfloat16": 1.0, "int8": 1.0}


@dataclass(frozen=True)
class Contestant:
    """A sparse model: what becomes of the dense one, and the type that weights are stored in."""

    sparse: Callable[[nn.Module, Tensor, str], nn.Module]
    values: str = "float32"

    def made(self, dense: nn.Module, windows: Tensor) -> tuple[nn.Module, nn.Module]:
        """The model in dense layers, and compiled for one token."""
        sparse = self.sparse(dense, windows, self.values)
        token = {"input_ids": windows[:1, :1], "use_cache": True}
        limit = TOLERANCES[self.values]
        fast = gs.compile(sparse, token, values=self.values, tolerance=limit)
        return gs.runtime.to_dense(sparse), fast


def pruned(on: Any, keep: float | None = None) -> Callable[..., nn.Module]:
    def sparse(dense: nn.Module, windows: Tensor, values: str) -> nn.Module:
        model = deepcopy(dense)
        budget = {} if keep is None else {"keep": keep, "allocation": "uniform"}
        gs.nn.prune(model, on={LAYERS: on}, **budget)
        return model

    return sparse


def skipping(dense: nn.Module, windows: Tensor, values: str) -> nn.Module:
    example = {"input_ids": windows, "use_cache": False}
    return gs.runtime.sparsify_activations(
        dense, example, {LAYERS: 0.5}, criterion="wina", precision=values
    )


def kept(dense: nn.Module, windows: Tensor, values: str) -> nn.Module:
    return dense


BLOCKS, UNSTRUCTURED = gs.Blocks((16, 1)), gs.Elements()
CONTESTANTS = {
    "no zeros": Contestant(kept),
    "50 % unstructured": Contestant(pruned(UNSTRUCTURED, 0.5)),
    "70 % unstructured": Contestant(pruned(UNSTRUCTURED, 0.3)),
    "2:4": Contestant(pruned(gs.NofM(2, 4))),
    "16x1 blocks 70 %": Contestant(pruned(BLOCKS, 0.3)),
    "WINA 50 %": Contestant(skipping),
    "no zeros, bfloat16": Contestant(kept, "bfloat16"),
    "50 % unstructured, bfloat16": Contestant(pruned(UNSTRUCTURED, 0.5), "bfloat16"),
    "16x1 blocks 70 %, bfloat16": Contestant(pruned(BLOCKS, 0.3), "bfloat16"),
    "WINA 50 %, bfloat16": Contestant(skipping, "bfloat16"),
    "no zeros, int8": Contestant(kept, "int8"),
    "50 % unstructured, int8": Contestant(pruned(UNSTRUCTURED, 0.5), "int8"),
    "16x1 blocks 70 %, int8": Contestant(pruned(BLOCKS, 0.3), "int8"),
    "WINA 50 %, int8": Contestant(skipping, "int8"),
}


class Writer:
    """A model that writes greedily after a prompt."""

    def __init__(self, model: nn.Module, prompt: Tensor) -> None:
        from transformers import DynamicCache

        self.model, self.cache = model, DynamicCache(config=model.config)
        self.token = self._next(prompt)

    def seconds(self, clock: Clock) -> float:
        """What one more token takes."""
        began = clock()
        self.token = self._next(self.token)
        return clock() - began

    def text(self, count: int) -> list[int]:
        """The next tokens."""
        found = []
        for _ in range(count):
            found.append(int(self.token))
            self.token = self._next(self.token)
        return found

    @torch.no_grad()
    def _next(self, tokens: Tensor) -> Tensor:
        given = {"past_key_values": self.cache, "use_cache": True, "logits_to_keep": 1}
        return self.model(input_ids=tokens, **given).logits[:, -1:].argmax(-1)


@torch.no_grad()
def reading(model: nn.Module, tokens: Tensor, clock: Clock) -> float:
    """Seconds to read a prompt, up to the first token after it."""
    began = clock()
    model(input_ids=tokens, use_cache=True, logits_to_keep=1)
    return clock() - began


def in_turn(models: Sequence[nn.Module], prompt: Tensor, text: Tensor) -> records.Record:
    """Seconds of a token written and read, each a list over rounds of those of all models."""
    clock: Clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    writers = [Writer(model, prompt) for model in models]
    for writer in writers:
        writer.text(3)
    written, read = [], []
    for number in range(ROUNDS):
        written.append([median(writer.seconds(clock) for _ in range(TOKENS)) for writer in writers])
        if number % 3 == 0:
            read.append([reading(model, text, clock) / text.shape[1] for model in models])
    return {"written": written, "read": read[1:]}


def measure(
    name: str, dense: nn.Module, rounded: nn.Module, windows: Tensor, text: Tensor
) -> records.Record:
    """The record of a contestant."""
    began = time.process_time()
    masked, fast = CONTESTANTS[name].made(dense, windows)
    record: records.Record = {"name": name, "compiling": time.process_time() - began}
    prompt = text[:, :PROMPT]
    texts = [Writer(model, prompt).text(WRITTEN) for model in (masked, fast)]
    same = sum(a == b for a, b in zip(*texts, strict=True))
    del masked
    return record | in_turn([dense, rounded, fast], prompt, text) | {
        "same": same,
        "memory": [parameter_bytes(model) for model in (dense, rounded, fast)],
        "disk": on_disk(fast),
        "layouts": sorted({row.layout for row in gs.runtime.report(fast).layers}),
    }  # fmt: skip


def on_disk(model: nn.Module) -> int:
    """Bytes of the model's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        gs.nn.save_model(model, path)
        return path.stat().st_size


def table(results: dict[str, records.Record]) -> str:
    """Tokens a second written and read, with the ratios to the dense models in the same rounds."""
    lines = [
        f"{'':29}{'written':>9}{'x float32':>10}{'x bfloat16':>11}{'read':>8}{'x float32':>10}"
        f"{'x bfloat16':>11}{'memory':>9}{'file':>8}   same tokens"
    ]
    for place, name in enumerate(("dense float32", "dense bfloat16")):
        speeds = [_speeds(record, place) for record in results.values()]
        cells = [median(column) for column in zip(*speeds, strict=True)]
        size = next(iter(results.values()))["memory"][place] / 1e6
        lines.append(_line(name, cells, f"{size:6.0f} MB{size:5.0f} MB"))
    for name, record in results.items():
        sizes = f"{record['memory'][2] / 1e6:6.0f} MB{record['disk'] / 1e6:5.0f} MB"
        same = "yes" if record["same"] == WRITTEN else f"{record['same']} of {WRITTEN}"
        lines.append(_line(name, _speeds(record, 2), f"{sizes}   {same}"))
    return "\n".join(lines)


def _speeds(record: records.Record, place: int) -> list[float]:
    """Of written and of read tokens: as many a second, and the ratios to both dense models."""
    found = []
    for kind in ("written", "read"):
        rounds = record[kind]
        found.append(1 / median(row[place] for row in rounds))
        found += [median(row[other] / row[place] for row in rounds) for other in (0, 1)]
    return found


def _line(name: str, cells: list[float], rest: str) -> str:
    written, to_float32, to_bfloat16, read, *read_ratios = cells
    line = f"{name:29}{written:9.1f}{to_float32:10.2f}{to_bfloat16:11.2f}"
    return f"{line}{read:8.0f}{read_ratios[0]:10.2f}{read_ratios[1]:11.2f}{rest}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), help="contestants")
    parser.add_argument("--again", nargs="*", default=[], help="contestants to measure anew")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    file = RESULTS.with_stem(f"decode-{given.threads}")
    records.forget(file, lambda record: record["name"] in given.again)
    results = {record["name"]: record for record in records.read(file)}
    missing = [name for name in CONTESTANTS if name in given.only and name not in results]
    if missing:
        (dense, tokenizer), (rounded, _) = smollm2(), smollm2(torch.bfloat16)
        windows = calibration(tokenizer, 4, 256, source="docstrings")
        text = tokens_of(tokenizer, pydoc(), PREFILL, 1)
    for name in missing:
        print(name, flush=True)
        results[name] = measure(name, dense, rounded, windows, text)
        records.append(file, results[name])
    print(table({name: results[name] for name in CONTESTANTS if name in results}))


if __name__ == "__main__":
    main()
