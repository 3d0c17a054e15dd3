"""Plans cover all samples and rows once, are remembered, and stay where they were made."""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest

from gossamer.runtime import CSR, BlockRows, Layout, TiledCSR
from gossamer.runtime import planning as plans
from gossamer.runtime.cost import seconds
from gossamer.runtime.planning import REMEMBERED, plan, remembered_plan


@pytest.fixture(params=["blocks", "tiled"])
def layout(rng, request) -> Layout:
    if request.param == "tiled":  # whose threads share bands of 128 rows
        return TiledCSR.build((rng.random((300, 40)) < 0.3).astype(np.float32), width=16)
    weight = np.kron(rng.random((6, 40)) < 0.3, np.ones((16, 1))).astype(np.float32)
    return BlockRows.build(weight)


@pytest.mark.parametrize("threads", (1, 2, 3, 7))
@pytest.mark.parametrize("samples", (0, 1, 2, 7, 17, 64, 100, 1000))
def test_every_sample_of_every_row_is_computed_once(layout, samples, threads):
    count = np.zeros((samples, layout.rows), int)
    for product, parts, table, _ in plan(layout, samples, threads).pieces:
        np.testing.assert_array_equal(table, parts)
        for first, last, top, bottom in parts:
            assert not product.whole or (last - first) % product.step == 0
            assert top % product.group == 0
            count[first:last, top:bottom] += 1
    assert (count == 1).all()


def test_no_single_product_would_be_faster(layout):
    for samples in (1, 5, 16, 17, 63, 200):
        found = plan(layout, samples).seconds
        for product in layout.products():
            if not product.whole or samples % product.step == 0:
                assert found <= seconds(product, layout, samples) * (1 + 1e-12)


def test_threads_are_taken_only_where_they_are_worth_it(layout, monkeypatch):
    monkeypatch.setattr(plans, "cheapest_handover", lambda product, threads: (1e-5, "pool"))
    for samples in (1, 8, 64, 10_000):
        alone, shared = plan(layout, samples), plan(layout, samples, threads=4)
        assert shared.seconds <= alone.seconds
        if alone.seconds < 1e-5:
            assert all(len(piece.parts) == 1 for piece in shared.pieces)
    assert all(len(piece.parts) == 4 for piece in shared.pieces)
    assert shared.seconds < 0.4 * alone.seconds


@pytest.mark.parametrize("threaded", (False, True))
def test_products_that_have_threads_of_their_own_are_not_shared(layout, monkeypatch, threaded):
    offered = [replace(product, threaded=threaded) for product in layout.products()]
    monkeypatch.setattr(type(layout), "products", lambda self: offered)
    monkeypatch.setattr(plans, "cheapest_handover", lambda product, threads: (0.0, "pool"))
    for piece in plan(layout, 10_000, threads=2).pieces:
        assert len(piece.parts) == (1 if threaded else 2)


def test_plans_are_made_once_and_not_kept_without_end(layout, monkeypatch):
    made = []
    monkeypatch.setattr(plans, "plan", lambda *given: made.append(given) or plan(*given))
    first = remembered_plan(layout, 5)
    assert remembered_plan(layout, 5) is first
    assert remembered_plan(layout, 5, 2) is not first
    assert len(made) == 2
    for samples in range(3 * REMEMBERED):
        remembered_plan(layout, samples)
    assert len(layout.__dict__["_plans"]) <= REMEMBERED


@pytest.mark.parametrize(
    "again", (copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a)))
)
def test_plans_are_not_copied(layout, rng, again):
    x = rng.standard_normal((3, layout.inputs), dtype=np.float32)
    expected = layout.matmul(x)
    copied = again(layout)
    assert "_plans" not in copied.__dict__
    np.testing.assert_array_equal(copied.matmul(x), expected)


def test_many_threads_may_ask_at_once(rng):
    layout = CSR.build(np.where(rng.random((40, 60)) < 0.3, 1.0, 0.0).astype(np.float32))
    x = rng.standard_normal((80, 60), dtype=np.float32)
    dense, wrong = layout.dense(), []

    def work(seed: int) -> None:
        for samples in np.random.default_rng(seed).integers(1, 80, 200):
            y = layout.matmul(x[:samples])
            if not np.allclose(y, x[:samples] @ dense.T, atol=1e-4):
                wrong.append(samples)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
