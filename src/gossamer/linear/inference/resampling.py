"""Work on random parts of the samples, in threads, which keeps what is done when interrupted."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import check_random_state

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.problem import Problem
from gossamer.core.result import Status

T = TypeVar("T")


def nothing() -> None:
    """What follows a step when nobody asked."""


@dataclass(frozen=True, eq=False)
class Repeated(Generic[T]):
    """The results there are, in the order of the work, and whether some are missing."""

    results: list[T]
    interrupted: bool


def repeat(
    work: Callable[[Any], T],
    items: Iterable[Any],
    *,
    n_jobs: int | str | None = None,
    on_step: Callable[[], object] | None = None,
) -> Repeated[T]:
    """``work(item)`` of every item, in threads; an interrupt keeps those that are done.

    Parameters
    ----------
    n_jobs : int or "dask", default None
        Threads, as in joblib: one by default, -1 for every core. With "dask" every item is a task
        of the cluster in use, tried again where its worker is lost.
    on_step : function, default None
        Called without arguments after every item, from the thread that did it.

    Examples
    --------
    >>> repeat(lambda k: k * k, range(4), n_jobs=2).results
    [0, 1, 4, 9]
    """
    stop, advance = threading.Event(), on_step or nothing
    jobs: list[Future]

    def unless_stopped(item: Any) -> tuple[T] | None:
        if stop.is_set():
            return None
        result = work(item)
        advance()
        return (result,)

    # the filter is global and must not be changed inside of threads: a part of the samples that
    # misses the tolerance still says what it selects
    with warnings.catch_warnings(), _pool(n_jobs) as pool:
        warnings.simplefilter("ignore", ConvergenceWarning)
        if n_jobs == "dask":
            jobs = [pool.submit(_boxed, work, item) for item in items]
            for job in jobs:
                job.add_done_callback(lambda _: advance())
        else:
            jobs = [pool.submit(unless_stopped, item) for item in items]
        with suppress(KeyboardInterrupt):
            wait(jobs, return_when=FIRST_EXCEPTION)
        if any(not job.done() or job.exception() for job in jobs):
            stop.set()
    errors = [error for job in jobs if (error := job.exception()) is not None]
    for error in errors:
        if not isinstance(error, KeyboardInterrupt):
            raise error
    done = [job.result() for job in jobs if job.exception() is None]
    return Repeated([result[0] for result in done if result is not None], stop.is_set())


def _pool(n_jobs: int | str | None) -> Executor:
    if n_jobs != "dask":
        return ThreadPoolExecutor(effective_n_jobs(n_jobs))
    from gossamer.linear.distributed.cluster import tasks_of_cluster

    return tasks_of_cluster()


def _boxed(work: Callable[[Any], T], item: Any) -> tuple[T]:
    """What a worker of a cluster runs: it sees neither the progress nor the interrupt."""
    return (work(item),)


def generators(random_state: Any, count: int) -> list[np.random.Generator]:
    """Independent random generators that follow from scikit-learn's ``random_state``."""
    root = check_random_state(random_state).randint(2**31 - 1, size=4)
    return [np.random.default_rng(s) for s in np.random.SeedSequence(root.tolist()).spawn(count)]


def complementary_halves(
    n: int,
    rng: np.random.Generator,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n,) of two random halves that share no sample.

    With ``classes`` each half has half of every class, and the only sample of a class is in both;
    with ``groups`` the samples of a group stay together.

    >>> first, second = complementary_halves(10, np.random.default_rng(0))
    >>> int(first.sum()), bool((first ^ second).all())
    (5, True)
    """
    if groups is not None:
        names, members = np.unique(groups, return_inverse=True)
        first, second = complementary_halves(len(names), rng)
        return first[members], second[members]
    strata = np.zeros(n, dtype=int) if classes is None else classes
    first, second = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    for label in np.unique(strata):
        members = rng.permutation(np.flatnonzero(strata == label))
        # of an odd number the middle one goes to either side, so that halves are fair on average
        size = (len(members) + int(rng.integers(2))) // 2
        first[members[: max(size, 1)]] = True
        second[members[min(size, len(members) - 1) :]] = True
    return first, second


def halves(
    n: int,
    n_halves: int,
    random_state: Any,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Masks of random halves of the samples, in complementary pairs."""
    pairs = [
        complementary_halves(n, rng, classes=classes, groups=groups)
        for rng in generators(random_state, (n_halves + 1) // 2)
    ]
    return [half for pair in pairs for half in pair][:n_halves]


@dataclass(frozen=True, eq=False)
class Stability:
    """Share of half-samples that selected each feature, (p,), and how many were solved."""

    frequency: np.ndarray
    n_resamples: int
    interrupted: bool


def selection_frequency(
    problem: Problem,
    start: tuple[np.ndarray, np.ndarray | float],
    n_halves: int,
    random_state: Any = None,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    tol: float = 1e-5,
    n_jobs: int | None = None,
    on_step: Callable[[], object] | None = None,
) -> Stability:
    """How often halves of the samples select each feature, at the problem's own strength.

    A half is the same X with the other samples weighted zero, so nothing is copied, and is solved
    from the coefficients of the whole. When interrupted, those solved so far count.

    Parameters
    ----------
    start : coefficients and intercept of the whole
    classes : (n,), optional
        Labels of which each half keeps half.
    groups : (n,), optional
        Groups of samples that stay together.

    References
    ----------
    Meinshausen and Bühlmann (2010), Stability selection.
    """
    weight = problem.sample_weight
    chosen = halves(len(weight), n_halves, random_state, classes=classes, groups=groups)

    def selected(half: np.ndarray) -> np.ndarray:
        part = problem.with_weights(weight * half)
        result = part.solve(w0=start[0], intercept0=start[1], tol=tol)
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return np.asarray(result.coef.reshape(problem.shape).any(axis=1))

    weighty = [half for half in chosen if (weight * half).any()]
    found = repeat(selected, weighty, n_jobs=n_jobs, on_step=on_step)
    total = np.sum(found.results, axis=0) if found.results else np.zeros(problem.shape[0])
    count = len(found.results)
    return Stability(total / max(count, 1), count, found.interrupted)
