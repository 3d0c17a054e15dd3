"""Paths: one problem at a row of decreasing strengths or growing budgets, warm-started."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.problem import Problem
from gossamer.core.result import Certificate, Result, Status
from gossamer.core.validation import float_array

# share of the null objective below which a model fits the data so well that weaker penalties
# are of no use (glmnet's rule)
_SATURATED = 1e-3


@dataclass(frozen=True, eq=False)
class Path:
    """Solutions along decreasing strengths, or growing budgets.

    alphas : (m,) strengths, decreasing; of budgets, the numbers of units, increasing.
    coefs : (m, p), or (m, p, K) for several outputs or classes.
    intercepts : (m,) or (m, K).
    certificates : one a strength.
    """

    alphas: np.ndarray
    coefs: np.ndarray
    intercepts: np.ndarray
    certificates: tuple[Certificate, ...]

    @property
    def n_nonzero(self) -> np.ndarray:
        """(m,) number of features with a non-zero coefficient."""
        alive = self.coefs != 0
        return (alive if alive.ndim == 2 else alive.any(axis=2)).sum(axis=1)


def decreasing(alphas: Any) -> np.ndarray:
    """Strengths the user gave, from the largest down."""
    grid = np.sort(float_array(alphas, "alphas").ravel())[::-1]
    if grid.size == 0 or not np.isfinite(grid).all() or grid[-1] < 0:
        raise ValueError(f"alphas must be finite numbers >= 0, at least one, got {alphas!r}.")
    return grid


def strength_grid(problem: Problem, n: int, ratio: float) -> np.ndarray:
    """``n`` strengths, geometric from the null model's down to ``ratio`` times that."""
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n_alphas must be a whole number >= 1, got {n!r}.")
    if not 0 < ratio < 1:
        raise ValueError(f"alpha_min_ratio must be in (0, 1), got {ratio}.")
    largest = problem.strength_max()
    scale = problem.point(np.zeros(problem.shape)).peak
    if largest <= 1e-12 * max(scale, 1e-300):
        # nothing to select from: any positive strength gives the null model
        return np.array([1.0])
    if np.isinf(largest):
        raise ValueError(
            f"no strength of {problem.penalty!r} gives the null model, from which a path could "
            "start: give alphas."
        )
    return largest * np.geomspace(1.0, ratio, n)


def budget_grid(problem: Problem, largest: int | None) -> np.ndarray:
    """Numbers of units from zero to the ``largest``, which is customary where ``None``.

    As in abess: up to ``n / (log(p) log(log(n)))`` units can be told apart.
    """
    count = len(problem.penalty.sizes(np.zeros(problem.shape)))
    n = int((problem.sample_weight > 0).sum())
    if largest is None:
        largest = int(n / (max(np.log(count), 1.0) * max(np.log(np.log(max(n, 3))), 1.0)))
        largest = max(largest, 1)
    elif not isinstance(largest, Integral) or isinstance(largest, bool) or largest < 1:
        raise ValueError(f"max_nonzero must be a whole number >= 1, got {largest!r}.")
    return np.arange(min(int(largest), count) + 1, dtype=float)


def solve_along(
    problem: Problem,
    alphas: np.ndarray,
    *,
    solver: str = "auto",
    tol: float,
    max_iter: int,
    stop_saturated: bool = False,
) -> Iterator[Result]:
    """Results at decreasing strengths, each started from the one before.

    Ends early when interrupted, and with ``stop_saturated`` when the data are fitted.
    """
    first = problem.with_penalty(problem.penalty.at_level(alphas[0]))
    # computed on the problem itself, what all strengths need is there for each of them
    chosen, point, null = first.solver(solver), problem.start(), problem.null_objective
    tol, max_iter = chosen.check(first, tol, max_iter)
    for alpha in alphas:
        step = problem.with_penalty(problem.penalty.at_level(alpha))
        outcome = chosen.run(step, point, tol, max_iter)
        yield chosen.conclude(step, outcome)
        point = outcome.point
        if outcome.status is Status.INTERRUPTED:
            return
        if stop_saturated and point.loss <= _SATURATED * null:
            return


def solve_path(
    problem: Problem,
    alphas: np.ndarray,
    *,
    solver: str = "auto",
    tol: float = 1e-6,
    max_iter: int = 1000,
    stop_saturated: bool = False,
    on_step: Callable[[int, float, Result], object] | None = None,
) -> Path:
    """All solutions along ``alphas``; one warning when some missed the tolerance."""
    results: list[Result] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        steps = solve_along(
            problem, alphas, solver=solver, tol=tol, max_iter=max_iter,
            stop_saturated=stop_saturated,
        )  # fmt: skip
        for i, result in enumerate(steps):
            results.append(result)
            if on_step is not None:
                on_step(i, float(alphas[i]), result)
    missed = [r for r in results if r.status is not Status.CONVERGED]
    if missed:
        worst = max(r.certificate.value for r in missed)
        warnings.warn(
            f"{len(missed)} of {len(alphas)} strengths of the path ended before the tolerance "
            f"{tol:.1e}, the worst certificate is {worst:.1e} ({missed[-1].status.value}). "
            "Raise max_iter or tol, or stop the path at a larger alpha.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return Path(
        np.asarray(alphas[: len(results)], dtype=float),
        np.array([r.coef for r in results]),
        np.array([r.intercept for r in results]),
        tuple(r.certificate for r in results),
    )
