"""The BLAS has one thread while solvers run, and all of them again afterwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from gossamer.solvers.threads import one_blas_thread


def blas_threads() -> list[int]:
    return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]


def test_the_last_one_out_lifts_the_limit() -> None:
    with threadpool_limits(2, "blas"):
        before = blas_threads()

        def visit(_: int) -> list[int]:
            with one_blas_thread:
                return blas_threads()

        with one_blas_thread:
            with ThreadPoolExecutor(4) as pool:
                assert all(set(found) == {1} for found in pool.map(visit, range(40)))
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


def test_an_error_lifts_it_too() -> None:
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        with pytest.raises(KeyError), one_blas_thread:
            raise KeyError
        assert blas_threads() == before
