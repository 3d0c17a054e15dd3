"""Convolutions that were trained with masked positions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from gossamer.nn.position_masks import MaskedConv2d
from gossamer.runtime.candidates import Options, candidates_for
from gossamer.runtime.spot_convolution import SpotConv2d


@candidates_for(MaskedConv2d)
def positions(
    module: MaskedConv2d, inputs: tuple[Any, ...], options: Options
) -> Iterator[nn.Module]:
    """The module that computes what is not masked."""
    if module.groups == 1 and module.padding_mode == "zeros" and module.weight.device.type == "cpu":
        yield SpotConv2d.of(module)
