"""A pruned language model tuned without losing its zeros: ``python -m benchmarks.language.tuning``.

SmolLM2-135M, half of each output's weights pruned by Wanda, is tuned for a few windows of Python's
documentation and novels, and judged on text of neither. Every way runs in a process of its own, on
one thread and in bfloat16; full tuning keeps its weights in single precision, without which small
steps are rounded away. SPP's learning rate is the best of three tried on the training loss; the
others have one each.

Results are kept, so that an interrupted run goes on where it ended; ``--again SPP`` measures that
anew, ``--only dense pruned`` nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import records
from benchmarks.language.models import smollm2, smollm2_folder
from benchmarks.language.texts import calibration, evaluation
from benchmarks.regression.memory import forget_peak, peak
from gossamer.nn.fish_mask_training import fish_mask
from gossamer.nn.language import compress, fine_tune, keep_zeros, perplexity, token_loss
from gossamer.nn.language.likelihood import logits_of
from gossamer.nn.language.tuning.adapter import Adapter
from gossamer.nn.language.tuning.registry import ADAPTERS
from gossamer.nn.pruning.masks import Masks

RESULTS = Path(__file__).parent / "results" / "tuning.jsonl"
LAYERS = "model.layers.*"
WINDOWS, LENGTH = 48, 256  # of training: one a step
PRUNED = "smollm2-wanda-50"
LIKE_SPP = 0.019  # share of all entries that SPP trains


@dataclass
class Start:
    """A model ready to train.

    Attributes
    ----------
    trained, adapter, hold : for ``fine_tune``
    finish : gives the model with the change in its weights
    """

    trained: nn.Module
    finish: Callable[[], nn.Module]
    adapter: Adapter | None = None
    hold: Any = None


@dataclass(frozen=True)
class Way:
    """A way of tuning: its learning rate, and how it starts from a model, masks and windows."""

    lr: float
    start: Callable[[nn.Module, Masks, Tensor], Start]


def adapter(name: str, lr: float, **settings: Any) -> Way:
    """A way of ``ADAPTERS`` with its settings."""

    def start(model: nn.Module, masks: Masks, windows: Tensor) -> Start:
        made = ADAPTERS[name](model, **settings)
        return Start(model, made.merge, made)

    return Way(lr, start)


def _lora(model: nn.Module) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = [name for name, module in model.named_modules() if _is_tuned(name, module)]
    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=targets))


def _is_tuned(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and name.startswith("model.layers.")


def _masked_lora(model: nn.Module, masks: Masks, windows: Tensor) -> Start:
    tuned = _lora(model)
    keep_zeros(tuned)
    return Start(tuned, tuned.merge_and_unload)


def _cut_lora(model: nn.Module, masks: Masks, windows: Tensor) -> Start:
    """peft alone, and the zeros put back after its merge."""
    tuned = _lora(model)

    def finish() -> nn.Module:
        merged: nn.Module = tuned.merge_and_unload()
        masks.apply_()
        return merged

    return Start(tuned, finish)


def _full(model: nn.Module, masks: Masks, windows: Tensor) -> Start:
    model.float().requires_grad_(False)
    for parameter in masks.masks:
        parameter.requires_grad_(True)
    return Start(model, model.bfloat16, hold=masks)


def _fisher(model: nn.Module, masks: Masks, windows: Tensor) -> Start:
    start = _full(model, masks, windows)
    pairs = [(window, window) for window in windows.split(1)]
    with torch.autocast("cpu", torch.bfloat16):
        start.hold = fish_mask(
            model, pairs, keep=LIKE_SPP, within=masks, loss=token_loss, samples=16
        )
    return start


WAYS = {
    "SPP": adapter("SPP", 0.02, on=LAYERS),
    "LoRA masked by keep_zeros": Way(2e-3, _masked_lora),
    "full, masked": Way(1e-4, _full),
    "Fisher mask": Way(5e-4, _fisher),
    "LoRA, zeros put back": Way(2e-3, _cut_lora),
}
ROWS = ("dense", "pruned", *WAYS)


def loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """In bfloat16, whatever the weights are kept in."""
    with torch.autocast("cpu", torch.bfloat16):
        return token_loss(logits_of(model, tokens), tokens)


def measure(name: str, windows: Tensor, judged: dict[str, Tensor]) -> records.Record:
    """The record of a way, or of a model that is not tuned: "dense" and "pruned"."""
    torch.set_num_threads(1)
    model = load("dense" if name == "dense" else "pruned")
    record: records.Record = {"way": name}
    if name in WAYS:
        record |= tune(WAYS[name], model, windows)
    return record | {text: perplexity(model, tokens) for text, tokens in judged.items()}


def tune(way: Way, model: nn.Module, windows: Tensor) -> records.Record:
    """Train the model in place."""
    masks = Masks(model, {m.weight: m.weight.detach() != 0 for m in tuned_layers(model)})
    before = forget_peak()
    start = way.start(model, masks, windows)
    tuned = fine_tune(
        start.trained,
        windows.split(1),
        start.adapter,
        steps=len(windows),
        lr=way.lr,
        hold=start.hold,
        loss=loss,
        progress=lambda log: print(f"\r  step {len(log.losses)}", end="", flush=True),
    )
    taken = peak() - before
    start.finish()
    print(f"\r  {tuned}", flush=True)
    dead = sum(int((~mask).sum()) for mask in masks.masks.values())
    filled = sum(int((p[~mask] != 0).sum()) for p, mask in masks.masks.items())
    return {
        "trained": trained_entries(start, tuned.trained),
        "bytes": taken,
        "seconds": tuned.seconds_per_step,
        "loss": sum(tuned.losses[-16:]) / 16,
        "zeros": 1 - filled / dead,
    }


def trained_entries(start: Start, given: int) -> int:
    """Of those given to the optimiser, the ones that may move."""
    if start.hold is None:
        return given
    return sum(int(mask.sum()) for mask in start.hold.masks.values())


def tuned_layers(model: nn.Module) -> list[Any]:
    return [module for name, module in model.named_modules() if _is_tuned(name, module)]


def load(kind: str) -> nn.Module:
    """The dense or the pruned model, in bfloat16 and in memory of its own."""
    from transformers import AutoModelForCausalLM

    folder = smollm2_folder() if kind == "dense" else pruned_folder()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()  # not of the mapped file
    return model


def pruned_folder() -> Path:
    """The pruned model's directory, made at the first call."""
    folder = smollm2_folder().parent / PRUNED
    if not folder.is_dir():
        model, tokenizer = smollm2(torch.bfloat16)
        compress(model, calibration(tokenizer, 32, LENGTH), "wanda", keep=0.5)
        model.save_pretrained(folder)
    return folder


