"""The laws of every layout: one product, whichever kernel computes it."""

from __future__ import annotations

import numpy as np
import pytest
from layout_cases import CASES, Case

from gossamer.runtime import Bounds
from gossamer.runtime.layout import Layout
from gossamer.runtime.threads import cut

SAMPLES = (0, 1, 2, 3, 5, 8, 17, 64, 100)
SHAPES = ((1, 1), (5, 70), (33, 47), (96, 64), (250, 333))
RELU6 = Bounds(0.0, 6.0)

pytestmark = pytest.mark.parametrize("case", CASES, ids=str)


def reference(
    weight: np.ndarray, x: np.ndarray, bias: np.ndarray, bounds: Bounds
) -> tuple[np.ndarray, np.ndarray]:
    """The product in float64, and the sum of the absolute values of its terms."""
    weight, x, bias = (a.astype(np.float64) for a in (weight, x, bias))
    return (x @ weight.T + bias).clip(bounds.low, bounds.high), abs(x) @ abs(weight.T) + abs(bias)


def assert_product(
    case: Case, got: np.ndarray, weight: np.ndarray, x: np.ndarray, bias: np.ndarray, bounds: Bounds
) -> None:
    expected, size = reference(weight, x, bias, bounds)
    assert got.dtype == np.float32
    np.testing.assert_array_less(abs(got - expected), case.tolerance * size + 1e-30)


def problem(
    case: Case, rng: np.random.Generator, shape: tuple[int, int], samples: int, keep: float = 0.3
) -> tuple[Layout, np.ndarray, np.ndarray]:
    layout = case.build(case.weight(rng, *shape, keep))
    x = rng.standard_normal((samples, layout.inputs), dtype=np.float32)
    return layout, x, rng.standard_normal(layout.rows, dtype=np.float32)


@pytest.mark.parametrize("keep", (0.0, 0.1, 0.5, 1.0))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_dense_weight_comes_back(case, rng, shape, keep):
    weight = case.weight(rng, *shape, keep)
    layout = case.build(weight)
    assert (layout.rows, layout.inputs) == weight.shape
    dense = layout.dense()
    assert dense.dtype == np.float32
    if case.exact:
        np.testing.assert_array_equal(dense, weight)
    assert not dense[weight == 0].any()
    np.testing.assert_array_equal(case.build(dense).dense(), dense)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matmul_is_the_product_with_the_dense_weight(case, rng, shape):
    layout, x, bias = problem(case, rng, shape, max(SAMPLES))
    for samples in SAMPLES:
        given = x[:samples]
        for bounds in (Bounds(), RELU6):
            got = layout.matmul(given, bias, bounds)
            assert got.shape == (samples, layout.rows)
            assert_product(case, got, layout.dense(), given, bias, bounds)
    assert_product(case, layout.matmul(x), layout.dense(), x, np.zeros_like(bias), Bounds())


@pytest.mark.parametrize("keep", (0.0, 1.0))
def test_weights_of_zeros_only_or_without_zeros(case, rng, keep):
    layout, x, bias = problem(case, rng, (40, 50), 9, keep)
    assert_product(case, layout.matmul(x, bias), layout.dense(), x, bias, Bounds())


@pytest.mark.parametrize("shape", ((33, 47), (128, 96)), ids=str)
def test_each_product_alone_gives_the_same(case, rng, shape):
    layout, x, bias = problem(case, rng, shape, 140)
    low, high = np.float32(RELU6.low), np.float32(RELU6.high)
    names = [product.name for product in layout.products()]
    assert len(set(names)) == len(names)
    for product in layout.products():
        last = 140 - 140 % product.step if product.whole else 140
        first = min(product.step, last - product.step) if product.whole else 3
        y = np.full((140, layout.rows), -1, np.float32)
        product.run(layout, x.ravel(), bias, low, high, y.reshape(-1), first, last, 0, layout.rows)
        assert_product(case, y[first:last], layout.dense(), x[first:last], bias, RELU6)
        assert (y[:first] == -1).all() and (y[last:] == -1).all(), product.name


def test_rows_can_be_shared_by_threads(case, rng):
    layout, x, bias = problem(case, rng, (250, 90), 20)
    for samples in (1, 20):
        got = layout.matmul(x[:samples], bias, threads=3)
        assert_product(case, got, layout.dense(), x[:samples], bias, Bounds())


def test_each_product_by_groups_of_rows(case, rng):
    layout, x, bias = problem(case, rng, (250, 90), 64)
    low, high = Bounds().limits
    for product in layout.products():
        last = 64 - 64 % product.step if product.whole else 64
        y = np.full((64, layout.rows), np.nan, np.float32)
        for part in cut(0, layout.rows, product.group, 5):
            product.run(layout, x.ravel(), bias, low, high, y.reshape(-1), 0, last, *part)
        assert_product(case, y[:last], layout.dense(), x[:last], bias, Bounds())


