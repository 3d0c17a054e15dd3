"""What published systems say of the speed of their layouts, small: ratios of runs in turn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from time import perf_counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from layout_cases import fan_in, n_of_m

from gossamer.runtime import BlockRows, Condensed, PackedNofM, SlicedRows
from gossamer.runtime.layout import Layout

ROWS, INPUTS = 768, 768

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_gradients(one_thread):
    with torch.no_grad():
        yield


def seconds(runs: dict[str, Callable[[], object]], rounds: int = 100) -> dict[str, float]:
    """The shortest of many runs of each, all in turn."""
    shortest = dict.fromkeys(runs, np.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            begun = perf_counter()
            run()
            shortest[name] = min(shortest[name], perf_counter() - begun)
    return shortest


def kernels(layout: Layout, x: np.ndarray) -> dict[str, Callable[[], object]]:
    """A run of each of a layout's kernels, checked."""
    samples = len(x)
    bias, y = np.zeros(layout.rows, np.float32), np.empty((samples, layout.rows), np.float32)
    bounds = np.float32(-np.inf), np.float32(np.inf)
    found = {}
    for product in layout.products():
        if product.whole and samples % product.step:
            continue
        span = 0, samples, 0, layout.rows

        def run(product=product, span=span):
            product.run(layout, x.reshape(-1), bias, *bounds, y.reshape(-1), *span)

        run()
        np.testing.assert_allclose(y, x @ layout.dense().T, atol=1e-3)
        found[f"{layout.name} {product.name}"] = run
    return found


def faster(weight: np.ndarray, samples: int, layouts: list[Layout]) -> dict[str, float]:
    """How many times as fast as dense each layout, and torch's CSR, is: its fastest kernel."""
    x = np.random.default_rng(1).standard_normal((samples, weight.shape[1]), dtype=np.float32)
    inputs, dense = torch.from_numpy(x), torch.from_numpy(weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is in beta state
        csr = dense.to_sparse_csr()
    runs = {"dense": lambda: F.linear(inputs, dense), "torch": lambda: F.linear(inputs, csr)}
    for layout in layouts:
        runs |= kernels(layout, x)
    found = seconds(runs)
    best: dict[str, float] = {}
    for name, time in found.items():
        kind = name.split()[0]
        best[kind] = max(best.get(kind, 0.0), found["dense"] / time)
    print({kind: round(ratio, 2) for kind, ratio in best.items()})
    return best


def weight_of(mask: np.ndarray) -> np.ndarray:
    values = np.random.default_rng(0).standard_normal(mask.shape)
    return np.where(mask, values, 0).astype(np.float32)


def test_constant_fan_in_beats_dense_and_torch_csr_with_one_sample(rng):
    """SRigL: at 90 % sparsity, 3.6 times as fast as dense and 2 times as unstructured layers."""
    weight = weight_of(fan_in(rng, (ROWS, INPUTS), 0.1))
    ratio = faster(weight, 1, [Condensed.build(weight), SlicedRows.build(weight, window=32)])
    assert ratio["condensed"] > 1.1 * ratio["torch"]
    assert ratio["sliced"] > max(2.5, 2 * ratio["torch"])


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (2, 8)])
@pytest.mark.parametrize("samples", [1, 8, 64])
def test_n_of_m_is_faster_than_dense(rng, n, m, samples):
    """STen: n:m layouts are faster than dense at 50 to 80 % sparsity, grouped ones the most."""
    weight = weight_of(n_of_m(n, m)(rng, (ROWS, INPUTS), 1.0))
    assert faster(weight, samples, [PackedNofM.build(weight, n=n, m=m)])["n:m"] > 1.2
    grouped = weight_of(n_of_m(n, m, group=16)(rng, (ROWS, INPUTS), 1.0))
    assert faster(grouped, samples, [BlockRows.build(grouped)])["blocks"] > 1.5
