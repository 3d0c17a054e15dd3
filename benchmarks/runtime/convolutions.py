"""Convolutions with sparse weights: ``python -m benchmarks.runtime.convolutions``.

Those of MobileNetV2 with images of 224 x 224 pixels, and 3 x 3 ones of residual networks. torch's
dense convolution runs in both of its memory formats, the faster one counts; sparse ones take the
usual format. All of a convolution take turns; the least time of each counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean, median

import torch
from torch import Tensor, nn

from benchmarks.neural.table import row
from benchmarks.runtime.contestants import InProcess
from benchmarks.runtime.runner import at_work
from benchmarks.runtime.table import head, percent, shown
from benchmarks.runtime.turns import in_turn
from gossamer.runtime import CSR, BlockRows, RuntimeConv2d

SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)
BATCHES = (1, 8)
BLOCKS = {"CSR": (1, 1), "16x1": (16, 1), "8x1": (8, 1), "4x4": (4, 4)}
KINDS = ("1 x 1", "k x k", "depthwise")


@dataclass(frozen=True)
class Case:
    """A convolution of square images; those with one input channel a group are depthwise."""

    inputs: int
    outputs: int
    size: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False

    def __str__(self) -> str:
        window = f"{self.kernel} x {self.kernel}" + (f", stride {self.stride}" * (self.stride > 1))
        channels = f"{self.inputs}" if self.depthwise else f"{self.inputs} to {self.outputs}"
        return f"{window}, {channels} channels, {self.size} x {self.size}"

    @property
    def kind(self) -> str:
        return "depthwise" if self.depthwise else "1 x 1" if self.kernel == 1 else "k x k"

    def images(self, batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(batch)
        return torch.randn(batch, self.inputs, self.size, self.size, generator=generator)

    def dense(self) -> nn.Conv2d:
        sizes = self.inputs, self.outputs, self.kernel, self.stride, self.kernel // 2
        return nn.Conv2d(*sizes, groups=self.inputs if self.depthwise else 1).eval()

    def sparse(self, layout: str, sparsity: float) -> RuntimeConv2d | None:
        """In a layout, or None where its blocks do not fit."""
        conv, (height, width) = self.dense(), BLOCKS[layout]
        rows, columns = len(conv.weight), conv.weight[0].numel()
        if rows % height or columns % width or (self.depthwise and height > 1):
            return None
        kept = torch.rand(rows // height, columns // width) >= sparsity
        mask = torch.kron(kept.float(), torch.ones(height, width))
        conv.weight *= mask.reshape(conv.weight.shape)
        if height == 1:
            return RuntimeConv2d.of(conv, CSR)
        return RuntimeConv2d.of(conv, BlockRows, height=height, width=width)


POINTS = (
    *((32, 16, 112), (16, 96, 112), (96, 24, 56), (24, 144, 56), (144, 24, 56), (144, 32, 28)),
    *((32, 192, 28), (192, 32, 28), (192, 64, 14), (64, 384, 14), (384, 64, 14), (384, 96, 14)),
    *((96, 576, 14), (576, 96, 14), (576, 160, 7), (160, 960, 7), (960, 160, 7), (960, 320, 7)),
    (320, 1280, 7),
)
CASES = (
    *(Case(*sizes) for sizes in POINTS),
    *(Case(*sizes) for sizes in ((3, 32, 224, 3, 2), (16, 16, 32, 3), (32, 64, 16, 3, 2))),
    *(Case(*sizes) for sizes in ((64, 64, 56, 3), (128, 128, 14, 3))),
    *(
        Case(channels, channels, size, 3, stride, depthwise=True)
        for channels, size, stride in ((32, 112, 1), (96, 112, 2), (144, 56, 1), (144, 56, 2),
                                       (192, 28, 1), (384, 14, 1), (576, 14, 2), (960, 7, 1))
    ),
)  # fmt: skip

Speeds = dict[tuple[str, float], float]  # by layout and sparsity: times as fast as dense


def measure(
    case: Case, batch: int, sparsities: Sequence[float], budget: float
) -> tuple[float, Speeds]:
    """Seconds of the faster dense convolution, and how much faster the sparse ones are."""
    torch.manual_seed(0)
    x, dense = case.images(batch), case.dense()
    last = x.to(memory_format=torch.channels_last)
    dense_last = case.dense().to(memory_format=torch.channels_last)
    made = {(name, s): case.sparse(name, s) for name in BLOCKS for s in sparsities}
    sparse = {key: conv for key, conv in made.items() if conv is not None}
    runs = [lambda: dense(x), lambda: dense_last(last)]
    runs += [lambda conv=conv: conv(x) for conv in sparse.values()]
    least = [taken.least for taken in in_turn([InProcess(run) for run in runs], budget)]
    best = min(least[:2])
    return best, {key: best / time for key, time in zip(sparse, least[2:], strict=True)}


def cells(speeds: Speeds, sparsities: Sequence[float]) -> list[str]:
    """For each sparsity, those of all layouts."""
    return [" / ".join(shown(speeds.get((name, s))) or "-" for name in BLOCKS) for s in sparsities]


def break_even(speeds: Speeds, layout: str, sparsities: Sequence[float]) -> float:
    """The least sparsity from which on a layout is faster than dense; 1 where there is none."""
    found = 1.0
    for sparsity in sorted(sparsities, reverse=True):
        if speeds.get((layout, sparsity), 0.0) < 1:
            break
        found = sparsity
    return found


def summary(found: dict[Case, Speeds], sparsities: Sequence[float]) -> str:
    """For each kind and layout: means, the worst at each sparsity, break-even."""
    lines = head(["convolutions", "layout"], [*map(percent, sparsities), "break-even"])
    for kind in KINDS:
        for name in BLOCKS:
            mine = [
                s for case, s in found.items() if case.kind == kind and (name, sparsities[0]) in s
            ]
            if not mine:
                continue
            texts = []
            for sparsity in sparsities:
                speeds = [one[name, sparsity] for one in mine]
                texts.append(f"{shown(geometric_mean(speeds))}, at least {shown(min(speeds))}")
            even = [break_even(one, name, sparsities) for one in mine]
            texts.append(f"{percent(median(even))}, at most {percent(max(even))}")
            lines.append(row([kind, name, *texts]))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--sparsity", type=float, nargs="+", default=SPARSITIES)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=1.0, help="seconds of a case, about")
    options = parser.parse_args(argv)
    with at_work(options.threads):
        for batch in options.batch:
            print(f"\nBatch {batch}: times as fast as dense, {' / '.join(BLOCKS)}.\n")
            print("\n".join(head(["convolution"], ["dense ms", *map(percent, options.sparsity)])))
            found = {}
            for case in CASES:
                if case.kind in options.kinds:
                    seconds, found[case] = measure(case, batch, options.sparsity, options.budget)
                    texts = [f"{1e3 * seconds:.3f}", *cells(found[case], options.sparsity)]
                    print(row([str(case), *texts]), flush=True)
            print(f"\nBatch {batch}, geometric means.\n\n{summary(found, options.sparsity)}")


if __name__ == "__main__":
    main()
