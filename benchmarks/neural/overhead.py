"""What a training step with the smooth form costs over a dense one: time and memory.

``python -m benchmarks.neural.overhead``: a 4096-4096-4096 perceptron on one thread. The variants
take turns, step by step, and the fastest step of each counts, in CPU seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gossamer as gs
from gossamer.nn.memory import backward_bytes

DEPTHS = (1, 2, 3, 4)  # 1 is dense
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=1e-4, momentum=0.9, fused=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-4, fused=True),
}


class Variant:
    """A model, dense or factorised, that makes one step at a time."""

    def __init__(self, depth: int, width: int, optimiser: str) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.sparse = None
        groups = [{"params": list(self.model.parameters())}]
        if depth > 1:
            penalty = gs.L1(1e-5) if depth == 2 else gs.Lq(1e-5, q=2 / depth)
            self.sparse = gs.nn.sparsify(self.model, {"*": penalty})
            groups = self.sparse.param_groups()
        self.optimiser = OPTIMISERS[optimiser](groups)
        if self.sparse is not None:
            self.sparse.attach(self.optimiser)

    def step(self, x: Tensor, y: Tensor) -> None:
        self.optimiser.zero_grad()
        self.loss(x, y).backward()
        self.optimiser.step()

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(self.model(x), y)

    def memory(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        """MB that stay (parameters, gradients, the optimiser's state); MB kept for backward."""
        parameters = list(self.model.parameters())
        state = [t for s in self.optimiser.state.values() for t in s.values() if torch.is_tensor(t)]
        stay = parameters + [p.grad for p in parameters if p.grad is not None] + state
        saved = backward_bytes(self.model, lambda: self.loss(x, y))
        return sum(t.nbytes for t in stay) / 1e6, saved / 1e6


def measure(width: int, batch: int, optimiser: str, depths: tuple[int, ...], rounds: int) -> str:
    """A row of the table for each depth."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(batch, width, generator=generator) for _ in range(2))
    variants = {depth: Variant(depth, width, optimiser) for depth in depths}
    fastest = dict.fromkeys(depths, float("inf"))
    for _ in range(rounds):
        for depth, variant in variants.items():
            began = time.process_time()
            variant.step(x, y)
            fastest[depth] = min(fastest[depth], time.process_time() - began)
    lines = []
    for depth, variant in variants.items():
        stay, saved = variant.memory(x, y)
        lines.append(
            f"| {optimiser} | {batch} | {depth if depth > 1 else 'dense'} | "
            f"{1e3 * fastest[depth]:.0f} | {fastest[depth] / fastest[depths[0]]:.2f} | "
            f"{stay:.0f} | {saved:.0f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batch", type=int, nargs="+", default=[512, 128])
    parser.add_argument("--optimisers", nargs="+", default=list(OPTIMISERS), choices=OPTIMISERS)
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| optimiser | batch | depth | ms a step | over dense | MB that stay | MB for backward |")
    print("| --- | --: | --- | --: | --: | --: | --: |")
    for optimiser in options.optimisers:
        for batch in options.batch:
            print(
                measure(options.width, batch, optimiser, tuple(options.depths), options.rounds),
                flush=True,
            )


if __name__ == "__main__":
    main()
