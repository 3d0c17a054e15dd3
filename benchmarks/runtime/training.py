"""Training steps of a sparse perceptron: ``python -m benchmarks.runtime.training``.

784-width-width-10 with ReLU and random zeros in the first two layers, one thread. Dense, torch's
own sparse weights, SparseProp (where the package ``sparseprop`` is installed) and ``SparseLinear``
take turns of some steps; the least time of each counts. With ``--wide``, layers whose dense weight
would not fit into memory: time, and the memory that making and training them takes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from operator import sub

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.runtime import SparseLinear

INPUTS, OUTPUTS = 784, 10
BLOCK = (16, 1)
TURN = 3  # steps in a row: the caches hold one's own
WIDE = ((1_000_000, 1024), (1024, 1_000_000))  # in_features, out_features
OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, fused=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-4, fused=True),
}


class TorchSparse(nn.Module):
    """A linear layer with torch's CSR: it differentiates values @ x', into a gradient in CSR."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().to_sparse_csr())
        self.bias = nn.Parameter(linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight @ x.T).T + self.bias


def perceptron(width: int, sparsity: float, height: int = 1) -> nn.Sequential:
    """Dense, with zeros in the first two layers: single ones or columns of blocks."""
    torch.manual_seed(0)
    layers = nn.Linear(INPUTS, width), nn.Linear(width, width), nn.Linear(width, OUTPUTS)
    with torch.no_grad():
        for layer in layers[:2]:
            kept = torch.rand(width // height, layer.in_features) >= sparsity
            layer.weight *= kept.repeat_interleave(height, 0)
    return nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def replaced(model: nn.Sequential, make: Callable[[nn.Linear], nn.Module]) -> nn.Sequential:
    """The model with other modules as its first two layers."""
    sparse = [make(model[0]), nn.ReLU(), make(model[2]), nn.ReLU()]
    last = nn.Linear(model[4].in_features, model[4].out_features)
    last.load_state_dict(model[4].state_dict())
    return nn.Sequential(*sparse, last)


def contestants(width: int, sparsity: float) -> Iterator[tuple[str, nn.Module]]:
    """The same network in several ways; blocks have zeros of their own. Dense comes first."""
    dense = perceptron(width, sparsity)
    yield "dense", dense
    yield "torch CSR", replaced(dense, TorchSparse)
    try:
        from sparseprop.modules import SparseLinear as SparsePropLinear
    except ImportError:
        pass
    else:
        yield "SparseProp", replaced(dense, SparsePropLinear.from_dense)
    yield "SparseLinear", replaced(dense, SparseLinear.from_linear)
    yield (
        f"SparseLinear {BLOCK[0]}x{BLOCK[1]}",
        replaced(
            perceptron(width, sparsity, BLOCK[0]),
            lambda layer: SparseLinear.from_linear(layer, layout="blocks", block=BLOCK),
        ),
    )


class Trained:
    """A model with its optimiser: one step, in parts that are timed.

    least : seconds of the forward pass, the backward pass, and the optimiser
    refusal : what the optimiser says, where it does not take the model's parameters
    """

    def __init__(self, model: nn.Module, optimiser: str) -> None:
        self.model = model
        self.optimiser = OPTIMISERS[optimiser](model.parameters())
        self.least, self.refusal = [float("inf")] * 3, ""

    def step(self, x: Tensor, y: Tensor) -> None:
        self.model.zero_grad()
        times = [time.perf_counter()]
        loss = F.cross_entropy(self.model(x), y)
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        if not self.refusal:
            try:
                self.optimiser.step()
            except (RuntimeError, NotImplementedError) as error:
                self.refusal = str(error).partition(" with ")[0]
        times.append(time.perf_counter())
        self.least = [
            min(a, b) for a, b in zip(self.least, map(sub, times[1:], times), strict=True)
        ]

    def cells(self, dense: Trained) -> list[str]:
        """Milliseconds, and how much faster than dense: both passes, and the step."""
        cells = [f"{1e3 * seconds:.2f}" for seconds in self.least]
        cells.append(f"{sum(dense.least[:2]) / sum(self.least[:2]):.1f}")
        cells.append(f"{sum(dense.least) / sum(self.least):.1f}")
        return [*cells[:2], self.refusal, cells[3], ""] if self.refusal else cells


def measure(width: int, batch: int, sparsity: float, optimiser: str, rounds: int) -> Iterator[str]:
    """A row of the table for each contestant."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, INPUTS, generator=generator)
    y = torch.randint(OUTPUTS, (batch,), generator=generator)
    ready = {name: Trained(model, optimiser) for name, model in contestants(width, sparsity)}
    for _ in range(rounds):
        for one in ready.values():
            for _ in range(TURN):
                one.step(x, y)
    for name, one in ready.items():
        cells = [f"{100 * sparsity:g} %", str(batch), optimiser, name, *one.cells(ready["dense"])]
        yield "| " + " | ".join(cells) + " |"


def wide(in_features: int, out_features: int, batch: int, keep: float) -> str:
    """Time and memory of a layer that has no dense weight, in this process: one row."""
    SparseLinear(8, 8, keep=1.0)(torch.zeros(batch, 8)).sum().backward()  # what all layers need
    before = peak()
    began = time.perf_counter()
    layer = SparseLinear(in_features, out_features, keep=keep, seed=0)
    made = time.perf_counter() - began
    optimiser = torch.optim.Adam(layer.parameters(), fused=True)
    memory = [peak() - before]
    x = torch.randn(batch, in_features)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        optimiser.zero_grad()
        layer(x).square().mean().backward()
        optimiser.step()
        seconds.append(time.perf_counter() - began)
    memory.append(peak() - before)
    dense = 4e-6 * in_features * out_features
    return (
        f"| {in_features} to {out_features} | {100 * (1 - keep):g} % | {batch} | {made:.2f} | "
        f"{memory[0]:.0f} | {1e3 * min(seconds):.1f} | {memory[1]:.0f} | {4 * dense:.0f} |"
    )


def peak() -> float:
    """Most MB that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--sparsity", type=float, nargs="+", default=[0.9, 0.95, 0.99])
    parser.add_argument("--optimisers", nargs="+", default=list(OPTIMISERS), choices=OPTIMISERS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--wide", action="store_true", help="only layers without a dense weight")
    parser.add_argument("--wide-case", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
    if options.wide_case is not None:
        print(wide(*WIDE[options.wide_case], batch=8, keep=0.001))
    elif options.wide:
        print("| layer | sparsity | batch | s to make | MB | ms a step, Adam | MB | MB if dense |")
        print("| --- | --: | --: | --: | --: | --: | --: | --: |", flush=True)
        for case in range(len(WIDE)):  # each in a process of its own, whose peak is its own
            command = [sys.executable, "-m", "benchmarks.runtime.training", "--wide-case"]
            subprocess.run([*command, str(case), "--threads", str(options.threads)], check=True)
    else:
        print("| sparsity | batch | optimiser | who | forward ms | backward | update | "
              "speed-up of both passes | of the step |")  # fmt: skip
        print("| --: | --: | --- | --- | --: | --: | --: | --: | --: |", flush=True)
        for batch in options.batch:
            for sparsity in options.sparsity:
                for optimiser in options.optimisers:
                    rows = measure(options.width, batch, sparsity, optimiser, options.rounds)
                    print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()
