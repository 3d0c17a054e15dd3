"""Whole networks at 90 % sparsity: trained here, or published and then pruned."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gossamer as gs
from benchmarks.neural.data import mnist
from benchmarks.neural.method import Method, Setting
from benchmarks.neural.ours import ByRecipe
from benchmarks.neural.training import accuracy, fit, initialise
from gossamer.nn import LeNet300, ResidualNet

ROOT = Path(__file__).resolve().parents[2]
KEEP = 0.1
PATTERNS = ("unstructured", "16x1")
RATE = 0.02  # what tuning chose for networks like these in benchmarks/neural
WINDOW, STEPS, BATCH = 64, 400, 32  # bytes of a text, of the byte transformer's training


@dataclass(frozen=True)
class Network:
    """A network before and after.

    make : the dense network
    sparse : of the dense network and a pattern of zeros, the sparse one; the first stays as it is
    inputs : example inputs, so many samples
    score : what it reaches, for who reads ``unit``
    """

    title: str
    unit: str
    make: Callable[[], nn.Module]
    sparse: Callable[[nn.Module, str], nn.Module]
    inputs: Callable[[int], Tensor]
    score: Callable[[nn.Module], float]
    batches: tuple[int, ...] = (1, 8, 64)


def structures(model: nn.Module, pattern: str) -> dict[str, gs.Structure]:
    """What is pruned: linear layers and convolutions of many channels, in blocks that fit."""
    return {
        name: block(module.weight.shape[0]) if pattern == "16x1" else gs.Elements()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        or (isinstance(module, nn.Conv2d) and module.groups == 1 and module.in_channels > 3)
    }


def block(rows: int) -> gs.Structure:
    """The tallest block that rows consist of."""
    fitting = [height for height in (16, 8) if rows % height == 0]
    return gs.Blocks((fitting[0], 1)) if fitting else gs.Elements()


# -- images ----------------------------------------------------------------------------------------
def train_images(build: Callable[[], nn.Module], epochs: int, pattern: str | None) -> nn.Module:
    """Dense, or by gradual magnitude pruning in as many steps."""
    torch.manual_seed(0)
    model = build()
    initialise(model)
    start = Method if pattern is None else partial(ByRecipe, on=structures(model, pattern))
    model, _ = fit(model, start, KEEP, epochs, Setting(lr=RATE), mnist())
    return model.eval()


def digits(title: str, build: Callable[[], nn.Module], epochs: int) -> Network:
    """A network for MNIST."""
    return Network(
        title, "test accuracy, %",
        make=lambda: train_images(build, epochs, None),
        sparse=lambda _, pattern: train_images(build, epochs, pattern),
        inputs=lambda batch: mnist().test_images[:batch],
        score=lambda model: accuracy(model, mnist().test_images, mnist().test_labels)[0],
    )  # fmt: skip


# -- texts -----------------------------------------------------------------------------------------
class Block(nn.Module):
    """A transformer's block: causal attention and two linear layers, each after a normalisation."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.act, self.down = nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        packed = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = packed.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(self.act(self.up(self.norm2(x))))


class ByteTransformer(nn.Module):
    """Two blocks over bytes."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(256, width), nn.Embedding(WINDOW, width)
        self.blocks = nn.Sequential(*(Block(width, 4, 4 * width) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256)

    def forward(self, text: Tensor) -> Tensor:
        hidden = self.embed(text) + self.place.weight[: text.shape[1]]
        return self.head(self.norm(self.blocks(hidden)))


@cache
def texts() -> tuple[Tensor, Tensor]:
    """Python's own help, byte by byte; the last tenth is held out."""
    text = "\n\n".join(topics.values()).encode()
    everything = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    cut = len(everything) * 9 // 10
    return everything[:cut], everything[cut:]


def windows(text: Tensor, count: int) -> Tensor:
    """(count, WINDOW + 1) bytes from random places."""
    starts = torch.randint(len(text) - WINDOW - 1, (count,))
    return torch.stack([text[start : start + WINDOW + 1] for start in starts])


def bits(model: nn.Module, seen: Tensor) -> Tensor:
    """Per byte; eight would be a guess."""
    logits = model(seen[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), seen[:, 1:].flatten()) / math.log(2)


def train_bytes(pattern: str | None, steps: int = STEPS) -> nn.Module:
    """Dense, or by gradual magnitude pruning in as many steps."""
    torch.manual_seed(0)
    model = ByteTransformer()
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    pruning = None
    if pattern is not None:
        on = structures(model, pattern)
        pruning = gs.nn.SparseTraining(model, optimiser, "gmp", total_steps=steps, keep=KEEP, on=on)
    for _ in range(steps):
        optimiser.zero_grad()
        bits(model, windows(texts()[0], BATCH)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if pruning is not None:
            pruning.step()
    if pruning is not None:
        pruning.finalise()
    return model.eval()


@torch.no_grad()
def held_out_bits(model: nn.Module) -> float:
    """On texts that were not seen, the same ones each time."""
    torch.manual_seed(1)
    return float(bits(model, windows(texts()[1], 256)))


def held_out(batch: int) -> Tensor:
    torch.manual_seed(2)
    return windows(texts()[1], batch)[:, :-1]


# -- pruned as they are ----------------------------------------------------------------------------
def pruned(model: nn.Module, pattern: str) -> nn.Module:
    """A copy with the smallest weights of every layer at zero; nothing is trained."""
    copy = deepcopy(model)
    gs.nn.prune(copy, keep=KEEP, on=structures(copy, pattern), allocation="uniform")
    return copy.eval()


def large_block() -> nn.Module:
    """Of a transformer as large as BERT's, with random weights."""
    torch.manual_seed(0)
    return Block(768, 12, 3072).eval()


def sentences(batch: int) -> Tensor:
    return torch.randn(batch, 64, 768, generator=torch.Generator().manual_seed(0))


def example(name: str) -> Any:
    """A module of the gallery."""
    if (folder := str(ROOT / "examples")) not in sys.path:
        sys.path.append(folder)
    return import_module(name)


def mobilenet() -> nn.Module:
    """With the published weights."""
    return example("mobilenet_channels").pretrained()


def photographs(batch: int) -> Tensor:
    found = example("photographs")
    return found.centre(found.labelled()[0])[:batch]


@torch.no_grad()
def same_class(model: nn.Module, dense: nn.Module) -> float:
    """Per cent of the photographs that both put into the same class."""
    images = photographs(20)
    return 100 * float((model(images).argmax(1) == dense(images).argmax(1)).float().mean())


NETWORKS = {
    "lenet": digits("LeNet-304-112", partial(LeNet300, hidden=(304, 112)), 10),
    "resnet": digits("A residual network", partial(ResidualNet, channels=(32, 64, 128)), 4),
    "bytes": Network(
        "Byte transformer, 2 x 128", "bits a byte, held out",
        make=lambda: train_bytes(None), sparse=lambda _, pattern: train_bytes(pattern),
        inputs=held_out, score=held_out_bits,
    ),
    "block": Network(
        "Transformer block, 768, 64 tokens", "", large_block, pruned, sentences,
        score=lambda model: math.nan,
    ),
    "mobilenet": Network(
        "MobileNetV2, published weights", "% of 20 photographs in the dense one's class",
        mobilenet, pruned, photographs, score=lambda model: same_class(model, mobilenet()),
        batches=(1, 8),  # twenty photographs are all there are
    ),
}  # fmt: skip
# Classes that the kept networks consist of, beside torch's and this library's.
OWN_CLASSES = (Block, ByteTransformer)
