"""Products of dense weights, by the libraries of others: NumPy's BLAS, and torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from gossamer.runtime.product import Product, reads
from gossamer.solvers.threads import one_blas_thread

Multiply = Callable[[Any, np.ndarray, int, int], np.ndarray]
# Libraries have different kernels for one sample, few and many, of different speed.
STEPS = 1, 8, 64


def dense_products(name: str, multiply: Multiply, threaded: bool = False) -> tuple[Product, ...]:
    """Products for single samples, for few and for many: one function, measured apart.

    Parameters
    ----------
    name : str
    multiply : (layout, x, top, bottom) -> y
        The product of x (samples, inputs) with rows [top, bottom).
    threaded : bool
        Whether it uses several threads itself.
    """

    def run(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        if not layout.rows:
            return
        count = y.size // layout.rows
        samples = x.reshape(count, layout.inputs)[first:last]
        out = y.reshape(count, layout.rows)[first:last, top:bottom]
        np.add(multiply(layout, samples, top, bottom), bias[top:bottom], out=out)
        if low > -np.inf or high < np.inf:
            np.clip(out, low, high, out=out)

    def one_by_one(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        for sample in range(first, last):
            run(layout, x, bias, low, high, y, sample, sample + 1, top, bottom)

    def product(step: int, whole: bool) -> Product:
        def work(layout: Any, steps: int) -> Mapping[str, float]:
            weights, samples = layout.values.size, steps * step
            calls = samples if whole else 1
            lines = reads("line", calls * layout.values.nbytes / 64, layout.values.nbytes)
            moved = (layout.inputs + layout.rows) * samples
            vectors = weights * samples / 16
            return {"call": calls, "fused": vectors, "moved": moved, **lines}

        called = one_by_one if whole else run
        return Product(f"{name} x{step}", step, called, work, whole=whole, threaded=threaded)

    return tuple(product(step, whole=step == 1) for step in STEPS)


@cache
def blas_products() -> tuple[Product, ...]:
    """By NumPy, for ``values`` (rows, inputs) of float32."""
    return dense_products("blas", _by_numpy)


def _by_numpy(layout: Any, x: np.ndarray, top: int, bottom: int) -> np.ndarray:
    with one_blas_thread:  # threads share parts of the product instead
        return x @ layout.values[top:bottom].T


@cache
def torch_products() -> tuple[Product, ...]:
    """By torch, for ``values`` (rows, inputs) of float32, or of uint16 that are bfloat16."""
    return dense_products("torch", _by_torch, threaded=True)


def _by_torch(layout: Any, x: np.ndarray, top: int, bottom: int) -> np.ndarray:
    import torch

    values = layout.values[top:bottom]
    weight, samples = torch.from_numpy(values), torch.from_numpy(x)
    if values.dtype == np.uint16:
        weight, samples = weight.view(torch.bfloat16), samples.bfloat16()
    with torch.no_grad():
        y: np.ndarray = torch.nn.functional.linear(samples, weight).float().numpy()
    return y
