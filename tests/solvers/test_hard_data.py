"""Hard data: every form of X, samples without weight, a million sparse features.

Judged as in ``test_hard_cases``, and by the same problem written another way.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hard_designs import LOSSES, SOLVERS, at, design, proven, solved, target
from scipy import sparse

from gossamer.core import Problem
from gossamer.losses import Logistic, Quadratic
from gossamer.penalties import L1, MCP


def shuffled_entries(X: sparse.csc_array) -> sparse.csc_array:
    """The same matrix with the entries of each column from the last to the first."""
    order = np.concatenate(
        [np.arange(b - 1, a - 1, -1) for a, b in zip(X.indptr[:-1], X.indptr[1:], strict=True)]
    )
    return sparse.csc_array((X.data[order], X.indices[order], X.indptr), shape=X.shape)


def with_explicit_zeros(X: sparse.csc_array) -> sparse.csc_array:
    other = X.copy()
    other.data[::3] = 0.0
    return other


DENSE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "integers": lambda X: np.round(3 * X).astype(int),
    "bytes": lambda X: np.round(3 * X).astype(np.int8),
    "booleans": lambda X: X > 0,
    "float32": lambda X: X.astype(np.float32),
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "every second": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "reversed": lambda X: X[::-1, ::-1],
}
SPARSE: dict[str, Callable[[sparse.csc_array], Any]] = {
    "CSC": lambda X: X,
    "unsorted": shuffled_entries,
    "explicit zeros": with_explicit_zeros,
    "CSR": lambda X: X.tocsr(),
    "COO": lambda X: X.tocoo(),
    "sparse integers": lambda X: (3 * X).astype(int),
    "sparse float32": lambda X: X.astype(np.float32),
    "long indices": lambda X: sparse.csc_array(
        (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape
    ),
}


@pytest.mark.parametrize("loss", [Quadratic(), Logistic()], ids=repr)
@pytest.mark.parametrize("form", [*DENSE, *SPARSE])
def test_every_form_of_the_design(form: str, loss: Any, rng: np.random.Generator) -> None:
    """float32, integers and booleans are summed in float64: the solution is that of a copy."""
    X, y = design("plain")
    if form in DENSE:
        stored = DENSE[form](X)
        stored.flags.writeable = False
        plain = np.asfortranarray(stored.astype(float))
    else:
        stored = SPARSE[form](sparse.csc_array(X * (rng.random(X.shape) < 0.2)))
        plain = stored.toarray().astype(float)
    y = target(loss, y)
    for standardise in (False, True):
        copy = at(Problem(plain, y, loss, L1(1.0), standardise=standardise), 0.01)
        problem = Problem(stored, y, loss, copy.penalty, standardise=standardise)
        for solver in SOLVERS:
            result = proven(problem, 1e-9, solver)
            expected = solved(copy, 1e-9, solver)
            np.testing.assert_allclose(result.coef, expected.coef, atol=1e-6)
            judged = copy.certificate(result.coef, result.intercept)
            assert judged.value == pytest.approx(result.certificate.value, abs=1e-11)


@pytest.mark.parametrize("loss", [Quadratic(), *LOSSES], ids=repr)
@pytest.mark.parametrize("standardise", [False, True])
def test_samples_without_weight_are_not_there(standardise: bool, loss: Any) -> None:
    """Even where their predictions are so large that exponentials overflow."""
    X, y = design("plain")
    used, y = np.arange(12), target(loss, y)
    X = np.where(np.arange(len(y))[:, None] < 36, X, 1e4 * X)
    weights = np.zeros(len(y))
    weights[used] = 1.0 + used % 3
    y[used[:3]], y[used[3:6]] = y.min(), y.max()  # all classes are among them
    part = at(
        Problem(X[used], y[used], loss, L1(1.0), sample_weight=weights[used],
                standardise=standardise), 0.01
    )  # fmt: skip
    expected = solved(part, 1e-9)
    for stored in (X, sparse.csc_array(X)):
        problem = Problem(stored, y, loss, part.penalty, sample_weight=weights,
                          standardise=standardise)  # fmt: skip
        result = solved(problem, 1e-9)
        assert result.certificate.objective == pytest.approx(
            expected.certificate.objective, abs=2e-9 * part.null_objective
        )


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("loss", [Quadratic(), Logistic()], ids=repr)
def test_a_million_sparse_features(loss: Any, standardise: bool, rng: np.random.Generator) -> None:
    n, p, entries = 500, 1_000_000, 1_000_000
    place = (rng.integers(0, n, entries), rng.integers(0, p, entries))
    X = sparse.csc_array((rng.standard_normal(entries), place), shape=(n, p))
    y = target(loss, X[:, :200] @ np.ones(200) + 0.1 * rng.standard_normal(n))
    problem = Problem(X, y, loss, L1(1.0), standardise=standardise)
    for ratio in (0.2, 0.01):
        solved(at(problem, ratio), 1e-6)
    if loss.is_quadratic:
        solved(at(problem.with_penalty(MCP(1.0)), 0.2), 1e-6)
    problem = at(Problem(X, y, loss, L1(1.0), standardise=standardise), 0.2)
    tracemalloc.start()
    solved(problem, 1e-6)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # a dozen vectors of the length of the coefficients; X would take 4 GB if it were dense
    assert peak < 15 * 8 * p
