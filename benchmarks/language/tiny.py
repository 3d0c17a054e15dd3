"""A tiny Llama of bytes, trained from nothing on real text in two minutes of one core.

Small enough to be trained many times over: what published methods of tuning claim for large models
is looked at here with equal steps, equal batches and a learning rate chosen for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.language.texts import docstrings, novel
from gossamer.nn.language import fine_tune
from gossamer.nn.language.tuning.training import Tuned, next_token_loss
from gossamer.runtime.calibration import cache_home

LENGTH, ROWS, STEPS, LR = 128, 16, 400, 3e-3


def tiny_llama(hidden: int = 128, blocks: int = 4, seed: int = 0) -> nn.Module:
    """A Llama of bytes with random weights, 0.8 million of them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=256,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=blocks,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def prose(kind: str) -> tuple[Tensor, Tensor]:
    """Bytes to train on and to judge by: "docstrings", or "novels" of which one is held out."""
    if kind == "docstrings":
        text = _bytes(docstrings())
        return text[: int(0.95 * len(text))], text[int(0.95 * len(text)) :]
    return _bytes(novel("emma") + novel("prideprejudice")), _bytes(novel("persuasion"))


def batches(
    text: Tensor, rows: int = ROWS, length: int = LENGTH, seed: int = 0
) -> Iterator[Tensor]:
    """(16, length) windows at random places, without end."""
    draws = torch.Generator().manual_seed(seed)
    while True:
        starts = torch.randint(len(text) - length, (ROWS, 1), generator=draws)
        yield text[starts + torch.arange(length)]


@torch.no_grad()
def judged(model: nn.Module, text: Tensor, windows: int = 64) -> float:
    """The mean cross-entropy of a byte, in nats, on windows spread over a text."""
    model.eval()
    starts = torch.linspace(0, len(text) - LENGTH, windows).long()[:, None]
    rows = text[starts + torch.arange(LENGTH)]
    return sum(next_token_loss(model, part).item() for part in rows.split(16)) / (windows // 16)


def pretrained() -> nn.Module:
    """The tiny model after 400 steps on docstrings; kept in the user's cache folder."""
    model, file = tiny_llama(), cache_home() / "tiny_llama.safetensors"
    from safetensors.torch import load_model, save_model

    if not file.exists():
        pretrain(model)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_model(model, str(file))
    load_model(model, str(file))
    return model


def pretrain(model: nn.Module, adapter: Any = None, steps: int = STEPS) -> Tuned:
    """Train a tiny model on docstrings."""
    text, _ = prose("docstrings")
    return fine_tune(model, batches(text), adapter, steps=steps, lr=LR)


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(text, "utf-8"), dtype=torch.uint8).long()
