"""Stability of a selection: how often half-samples of the data select each feature."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.problem import Problem
from gossamer.core.result import Status


@dataclass(frozen=True, eq=False)
class Stability:
    """Share of half-samples that selected each feature, (p,), and how many were solved."""

    frequency: np.ndarray
    n_resamples: int
    interrupted: bool


def stability(
    problem: Problem,
    start: tuple[np.ndarray, np.ndarray | float],
    n_resamples: int,
    seed: int,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    tol: float = 1e-5,
    jobs: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> Stability:
    """Solve a problem on random halves of its samples, at its own strength.

    A half-sample is the same X with the other samples weighted zero, so nothing is copied, and is
    solved from the coefficients of the whole. When interrupted, those solved so far count.

    Parameters
    ----------
    start : coefficients and intercept of the whole
    classes : (n,), optional
        Labels of which each half-sample keeps half.
    groups : (n,), optional
        Groups of samples that stay together.
    jobs : int
        Threads.
    advance : function
        Called after every half-sample.

    References
    ----------
    Meinshausen and Bühlmann (2010), Stability selection.
    """
    n = len(problem.sample_weight)
    halves = [
        half_sample(n, np.random.default_rng([seed, i]), classes=classes, groups=groups)
        for i in range(n_resamples)
    ]
    stopped: list[bool] = []

    def selected(half: np.ndarray) -> np.ndarray | None:
        if stopped or not (problem.sample_weight * half).any():
            return None
        part = problem.with_weights(problem.sample_weight * half)
        result = part.solve(w0=start[0], intercept0=start[1], tol=tol)
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        advance()
        return np.asarray(result.coef.reshape(problem.shape).any(axis=1))

    with warnings.catch_warnings(), ThreadPoolExecutor(max(jobs, 1)) as pool:
        # a half-sample that misses the tolerance still says what it selects
        warnings.simplefilter("ignore", ConvergenceWarning)
        work = [pool.submit(selected, half) for half in halves]
        with suppress(KeyboardInterrupt):
            wait(work, return_when=FIRST_EXCEPTION)
        stopped.extend([True] * any(not job.done() or job.exception() for job in work))
    errors = [error for job in work if (error := job.exception()) is not None]
    for error in errors:
        if not isinstance(error, KeyboardInterrupt):
            raise error
    results = [job.result() for job in work if job.exception() is None]
    found = [alive for alive in results if alive is not None]
    total = np.sum(found, axis=0) if found else np.zeros(problem.shape[0])
    return Stability(total / max(len(found), 1), len(found), bool(stopped))


def half_sample(
    n: int,
    rng: np.random.Generator,
    *,
    classes: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """(n,) mask of a random half: of every class (at least one of each), or of the groups.

    >>> int(half_sample(10, np.random.default_rng(0)).sum())
    5
    """
    if groups is not None:
        names, members = np.unique(groups, return_inverse=True)
        return half_sample(len(names), rng)[members]
    strata = np.zeros(n, dtype=int) if classes is None else classes
    mask = np.zeros(n, dtype=bool)
    for label in np.unique(strata):
        members = np.flatnonzero(strata == label)
        # of an odd number the middle one goes to either side, so that halves are fair on average
        size = (len(members) + int(rng.integers(2))) // 2
        mask[rng.permutation(members)[: max(size, 1)]] = True
    return mask
