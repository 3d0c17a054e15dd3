"""Designs that break solvers, and an independent judge of what was made of them.

Several are known to end other methods: coordinate descent crawls where columns nearly agree,
homotopy takes exponentially many steps on the adversarial one, and Newton's method cycles where
the active set reaches the rank.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from time import process_time
from typing import Any

import numpy as np
import pytest
from real_tables import TABLES
from references import Model, duality_gap, loss_gradient
from scipy import sparse

from gossamer.core import ConvergenceWarning, Problem, Result, Status
from gossamer.losses import Huber, Logistic, Multinomial, Poisson
from gossamer.penalties import ElasticNet

Data = tuple[np.ndarray, np.ndarray]

SOLVERS = ("ActiveSetNewton", "CoordinateDescent")
LOSSES = (Logistic(), Huber(0.5), Poisson(), Multinomial())
# what the independent formulas lose to cancellation, relative to the null objective
ROUNDING = 1e-12
# CPU seconds: a hundred times what most cases take
QUICK = 10.0


def _generator() -> np.random.Generator:
    return np.random.default_rng(20260301)


def _noisy(X: np.ndarray, noise: float = 1.0) -> Data:
    """A target made of a few columns."""
    picked = X[:, :: max(1, X.shape[1] // 5)]
    return X, picked.sum(axis=1) + noise * _generator().standard_normal(len(X))


def _plain() -> Data:
    return _noisy(_generator().standard_normal((60, 40)))


def _duplicated() -> Data:
    X, y = _plain()
    return np.column_stack([X, X, -X]), y


def _nearly_duplicated() -> Data:
    X, y = _plain()
    copies = [X + 1e-9 * _generator().standard_normal(X.shape) for _ in range(3)]
    return np.column_stack([X, *copies]), y


def _constant_columns() -> Data:
    X, y = _plain()
    X[:, 3], X[:, 7], X[:, 8] = 0.0, 1.0, 1e8
    return X, y


def _scaled() -> Data:
    X, y = _plain()
    return X * np.resize([1e-8, 1.0, 1e8, 1e-3, 1e3], X.shape[1]), y


def _shifted() -> Data:
    X, y = _plain()
    return X + 1e6, y


def _wide() -> Data:
    return _noisy(_generator().standard_normal((50, 1000)))


def _hilbert() -> Data:
    X = 1.0 / (np.arange(1, 41)[:, None] + np.arange(60))
    return _noisy(X, 0.01)


def _autoregressive() -> Data:
    X = _generator().standard_normal((80, 300))
    for j in range(1, X.shape[1]):
        X[:, j] = 0.99 * X[:, j - 1] + np.sqrt(1 - 0.99**2) * X[:, j]
    return _noisy(X)


def _equicorrelated() -> Data:
    rng = _generator()
    common, own = rng.standard_normal((80, 1)), rng.standard_normal((80, 300))
    return _noisy(np.sqrt(0.9) * common + np.sqrt(0.1) * own)


def _adversarial() -> Data:
    """The path of the lasso has (3^p + 1) / 2 segments: Mairal and Yu (2012), section 3.2."""
    X, y = np.ones((1, 1)), np.ones(1)
    for _ in range(5):
        smallest = np.abs(X.T @ y).min()
        a = min(0.5, 0.4 * smallest / (2 * y @ y + 1))
        top = np.column_stack([X, 2 * a * y])
        bottom = np.append(np.zeros(X.shape[1]), a)
        X, y = np.vstack([top, bottom]), np.append(y, 1.0)
    return X, y


def _meats() -> Data:
    table = TABLES["meats"]()
    return table.X, table.y


def _small(n: int, p: int) -> Callable[[], Data]:
    return lambda: (_generator().standard_normal((n, p)), _generator().standard_normal(n))


DESIGNS: dict[str, Callable[[], Data]] = {
    "plain": _plain,
    "duplicated": _duplicated,
    "nearly duplicated": _nearly_duplicated,
    "constant columns": _constant_columns,
    "scales 1e-8 to 1e8": _scaled,
    "means of 1e6": _shifted,
    "wide": _wide,
    "hilbert": _hilbert,
    "autoregressive 0.99": _autoregressive,
    "equicorrelated 0.9": _equicorrelated,
    "adversarial": _adversarial,
    "meats": _meats,
    "one sample": _small(1, 3),
    "two samples": _small(2, 5),
    "one feature": _small(20, 1),
}


@lru_cache
def design(name: str) -> Data:
    X, y = DESIGNS[name]()
    X.flags.writeable = y.flags.writeable = False
    return X, y


def at(problem: Problem, ratio: float) -> Problem:
    """The problem with a strength of ``ratio`` times the largest useful one."""
    strength = ratio * problem.strength_max()
    return problem.with_penalty(problem.penalty.with_strength(strength))


def proven_gap(problem: Problem, result: Result) -> float:
    """The relative duality gap by the formulas of ``references``, which do not import gossamer.

    For equal sample weights and no offset.
    """
    penalty, units, coef = problem.penalty, problem.penalty.on.units(problem.shape), result.coef
    X = problem.X.toarray() if sparse.issparse(problem.X) else problem.X
    X, y, intercept = X.astype(float), problem.y, np.asarray(result.intercept)
    if problem.fit_intercept:
        # large means would cost digits
        X, intercept = X - X.mean(axis=0), intercept + X.mean(axis=0) @ coef
    if problem.design.scale is not None:
        X, coef = X / problem.design.scale, (coef.T * problem.design.scale).T
    several, loss = y.shape[1] > 1, type(problem.loss).__name__.lower()
    if loss == "multinomial":
        y = y.argmax(axis=1)
    names = {"Elements": "elements", "Rows": "rows", "Groups": "groups"}
    model = Model(
        X, y if several else y[:, 0], loss,
        "elastic_net" if isinstance(penalty, ElasticNet) else "l1",
        penalty.strength, getattr(penalty, "l1_ratio", 1.0),
        names[type(penalty.on).__name__] if several or units.count < len(coef) else "elements",
        tuple(units.positions(np.array([u]))[0] for u in range(units.count)),
        penalty.weights, penalty.nonnegative, problem.fit_intercept,
        getattr(problem.loss, "delta", 1.0),
    )  # fmt: skip
    if problem.fit_intercept:
        pull = loss_gradient(model, X @ coef + intercept).mean(axis=0)
        assert np.abs(pull).max() <= 1e-9 * max(1.0, np.abs(y).max())
    return duality_gap(model, coef, intercept)


def target(loss: Any, y: np.ndarray) -> np.ndarray:
    """A real target in the form the loss takes."""
    y = (y - np.median(y)) / max(y.std(), 1e-10)
    match loss:
        case Logistic():
            return y > 0
        case Multinomial():
            return np.digitize(y, np.quantile(y, [1 / 3, 2 / 3]))
        case Poisson():
            return np.round(np.exp(y))
    return y


# -- solving, and judging what came of it


def quickly(action: Callable[[], Result]) -> Result:
    """Compiling may take its time: what was slow has a second try."""
    spent = np.inf
    for _ in range(2):
        begun = process_time()
        result = action()
        spent = process_time() - begun
        if spent < QUICK:
            return result
    raise AssertionError(f"took {spent:.1f} s of CPU")


def solved(problem: Problem, tol: float, solver: str = "auto", **start: Any) -> Result:
    """A solution that meets the tolerance; every warning is an error."""
    result = quickly(lambda: problem.solve(solver, tol=tol, **start))
    assert result.status is Status.CONVERGED
    assert result.certificate.holds
    assert np.isfinite(result.coef).all()
    return result


def proven(problem: Problem, tol: float, solver: str = "auto", **start: Any) -> Result:
    result = solved(problem, tol, solver, **start)
    assert proven_gap(problem, result) <= tol + ROUNDING
    return result


def honest(problem: Problem, tol: float, solver: str = "auto") -> Result:
    """The tolerance is met, or a warning says how far it is; no other warning, no NaN."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = quickly(lambda: problem.solve(solver, tol=tol))
    assert all(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert bool(caught) == (result.status is not Status.CONVERGED)
    assert (result.status is Status.CONVERGED) == result.certificate.holds
    assert np.isfinite(result.coef).all()
    again = problem.certificate(result.coef, result.intercept, tol)
    assert again.value == pytest.approx(result.certificate.value, rel=1e-3, abs=0.1 * tol)
    assert again.objective <= again.null_objective * (1 + 1e-12)
    return result
