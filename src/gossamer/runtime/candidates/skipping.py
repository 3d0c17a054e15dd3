"""Linear layers whose inputs are zero in part: after a ReLU, or because they were made so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import nn

from gossamer.runtime.candidates import Options, candidates_for
from gossamer.runtime.input_scores import TopInputs
from gossamer.runtime.skipping_linear import CutInputs, SkippingLinear
from gossamer.runtime.turning import Turning

__all__ = ["CutInputs", "SkippingLinear", "TopInputs", "Turning", "skipping"]

_LEAST_ZEROS = 0.3  # fewer may be there by chance, in one example


@candidates_for(nn.Linear)
def skipping(module: nn.Linear, inputs: tuple[Any, ...], options: Options) -> Iterator[nn.Module]:
    """The module that skips zeros, if the example's inputs have some, but are not a blank."""
    if options.like is not None:
        return
    x = inputs[0]
    dense = module.weight.dtype == torch.float32 and module.weight.device.type == "cpu"
    if dense and x.numel() and _LEAST_ZEROS <= 1 - int(x.count_nonzero()) / x.numel() < 1:
        for precision in options.precisions:
            with suppress(ValueError):  # NaN and infinity are no int8
                yield SkippingLinear.of(module, precision=precision, threads=options.threads)
