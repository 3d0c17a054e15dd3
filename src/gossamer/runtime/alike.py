"""Alike: layers of one shape with alike zeros get the layout that was measured for the first."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from gossamer.kernels.machine import caches
from gossamer.nn.memory import parameter_bytes
from gossamer.runtime.candidates import Options, candidates
from gossamer.runtime.candidates.linear import RuntimeLinear
from gossamer.runtime.candidates.norms import RuntimeRMSNorm
from gossamer.runtime.choosing import Choice, choose
from gossamer.runtime.example_calls import Call, deviation
from gossamer.runtime.racing import race
from gossamer.runtime.shortlist import VARIANTS, WASTE, stored

# Shares of zeros and of empty blocks closer than that make no other choice.
_STEP = 0.05
_FULL = 1.25  # so many times the mean are n of n:m zeros at most


class Chooser:
    """What becomes of each layer of one model.

    A model such as a transformer repeats a few layers many times. Building all layouts of each of
    them, to measure which is fastest, would take minutes and find the same each time.

    Parameters
    ----------
    options, tolerance, seconds : as of :func:`gossamer.runtime.choosing.choose`
    size : int
        Bytes of the model. If that is more than the caches hold, its layers read their weights from
        memory at each call, which takes time by their bytes.
    """

    def __init__(self, options: Options, tolerance: float, seconds: float, size: int) -> None:
        self.options, self.tolerance, self.seconds = options, tolerance, seconds
        self.per_byte = seconds_per_byte() if size > caches()[2] else 0.0
        self.chosen: dict[tuple[Any, ...], Choice] = {}

    def __call__(self, name: str, module: nn.Module, call: Call) -> Choice:
        """The choice for one layer that was called so in the example."""
        kind = _kind(module, call)
        choice = self._as_before(name, module, call, self.chosen.get(kind)) if kind else None
        if choice is None:
            limits = self.tolerance, self.seconds, self.per_byte
            choice = choose(name, module, call, self.options, *limits)
            if kind and type(choice.replacement) in (type(None), RuntimeLinear, RuntimeRMSNorm):
                self.chosen[kind] = choice
        return choice

    def _as_before(
        self, name: str, module: nn.Module, call: Call, known: Choice | None
    ) -> Choice | None:
        """The same as for a layer like it, with its times; None where that does not do here."""
        if known is None:
            return None
        size = parameter_bytes(module)
        weight: Any = module.weight
        sparsity = 1 - int(weight.count_nonzero()) / max(weight.numel(), 1)
        common = {"name": name, "sparsity": sparsity, "dense_bytes": size}
        dense_row = replace(known.dense_row, **common, bytes=size)
        if known.replacement is None:
            return replace(known, module=module, row=dense_row, dense_row=dense_row)
        like = getattr(known.replacement, "layout", None)
        options = replace(self.options, like=like)
        with torch.no_grad():
            new = next(candidates(module, call.args, options), None)
            apart = None if new is None else deviation(call.of(new), call.of(module))
        if new is None or apart is None or not apart <= self.tolerance:
            return None
        row = replace(known.row, **common, bytes=parameter_bytes(new))
        return Choice(module, new, row, dense_row, apart, known.gain)


def _kind(module: nn.Module, call: Call) -> tuple[Any, ...] | None:
    """What decides which layout is fastest; None for layers that are measured each by itself."""
    weight = getattr(module, "weight", None)
    if weight is None or call.kwargs or len(call.args) != 1:
        return None
    x = call.args[0]
    shapes = type(module), tuple(weight.shape), tuple(x.shape), call.count
    if weight.ndim == 1:
        return shapes
    if type(module) is not nn.Linear or weight.dtype != torch.float32 or not weight.numel():
        return None
    array = np.ascontiguousarray(weight.detach().numpy())
    nonzeros = np.count_nonzero(array)
    blocks = [stored(array, **variant) for variant in VARIANTS["blocks"]]
    fitting = [count / array.size if count <= WASTE * nonzeros else 0.0 for count in blocks]
    shares = *fitting, nonzeros / array.size, int(x.count_nonzero()) / max(x.numel(), 1)
    rounded = tuple(round(share / _STEP) for share in shares)
    return shapes + rounded + _regularity(array)


def _regularity(weight: np.ndarray) -> tuple[int, ...]:
    """n of each m for which the zeros are n:m, or 0; whether all rows have as many."""
    there = weight != 0
    found = []
    for m in (variant["m"] for variant in VARIANTS["n:m"]):
        whole = there.shape[1] % m == 0
        counts = there.reshape(len(there), -1, m).sum(2) if whole else np.zeros((1, 1))
        most = int(counts.max())
        found.append(most if most <= _FULL * counts.mean() else 0)
    rows = there.sum(1)
    return (*found, int(rows.min() == rows.max()))


@cache
def seconds_per_byte() -> float:
    """What it takes to read from memory, beyond all caches."""
    large = np.ones(caches()[2] // 2, np.float32)
    (shortest,) = race([lambda: large @ large], seconds=0.05)
    return shortest / large.nbytes
