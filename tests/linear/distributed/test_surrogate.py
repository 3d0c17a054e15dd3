"""Best subsets of rows in parts: the pooled fit's support, for O(p) numbers a round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gossamer as gs
from gossamer.linear.distributed.part import Part
from gossamer.linear.distributed.partitions import ReadParts
from gossamer.linear.distributed.problem import SummedProblem

MACHINES, ROWS, P, K = 10, 400, 200, 8


def correlated(seed: int, loss: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An AR(1) design of correlation 0.5 with K features in use."""
    rng = np.random.default_rng(seed)
    n = MACHINES * ROWS
    noise = rng.standard_normal((n, P))
    X = noise.copy()
    for j in range(1, P):
        X[:, j] = 0.5 * X[:, j - 1] + np.sqrt(0.75) * noise[:, j]
    support = np.sort(rng.choice(P, K, replace=False))
    z = X[:, support] @ rng.choice([-0.6, 0.6], K)
    if isinstance(loss, gs.losses.Logistic):
        return X, (z + rng.logistic(size=n) > 0).astype(float), support
    return X, z + 2 * rng.standard_normal(n), support


def in_machines(X: np.ndarray, y: np.ndarray, loss: Any) -> SummedProblem:
    y = loss.encode(y)
    cuts = [slice(i * ROWS, (i + 1) * ROWS) for i in range(MACHINES)]
    parts = [Part(X[rows], y[rows], np.ones(ROWS)) for rows in cuts]
    rows = ReadParts(parts, lambda part: part, P, 1)
    return SummedProblem(rows, None, loss, gs.AtMost(K))


@pytest.mark.parametrize("loss", [gs.losses.Quadratic(), gs.losses.Logistic()], ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_the_support_is_that_of_the_pooled_fit(loss: Any, seed: int) -> None:
    X, y, support = correlated(seed, loss)
    problem = in_machines(X, y, loss)
    result = problem.solve()
    pooled = gs.Problem(X, y, loss, gs.AtMost(K)).solve()
    assert result.solver == "SurrogateSplicing"
    assert result.certificate.support.tolist() == pooled.certificate.support.tolist()
    assert result.coef == pytest.approx(pooled.coef, abs=1e-5)
    assert result.certificate.holds
    traffic = problem.X.traffic
    numbers = (traffic.asked + traffic.answered) / 8 / traffic.rounds
    # p for the gradient and k x k on the support; a Gram matrix of all would be 40 000
    assert numbers < 5 * P and traffic.rounds < 80
    found = np.isin(support, np.flatnonzero(result.coef)).mean()
    print(
        f"\n{type(loss).__name__} {seed}: {traffic.rounds} rounds of {numbers:.0f} numbers, "
        f"{result.n_iter} searches; {found:.0%} of the true features"
    )


def test_one_machine_alone_misses_features() -> None:
    """What the rounds are for: the first part's own best subset is another one."""
    alone = together = 0
    for seed in range(5):
        X, y, support = correlated(seed, gs.losses.Logistic())
        own = gs.Problem(X[:ROWS], y[:ROWS], gs.losses.Logistic(), gs.AtMost(K)).solve()
        alone += np.isin(support, np.flatnonzero(own.coef)).sum()
        together += np.isin(
            support, np.flatnonzero(in_machines(X, y, gs.losses.Logistic()).solve().coef)
        ).sum()
    print(f"\nfeatures found of {5 * K}: one machine {alone}, ten {together}")
    assert together > alone
