"""Whole filters of LeNet-5 removed by the group form, and what the smaller network gains.

``python -m benchmarks.neural.channels``: L1 on Channels (the group lasso) by its smooth form on the
convolutions; afterwards ``gs.nn.shrink`` makes the network physically smaller.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor, nn

import gossamer as gs
from benchmarks.neural.data import Split, mnist
from benchmarks.neural.method import Method, Setting
from benchmarks.neural.training import accuracy, fit, initialise
from gossamer.nn import LeNet5
from gossamer.nn.controller import Target

LAYERS = ("conv1", "conv2")


class Channels(Method):
    """The factors of filters, brought within a budget of the convolutions' weights."""

    title = "smooth form on channels"

    def prepare(self) -> torch.optim.Optimizer:
        penalty = gs.L1(self.setting.strength, on=gs.Channels())
        rules = dict.fromkeys(LAYERS, penalty)
        self.sparse = gs.nn.sparsify(
            self.model, rules, total_steps=self.steps, keep=Target(self.keep)
        )
        return self.sparse.attach(self.setting.make(self.sparse.param_groups(lr=self.setting.lr)))

    def finish(self) -> None:
        self.sparse.finalise()


def trained(
    way: type[Method], keep: float, epochs: int, setting: Setting, split: Split
) -> nn.Module:
    """LeNet-5 after training in this way."""
    torch.manual_seed(0)
    model = LeNet5()
    initialise(model)
    fit(model, way, keep, epochs, 128, setting, split)
    return model.eval()


@torch.no_grad()
def seconds(models: list[nn.Module], images: Tensor, rounds: int = 20) -> list[float]:
    """The fastest forward pass of each, in CPU seconds; they take turns."""
    fastest = [float("inf")] * len(models)
    for _ in range(rounds):
        for number, model in enumerate(models):
            began = time.process_time()
            model(images)
            fastest[number] = min(fastest[number], time.process_time() - began)
    return fastest


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=float, nargs="+", default=[0.5, 0.25, 0.1])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--strength", type=float, default=1e-3)
    parser.add_argument("--lr", type=float, default=3e-3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    split = mnist()
    setting = Setting(lr=options.lr, decay=0.0, strength=options.strength)
    dense = trained(Method, 1.0, options.epochs, setting, split)
    right, _ = accuracy(dense, split.test_images, split.test_labels)
    print("| keep | filters of " + ", ".join(LAYERS) + " | parameters | MACs | accuracy, % |"
          " difference of outputs | faster at batch 1 | at batch 256 |")  # fmt: skip
    print("| --: | --- | --: | --: | --: | --: | --: | --: |")
    total = sum(p.numel() for p in dense.parameters())
    print(f"| dense | 20, 50 | {total:,} | | {right:.2f} | | 1 | 1 |", flush=True)
    for keep in options.keep:
        model = trained(Channels, keep, options.epochs, setting, split)
        small = gs.nn.shrink(model, split.images[:2])
        right, _ = accuracy(small, split.test_images, split.test_labels)
        with torch.no_grad():
            images = split.test_images
            difference = float((model(images) - small(images)).abs().max())
        gains = []
        for batch in (1, 256):
            slow, fast = seconds([dense, small], split.test_images[:batch])
            gains.append(f"{slow / fast:.2f}x")
        left = ", ".join(str(small.get_submodule(name).weight.shape[0]) for name in LAYERS)
        macs, size = small.shrinkage.macs, sum(p.numel() for p in small.parameters())
        print(
            f"| {keep:g} | {left} | {size:,} | {macs[1] / macs[0]:.1%} | {right:.2f} "
            f"| {difference:.1e} | {gains[0]} | {gains[1]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
