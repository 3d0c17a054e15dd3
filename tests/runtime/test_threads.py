"""Threads that share products: at once, in other processes, and after errors."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading

import numpy as np
import pytest

from gossamer.runtime import CSR, BlockRows
from gossamer.runtime import planning as plans
from gossamer.runtime import threads as crews
from gossamer.runtime.threads import cut, openmp, run_parts, share, together

CREWS = "openmp", "pool"


@pytest.fixture
def layout(rng) -> CSR:
    return CSR.build(np.where(rng.random((70, 50)) < 0.3, 1.5, 0.0).astype(np.float32))


@pytest.fixture(params=CREWS)
def crew(request, monkeypatch) -> str:
    """All products are shared, by this crew."""
    pytest.importorskip("torch")
    monkeypatch.setattr(plans, "cheapest_handover", lambda product, threads: (-1.0, request.param))
    return request.param


@pytest.mark.parametrize("threads", (2, 3, 5))
@pytest.mark.parametrize("samples", (1, 7, 40, 200))
def test_shared_products_are_the_same(crew, layout, rng, samples, threads):
    x = rng.standard_normal((samples, 50), dtype=np.float32)
    bias = rng.standard_normal(70, dtype=np.float32)
    for _ in range(3):
        y = layout.matmul(x, bias, threads=threads)
        np.testing.assert_allclose(y, x @ layout.dense().T + bias, atol=1e-4)
    pieces = layout.__dict__["_plans"][samples, threads].pieces
    assert any(len(piece.parts) == threads for piece in pieces)


def test_two_threads_of_python_may_call_at_once(crew, rng):
    weight = np.kron(rng.random((8, 90)) < 0.3, np.ones((16, 1))).astype(np.float32)
    layout, wrong = BlockRows.build(weight), []
    x = rng.standard_normal((64, 90), dtype=np.float32)
    expected = x @ weight.T

    def work(samples: int) -> None:
        for _ in range(20):
            y = layout.matmul(x[:samples], threads=2)
            if not np.allclose(y, expected[:samples], atol=1e-4):
                wrong.append(samples)

    workers = [threading.Thread(target=work, args=(samples,)) for samples in (64, 17, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@pytest.mark.parametrize("failing", (0, 1, 2))
def test_errors_arrive_after_all_parts_have_ended(failing):
    done = []

    def piece(first, last, top, bottom):
        if first == failing:
            raise KeyError(f"part {first}")
        done.append(first)

    parts = [(i, i + 1, 0, 1) for i in range(3)]
    with pytest.raises(KeyError, match=f"part {failing}"):
        together(piece, parts)
    assert sorted(done) == sorted({0, 1, 2} - {failing})
    together(lambda first, *rest: done.append(first), parts)  # the threads live on
    assert len(done) == 5


def test_a_kernel_without_memory_is_an_error(layout):
    parallel = openmp()
    if parallel is None:
        pytest.skip("no OpenMP")
    huge = CSR(70, 1 << 55, layout.values, layout.columns, layout.starts)
    x, bias = np.ones(50, np.float32), np.ones(70, np.float32)
    arguments = huge, x, bias, np.float32(0), np.float32(1), np.ones(70, np.float32)
    panels = next(p for p in layout.products() if p.name.startswith("strips"))
    with pytest.raises(MemoryError, match="panels"):
        run_parts("openmp", panels, np.array([[0, 1, 0, 16], [0, 1, 16, 70]]), *arguments)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ("spawn", "fork"))
def test_worker_processes_compute_the_same(crew, layout, rng, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    x = rng.standard_normal((4000, 50), dtype=np.float32)
    expected = layout.matmul(x, threads=2)  # threads are running when the process begins
    with multiprocessing.get_context(method).Pool(1) as pool:
        got = pool.apply_async(layout.matmul, (x,), {"threads": 2}).get(60)
    np.testing.assert_allclose(got, expected, atol=1e-4)
    np.testing.assert_allclose(layout.matmul(x, threads=2), expected, atol=1e-4)


def test_samples_are_shared_or_else_rows():
    seen = []
    share(lambda *part: seen.append(part), 0, 50, 8, 30, 16, 3)
    assert sorted(seen) == [(0, 16, 0, 30), (16, 32, 0, 30), (32, 50, 0, 30)]
    seen.clear()
    share(lambda *part: seen.append(part), 0, 2, 8, 30, 16, 3)
    assert sorted(seen) == [(0, 2, 0, 16), (0, 2, 16, 30)]


def test_ranges_are_whole_units():
    assert cut(0, 100, 16, 3) == [(0, 32), (32, 64), (64, 100)]
    assert cut(3, 5, 16, 3) == [(3, 5)]
    assert cut(0, 0, 16, 3) == []


_ENDS = """
import numpy as np
{torch}
from gossamer.runtime import CSR, planning
planning.cheapest_handover = lambda product, threads: (-1.0, "{crew}")
layout = CSR.build(np.ones((40, 30), np.float32))
assert (layout.matmul(np.ones((50, 30), np.float32), threads=2) == 30).all()
"""


@pytest.mark.parametrize("crew", CREWS)
@pytest.mark.parametrize("torch", ("", "import torch"))
def test_a_process_ends_though_threads_wait(crew, torch):
    if torch:
        pytest.importorskip("torch")
    code = _ENDS.format(crew=crew, torch=torch)
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_handing_over_takes_some_time(monkeypatch):
    crews.handover.cache_clear()
    assert 0 < crews.handover("pool", 2) < 10
