"""A cluster of two processes on this machine: what a synchronous scheduler does not show."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from threading import Thread
from typing import Any

import dask.array as da
import numpy as np
import pytest
from distributed import LocalCluster
from rows_on_workers import BLOCK, N, P, process_of, rows_of_block

import gossamer as gs
from gossamer.linear.distributed import connected, map_tasks

pytestmark = pytest.mark.slow  # the processes take longer to start than to work


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    # a worker that is killed leaves sockets behind
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            memory_limit=0,
        ) as cluster, connected(cluster.scheduler_address) as client:  # fmt: skip
            yield client


def drawn() -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """X and y as dask arrays whose blocks are made on the workers, and as numpy arrays."""
    X = da.map_blocks(rows_of_block, chunks=((BLOCK,) * (N // BLOCK), (P,)), dtype=float)
    y = da.exp(X[:, 0] / 2 - X[:, 3] / 3).round()
    here = np.vstack([np.random.default_rng(i).standard_normal((BLOCK, P)) for i in range(8)])
    return X, y, here, np.exp(here[:, 0] / 2 - here[:, 3] / 3).round()


def test_rows_drawn_on_workers_give_the_optimum_of_one_process(client: Any) -> None:
    X, y, X_here, y_here = drawn()
    for model in (gs.Lasso(0.05), gs.SparsePoisson(0.02)):
        model.set_params(tol=1e-11)
        expected = type(model)(**model.get_params()).fit(X_here, y_here)
        model.fit(X, y)
        assert model.coef_ == pytest.approx(expected.coef_, abs=1e-6)
        known = expected.certificate_.objective
        assert model.certificate_.objective == pytest.approx(known, abs=1e-10)
        assert model.certificate_.holds


def test_errors_come_from_the_workers(client: Any) -> None:
    X, y, *_ = drawn()
    with pytest.raises(ValueError, match="Poisson"):
        gs.SparsePoisson().fit(X, -y)


def test_tasks_run_on_the_workers(client: Any) -> None:
    pids = map_tasks(process_of, range(8), np.zeros(1000))
    assert os.getpid() not in pids and set(pids) <= set(client.run(os.getpid).values())


def test_a_worker_killed_in_the_middle_is_survived(client: Any) -> None:
    X, y, X_here, y_here = drawn()
    workers = client.run(os.getpid)
    expected = gs.SparsePoisson(0.02, tol=1e-11).fit(X_here, y_here)
    model = gs.SparsePoisson(0.02, tol=1e-11)
    path: list[Any] = []
    work = Thread(target=lambda: path.append(model.path(X, y, alphas=np.geomspace(0.2, 0.02, 12))))
    work.start()
    time.sleep(0.7)
    assert work.is_alive(), "the fit was over before a worker could be killed"
    victim = next(iter(workers.values()))
    os.kill(victim, signal.SIGKILL)
    work.join(timeout=120)
    assert path, "the fit did not survive"
    assert path[0].coefs[-1] == pytest.approx(expected.coef_, abs=1e-6)
    assert path[0].certificates[-1].holds
    # the cluster has replaced the worker; the one killed is gone
    assert victim not in client.run(os.getpid).values()


def test_stability_is_that_of_one_process(client: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 40))
    y = X[:, 3] - X[:, 8] + rng.standard_normal(100)
    steps: list[int] = []
    fitted = {
        n_jobs: gs.StabilitySelection(max_false=0.5, n_pairs=5, random_state=0, n_jobs=n_jobs).fit(
            X, y, on_step=lambda: steps.append(1)
        )
        for n_jobs in (None, "dask")
    }
    np.testing.assert_array_equal(fitted["dask"].frequencies_, fitted[None].frequencies_)
    assert len(steps) == 20
    split = [
        gs.MultiSplit(gs.Lasso(0.2), n_splits=4, random_state=0, n_jobs=n_jobs).fit(X, y)
        for n_jobs in (None, "dask")
    ]
    np.testing.assert_allclose(split[1].p_values_, split[0].p_values_)
