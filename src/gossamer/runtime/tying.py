"""Tying: layers that share a weight share the arrays of its layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from gossamer.nn.memory import parameter_bytes
from gossamer.runtime.candidates.embedding import RuntimeEmbedding
from gossamer.runtime.choosing import ALLOWANCE, Choice, layout_of
from gossamer.runtime.example_calls import Call, deviation
from gossamer.runtime.layout_module import LayoutModule
from gossamer.runtime.racing import race


def tied(
    choices: list[Choice], calls: Mapping[nn.Module, Call], tolerance: float, seconds: float
) -> list[Choice]:
    """The choices, with one copy of the arrays where layers that shared a weight got one layout.

    An embedding takes its rows out of the layout that a linear layer got for the same weight, as
    language models have them: or else there would be two copies of the largest weight of all.

    Parameters
    ----------
    calls : what the layers saw in the example
    tolerance, seconds : as of :func:`gossamer.runtime.choosing.choose`
    """
    _share_equal(choices)
    made = {
        id(choice.module.weight): choice.replacement
        for choice in choices
        if type(choice.module) is nn.Linear and isinstance(choice.replacement, LayoutModule)
    }
    for place, choice in enumerate(choices):
        source = made.get(id(choice.module.weight))
        if source is not None and _takes_rows(choice.module, source):
            call = calls[choice.module]
            choices[place] = _from_layout(choice, source, call, tolerance, seconds)
    return choices


def _share_equal(choices: list[Choice]) -> None:
    first: dict[tuple[Any, ...], LayoutModule] = {}
    for choice in choices:
        new = choice.replacement
        if isinstance(new, LayoutModule):
            numbers = tuple(sorted(new.layout_numbers.items()))
            same = first.setdefault((id(choice.module.weight), new.layout_name, numbers), new)
            if same is not new:
                _share(same, new)


def _share(source: LayoutModule, new: LayoutModule) -> None:
    for name in source.layout_arrays:
        setattr(new, name, getattr(source, name))
    new.forget_views()


def _takes_rows(module: nn.Module, source: LayoutModule) -> bool:
    # an embedding with max_norm changes its weight at each call
    plain = type(module) is nn.Embedding and module.max_norm is None
    return plain and source.layout.rows_fast


def _from_layout(
    choice: Choice, source: LayoutModule, call: Call, tolerance: float, seconds: float
) -> Choice:
    """The choice of an embedding that reads from a layout, unless that costs too much."""
    new = RuntimeEmbedding(source.layout, threads=source.threads)
    _share(source, new)
    with torch.no_grad():
        apart = deviation(call.of(new), call.of(choice.module))
    before, now = race([partial(call.of, choice.module), partial(call.of, new)])
    lost = (now - before) * call.count
    if apart > tolerance or lost > ALLOWANCE * seconds:
        return choice
    row = replace(choice.row, layout=layout_of(new), dense_seconds=before, seconds=now)
    row = replace(row, bytes=parameter_bytes(new))
    return replace(choice, replacement=new, row=row, deviation=apart, gain=-lost)