@pytest.mark.parametrize("shape", ((5, 70), (96, 64), (250, 333)), ids=str)
def test_transposed_matmul_is_the_product_with_the_transposed_weight(case, rng, shape):
    layout, _, _ = problem(case, rng, shape, 1)
    for samples in (0, 1, 3, 17, 100):
        g = rng.standard_normal((layout.rows, samples), dtype=np.float32).T
        for threads in (1, 2):
            got = layout.transposed_matmul(g, threads=threads)
            assert got.shape == (samples, layout.inputs)
            transposed, nothing = layout.dense().T, np.zeros(layout.inputs)
            assert_product(case, got, transposed, g, nothing, Bounds())
    with pytest.raises(ValueError, match="g must be float32"):
        layout.transposed_matmul(np.zeros((2, layout.rows + 1), np.float32))


def test_weights_without_rows(case):
    layout = case.build(np.zeros((0, 6 * case.unit[1]), np.float32))
    assert layout.dense().shape == (0, layout.inputs)
    for samples in (0, 1, 20):
        x = np.ones((samples, layout.inputs), np.float32)
        for threads in (1, 2):
            assert layout.matmul(x, threads=threads).shape == (samples, 0)
            none = layout.transposed_matmul(np.ones((samples, 0), np.float32), threads=threads)
            assert none.shape == x.shape and not none.any()


def test_bounds_keep_nan(case, rng):
    layout, x, bias = problem(case, rng, (60, 40), 5)
    reads = layout.dense() != 0
    x[1, 8] = np.nan
    for samples in (2, 5):
        got = layout.matmul(x[:samples], bias, RELU6)
        assert np.isnan(got[1, reads[:, 8]]).all()
        rest = np.ones(samples, bool)
        rest[1] = False
        assert_product(case, got[rest], layout.dense(), x[:samples][rest], bias, RELU6)


def test_arrays_and_numbers_are_all_there_is_to_save(case, rng):
    layout, x, bias = problem(case, rng, (50, 70), 6)
    again = type(layout)(**{n: a.copy() for n, a in layout.arrays().items()}, **layout.numbers())
    assert all(isinstance(number, int | float | str) for number in layout.numbers().values())
    assert layout.nbytes == sum(array.nbytes for array in layout.arrays().values())
    np.testing.assert_array_equal(again.matmul(x, bias), layout.matmul(x, bias))
    np.testing.assert_array_equal(again.dense(), layout.dense())


def test_x_and_out_may_lie_anyhow_or_are_refused(case, rng):
    layout, x, bias = problem(case, rng, (30, 40), 7)
    expected = layout.matmul(x, bias)
    np.testing.assert_array_equal(layout.matmul(np.asfortranarray(x), bias), expected)
    np.testing.assert_array_equal(layout.matmul(np.repeat(x, 2, axis=0)[::2], bias), expected)
    out = np.empty_like(expected)
    assert layout.matmul(x, bias, out=out) is out
    np.testing.assert_array_equal(out, expected)
    for wrong in (np.empty((7, layout.rows + 1), np.float32), np.empty((layout.rows, 7), "f4").T):
        with pytest.raises(ValueError, match="out must"):
            layout.matmul(x, bias, out=wrong)
    with pytest.raises(ValueError, match="float32"):
        layout.matmul(x.astype(np.float64))
    with pytest.raises(ValueError, match="bias must"):
        layout.matmul(x, bias[:-1])
    with pytest.raises(ValueError, match="x must"):
        layout.matmul(x[:, 1:])
    with pytest.raises(TypeError, match="x must be a NumPy array, got list"):
        layout.matmul(x.tolist())
    with pytest.raises(TypeError, match="bias must be a NumPy array, got list"):
        layout.matmul(x, bias.tolist())
    with pytest.raises(ValueError, match="threads must be at least 1"):
        layout.matmul(x, threads=0)


def test_other_weights_are_refused(case, rng):
    weight = case.weight(rng, 32, 48, 0.5)
    with pytest.raises(ValueError, match="float32"):
        case.build(weight.astype(np.float64))
    with pytest.raises(ValueError, match="rows, inputs"):
        case.build(weight.ravel())
    strided = np.asfortranarray(weight)
    np.testing.assert_array_equal(case.build(strided).dense(), case.build(weight).dense())


def test_every_product_names_what_takes_time(case, rng):
    layout, _, _ = problem(case, rng, (64, 48), 1)
    for product in layout.products():
        work = product.work(layout, 3)
        assert work and all(np.isfinite(amount) and amount >= 0 for amount in work.values())
