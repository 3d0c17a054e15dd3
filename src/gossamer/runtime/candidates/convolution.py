"""Convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from gossamer.runtime.candidates import Options, candidates_for
from gossamer.runtime.convolution import RuntimeConv1d, RuntimeConv2d
from gossamer.runtime.layouts import CSR, BlockRows

__all__ = ["RuntimeConv1d", "RuntimeConv2d", "convolution"]

BLOCKS = ((16, 1), (8, 1), (4, 4), (4, 1))
DENSEST = 0.75  # share of non-zero weights above which single values have never won
WASTE = 2  # blocks hold at most so many times the values that are not zero


@candidates_for(nn.Conv2d, nn.Conv1d)
def convolution(
    module: nn.Conv2d | nn.Conv1d, inputs: tuple[Any, ...], options: Options
) -> Iterator[nn.Module]:
    """The module value by value, and in blocks where its zeros lie in blocks."""
    weight = module.weight
    if weight.dtype != torch.float32 or weight.device.type != "cpu":
        return
    nonzeros = int(weight.count_nonzero())
    kind = RuntimeConv1d if isinstance(module, nn.Conv1d) else RuntimeConv2d
    if nonzeros <= DENSEST * weight.numel():
        yield kind.of(module, CSR, threads=options.threads)
    for height, width in BLOCKS:
        if module.out_channels % height == 0 and module.groups == 1:
            with suppress(ValueError):  # the width does not fit
                made = kind.of(
                    module, BlockRows, threads=options.threads, height=height, width=width
                )
                if made.layout.arrays()["values"].size <= WASTE * nonzeros:
                    yield made