def table(results: dict[str, records.Record]) -> str:
    """Perplexities with the share of the loss that is won back, and what that took."""
    dense, pruned = results["dense"], results["pruned"]
    texts = [key for key in dense if key != "way"]
    lines = [f"{'':28}" + "".join(f"{text:>19}" for text in texts) + "    zeros    trained"
             "    memory   s/step"]  # fmt: skip
    for name, record in results.items():
        line = f"{name:28}"
        for text in texts:
            won = (pruned[text] - record[text]) / (pruned[text] - dense[text])
            line += f"{record[text]:10.2f} {f'({won:.0%})' if name in WAYS else '':>8}"
        if name in WAYS:
            line += f"{record['zeros']:9.2%} {record['trained'] / 1e6:8.2f} M"
            line += f"{record['bytes'] / 1e6:7.0f} MB {record['seconds']:8.2f}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--again", nargs="*", default=[], choices=ROWS, help="ways to measure anew")
    parser.add_argument("--only", nargs="*", default=ROWS, choices=ROWS, help="ways to measure")
    asked = parser.parse_args()
    records.forget(RESULTS, lambda record: record["way"] in asked.again)
    results = {record["way"]: record for record in records.read(RESULTS)}
    missing = [name for name in asked.only if name not in results]
    if missing:
        _, tokenizer = smollm2(torch.bfloat16)
        windows, judged = calibration(tokenizer, WINDOWS, LENGTH, seed=1), evaluation(tokenizer)
        pruned_folder()
    for name in missing:
        print(name, flush=True)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            results[name] = pool.submit(measure, name, windows, judged).result()
        records.append(RESULTS, results[name])
    if {"dense", "pruned"} <= set(results):
        print(table({name: results[name] for name in ROWS if name in results}))


if __name__ == "__main__":
    main()
