"""Who multiplies: this library in two ways, torch, scipy and numpy; engines in other processes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.nn import functional as F

import gossamer as gs
from benchmarks.runtime import turns
from benchmarks.runtime.engines import Engine, Loaded
from benchmarks.runtime.problems import N_OF_M, PATTERNS, Case
from gossamer import runtime

# The layouts that are made for each pattern, with their options: those that suit its zeros.
TALL, MIDDLE, SQUARE = ({"height": h, "width": w} for h, w in ((16, 1), (8, 1), (4, 4)))
LAYOUTS: dict[str, tuple[tuple[type[runtime.Layout], dict[str, int]], ...]] = {
    "unstructured": ((runtime.CSR, {}), (runtime.TiledCSR, {}), (runtime.SlicedRows, {})),
    "fan-in": ((runtime.Condensed, {}), (runtime.CSR, {}), (runtime.SlicedRows, {})),
    # 16 rows are two times 8, which fit more shapes
    "16x1": ((runtime.BlockRows, TALL), (runtime.BlockRows, MIDDLE)),
    "8x1": ((runtime.BlockRows, MIDDLE),),
    "4x4": ((runtime.BlockRows, SQUARE),),
    "n-of-m": ((runtime.PackedNofM, {}), (runtime.CSR, {}), (runtime.SlicedRows, {})),
}
# DeepSparse gains from zeros, in blocks more than elsewhere; it is compared with its own dense.
ENGINE_PATTERNS = {
    "onnxruntime": ("unstructured",),
    "deepsparse": ("dense", "unstructured", "16x1"),
}
DENSE, COMPILED = ("dense", "unstructured"), "compiled"
LARGE = 1 << 23  # weights: to compile them takes seconds, and they are in two patterns only
# Everybody who is not this library, with the title in the tables.
OTHERS = {
    "dense": "torch, dense",
    "bfloat16": "torch, dense bfloat16",
    "numpy": "numpy, dense (OpenBLAS)",
    "onnxruntime": "onnxruntime, dense",
    "torch F.linear": "torch CSR, `F.linear(x, W)`",
    "torch W @ x'": "torch CSR, `(W @ x.T).T`",
    "scipy": "scipy CSR",
    "deepsparse": "DeepSparse",
}


@dataclass
class InProcess:
    """Somebody who multiplies in this process.

    facts : what is recorded beside the times: bytes, what was chosen
    """

    run: Callable[[], Any]
    facts: dict[str, Any] = field(default_factory=dict)

    def turn(self, calls: int) -> tuple[float, float]:
        return turns.turn(self.run, calls)

    def result(self) -> np.ndarray:
        y = self.run()
        return y.float().numpy() if torch.is_tensor(y) else np.asarray(y)


# Who, and with zeros in which pattern.
Name = tuple[str, str]
Entry = tuple[Name, InProcess | Loaded]


def contestants(case: Case) -> Iterator[Entry]:
    """All of this process; torch in float32, which all are compared with, comes first."""
    yield from _dense(case)
    for pattern in PATTERNS:
        weight = case.weight(pattern)
        if weight is not None:
            yield from _bare(case, pattern)
            if weight.size < LARGE or pattern in ENGINE_PATTERNS["deepsparse"]:
                yield from _compiled(case, pattern, weight)
    yield from _peers(case)


def of_engine(engine: Engine, case: Case) -> Iterator[Entry]:
    """The products that an engine takes part with."""
    for pattern in ENGINE_PATTERNS[engine.name]:
        weight = case.weight(pattern)
        assert weight is not None
        yield (engine.name, pattern), engine.load(pattern, weight, case.samples(), case.threads)


def _dense(case: Case) -> Iterator[Entry]:
    x, weight = case.samples(), case.weight("unstructured")
    assert weight is not None
    tensors = torch.from_numpy(x), torch.from_numpy(weight)
    halves = tensors[0].bfloat16(), tensors[1].bfloat16()
    y = np.empty((case.batch, case.rows), np.float32)
    yield DENSE, InProcess(lambda: F.linear(*tensors), {"bytes": weight.nbytes})
    yield ("bfloat16", "unstructured"), InProcess(lambda: F.linear(*halves))
    yield ("numpy", "unstructured"), InProcess(lambda: np.matmul(x, weight.T, out=y))


def _bare(case: Case, pattern: str) -> Iterator[Entry]:
    """Products of layouts alone, into an array that is there."""
    x = case.samples()
    for layout, options in _layouts(replace(case, batch=1, threads=1), pattern):
        name = " ".join([layout.name, *options])
        yield (name, pattern), _product(layout, x, case.threads)


@lru_cache(maxsize=len(PATTERNS))  # the batches of a shape share them
def _layouts(case: Case, pattern: str) -> list[tuple[runtime.Layout, list[str]]]:
    """With their options, as they are shown."""
    weight, found = case.weight(pattern), []
    assert weight is not None
    for kind, options in LAYOUTS[pattern]:
        if kind is runtime.PackedNofM:
            options = dict(zip("nm", N_OF_M[case.sparsity], strict=True))
        with suppress(ValueError):  # it does not take this shape
            found.append((kind.build(weight, **options), list(map(str, options.values()))))
    return found


def _product(layout: runtime.Layout, x: np.ndarray, threads: int) -> InProcess:
    y = np.empty((len(x), layout.rows), np.float32)
    return InProcess(lambda: layout.matmul(x, out=y, threads=threads), {"bytes": layout.nbytes})


def _compiled(case: Case, pattern: str, weight: np.ndarray) -> Iterator[Entry]:
    """What a user has: ``gs.compile`` of a model with this layer, and what it chose."""
    linear = nn.Linear(case.inputs, case.rows, bias=False)
    linear.weight.data = torch.from_numpy(weight)
    x = torch.from_numpy(case.samples())
    model = gs.compile(nn.Sequential(linear).eval(), x)
    yield (COMPILED, pattern), InProcess(lambda: model(x), {"choice": choice(model[0])})


def choice(module: nn.Module) -> str:
    """What a layer has become."""
    return str(getattr(module, "layout_name", type(module).__name__))


def _peers(case: Case) -> Iterator[Entry]:
    """Sparse products of other libraries, with any zeros."""
    x, weight = case.samples(), case.weight("unstructured")
    assert weight is not None
    tensor = torch.from_numpy(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "CSR is in beta state"
        rows = torch.from_numpy(weight).to_sparse_csr()
    matrix = scipy.sparse.csr_matrix(weight)
    yield ("torch F.linear", "unstructured"), InProcess(lambda: F.linear(tensor, rows))
    yield ("torch W @ x'", "unstructured"), InProcess(lambda: (rows @ tensor.T).T)
    yield ("scipy", "unstructured"), InProcess(lambda: (matrix @ x.T).T)
