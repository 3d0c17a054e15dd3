"""Choosing: what one layer becomes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import nn

from gossamer.nn.memory import parameter_bytes
from gossamer.runtime.candidates import Options, candidates
from gossamer.runtime.compile_report import DENSE, Row
from gossamer.runtime.example_calls import Call, deviation
from gossamer.runtime.layout_module import LayoutModule
from gossamer.runtime.racing import race

CLEARLY = 0.97  # of the layer's time: what is not below has not been shown to be faster
ALLOWANCE = 0.01  # of the model's time, that fewer bytes may cost in one layer


@dataclass(frozen=True, eq=False)
class Choice:
    """A layer, what it should become (None: it stays), and the numbers that say so."""

    module: nn.Module
    replacement: nn.Module | None
    row: Row
    dense_row: Row
    deviation: float
    gain: float


def choose(
    name: str,
    module: nn.Module,
    call: Call,
    options: Options,
    tolerance: float,
    seconds: float,
    per_byte: float = 0.0,
) -> Choice:
    """Measure a layer against what could replace it.

    Parameters
    ----------
    call : what the layer saw in the example
    tolerance : of the outputs
    seconds : that the whole model takes
    per_byte : seconds to add for each byte of a weight
        Runs find it in the cache; a model that does not fit there reads it from memory.
    """
    with torch.no_grad():
        expected = call.of(module)
        found, apart = [], []
        for candidate in candidates(module, call.args, options):
            differs = deviation(call.of(candidate), expected)
            if differs <= tolerance:
                found.append(candidate)
                apart.append(differs)
            elif options.values == "float32":
                remedy = (
                    "allow more by the argument tolerance"
                    if isfinite(differs)
                    else "give example_inputs with which no layer meets NaN or infinity"
                )
                raise ValueError(
                    f"layer {name!r}: its output by {candidate} differs by {differs:.2g} of its "
                    f"largest number, more than the tolerance of {tolerance:.2g}: {remedy}."
                )
    dense, *times = race([partial(call.of, way) for way in (module, *found)])
    weight: Any = module.weight
    size, sizes = parameter_bytes(module), [parameter_bytes(one) for one in found]
    costs = [time + per_byte * one for time, one in zip(times, sizes, strict=True)]
    cost = dense + per_byte * size
    best = _best(cost, costs, sizes, options, call, seconds)
    sparsity = 1 - int(weight.count_nonzero()) / max(weight.numel(), 1)
    common = (name, type(module).__name__, sparsity)
    dense_row = Row(*common, DENSE, dense, dense, size, size)
    if best is None:
        return Choice(module, None, dense_row, dense_row, 0.0, 0.0)
    new = found[best]
    row = Row(*common, layout_of(new), dense, times[best], size, sizes[best])
    return Choice(module, new, row, dense_row, apart[best], (cost - costs[best]) * call.count)


def _best(
    dense: float, times: list[float], sizes: list[int], options: Options, call: Call, whole: float
) -> int | None:
    if options.objective == "latency":
        fast = [place for place, time in enumerate(times) if time < CLEARLY * dense]
        return min(fast, key=times.__getitem__, default=None)
    allowed = dense + allowance(options) * whole / call.count
    fit = [place for place, time in enumerate(times) if time <= allowed]
    return min(fit, key=sizes.__getitem__, default=None)


def allowance(options: Options) -> float:
    """Share of the model's time that a layer may cost more than it did."""
    return 0.0 if options.objective == "latency" else ALLOWANCE


def layout_of(module: nn.Module) -> str:
    """What to call a runtime module's layout."""
    if not isinstance(module, LayoutModule):
        return type(module).__name__
    layout = module.layout
    height, width = layout.block
    block = "" if height == width == 1 else f" {height}x{width}"
    precision = "" if layout.precision in ("float32", layout.name) else f" {layout.precision}"
    return f"{layout.name}{block}{precision}"
