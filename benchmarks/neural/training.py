"""The one training loop: equal steps, batches, schedule of the rate and initial weights."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from benchmarks.neural.baselines import Gradual, OneShot, RigL, Subgradient
from benchmarks.neural.data import Split
from benchmarks.neural.method import Method, Setting, weights_of
from benchmarks.neural.ours import Depth2, Depth3, Depth4, Proximal
from gossamer.nn import LeNet5, LeNet300

METHODS: dict[str, type[Method]] = {
    "depth-2": Depth2, "depth-3": Depth3, "depth-4": Depth4, "gradual": Gradual,
    "one-shot": OneShot, "rigl": RigL, "proximal": Proximal, "subgradient": Subgradient,
}  # fmt: skip
WARM_UP = 0.05


@dataclass(frozen=True)
class Network:
    """What is trained, and for how long."""

    title: str
    build: type[nn.Module]
    epochs: int
    keeps: tuple[float, ...]
    batch: int = 128


KEEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005)
NETWORKS = {
    "lenet-300": Network("LeNet-300-100", LeNet300, 20, KEEPS),
    "lenet-5": Network("LeNet-5", LeNet5, 5, (0.05, 0.01, 0.005)),
}


def initialise(model: nn.Module) -> None:
    """He's initialisation: what ReLUs need to be trained at large rates."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        else:
            nn.init.zeros_(parameter)


def learning_rate(progress: float) -> float:
    """Share of the full rate: a linear warm-up, then half a cosine wave to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Per cent right, and the mean loss."""
    logits = torch.cat([model(part) for part in images.split(500)])
    right = (logits.argmax(1) == labels).float().mean()
    return 100 * float(right), float(F.cross_entropy(logits, labels))


def fit(
    model: nn.Module, way: type[Method], keep: float, epochs: int, batch: int, setting: Setting,
    split: Split,
) -> int:  # fmt: skip
    """Train a model in place; how many steps it took."""
    per_epoch = len(split.images) // batch
    steps = epochs * per_epoch
    method = way(model, keep, steps, setting)
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(len(split.images))
        for group in method.optimiser.param_groups:
            group["lr"] = setting.lr * learning_rate((step + 1) / (steps + 1))
        chosen = order[step % per_epoch * batch :][:batch]
        with parametrize.cached():  # factors are multiplied once
            logits = model(split.images[chosen])
            loss = F.cross_entropy(logits, split.labels[chosen]) + method.penalty()
        method.optimiser.zero_grad()
        loss.backward()
        method.after_backward(step)
        method.optimiser.step()
        method.after_step(step + 1)
    method.finish()
    return steps


def train(
    network: Network, method: str, keep: float, seed: int, setting: Setting, split: Split,
    epochs: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train one sparse network; what it reached on the split's test images."""
    torch.manual_seed(seed)
    model = network.build()
    initialise(model)
    epochs = network.epochs if epochs is None else epochs
    began = time.process_time()
    steps = fit(model, METHODS[method], keep, epochs, network.batch, setting, split)
    cpu = time.process_time() - began
    right, test_loss = accuracy(model, split.test_images, split.test_labels)
    return {
        "accuracy": right, "loss": test_loss, "steps": steps, "cpu": cpu,
        "left": [int((weight != 0).sum()) for weight in weights_of(model)],
        "size": sum(weight.numel() for weight in weights_of(model)),
    }  # fmt: skip
