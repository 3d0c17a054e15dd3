"""Agents: each computes what it says, and sparsity pays where contexts are long and sparse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gossamer.linear.online import (
    LassoBandit,
    LinTS,
    LinUCB,
    SparseTS,
    labelled_rounds,
    play,
)


def sparse_rounds(p: int, n_arms: int, seed: int, noise: float = 0.5, k: int = 5) -> Callable:
    """Normal contexts, of which k features matter."""
    rng = np.random.default_rng(seed)
    theta = np.zeros(p)
    theta[rng.choice(p, k, replace=False)] = rng.choice([-1.0, 1.0], k)

    def rounds(t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        contexts = rng.standard_normal((n_arms, p))
        expected = contexts @ theta
        return contexts, expected, expected + noise * rng.standard_normal(n_arms)

    return rounds


def test_ridge_agents_keep_the_ridge_posterior(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((20, 4)), rng.standard_normal(20)
    ucb, ts = LinUCB(4, width=2.0, ridge=0.5), LinTS(4, width=1.5, ridge=0.5, random_state=0)
    for x, reward in zip(X, y, strict=True):
        ucb.update(x, reward)
        ts.update(x, reward)
    covariance = np.linalg.inv(X.T @ X + 0.5 * np.eye(4))
    np.testing.assert_allclose(ucb.state.covariance, covariance)
    arms = rng.standard_normal((3, 4))
    mean = arms @ covariance @ X.T @ y
    spread = np.sqrt(np.diag(arms @ covariance @ arms.T))
    np.testing.assert_allclose(ucb.scores(arms), mean + 2 * spread)
    draws = np.array([ts.scores(arms) for _ in range(20_000)])
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(
        np.cov(draws.T), 2.25 * arms @ covariance @ arms.T, atol=0.05 * 2.25 * spread.max() ** 2
    )


def test_the_lasso_agent_finds_the_support(rng: np.random.Generator) -> None:
    agent, rounds = LassoBandit(30, strength=0.05, random_state=0), sparse_rounds(30, 5, 0, k=2)
    play(agent, rounds, 400)
    assert np.count_nonzero(agent.coef) == 2
    np.testing.assert_allclose(np.abs(agent.coef[agent.coef != 0]), 1.0, atol=0.15)


@pytest.mark.parametrize("kind", [LinTS, LinUCB, LassoBandit, SparseTS])
def test_regret_flattens_and_seeds_repeat(kind: Any) -> None:
    first = play(kind(10, random_state=1), sparse_rounds(10, 4, 2, k=2), 300)
    again = play(kind(10, random_state=1), sparse_rounds(10, 4, 2, k=2), 300)
    np.testing.assert_array_equal(first, again)
    assert (np.diff(first) >= 0).all()
    assert first[-1] - first[-100] < 0.5 * first[99]


@pytest.mark.parametrize("kind", [LinTS, LinUCB, LassoBandit, SparseTS])
def test_what_does_not_fit_is_refused(kind: Any) -> None:
    agent = kind(3)
    for contexts in (np.ones(3), np.ones((2, 4)), np.ones((0, 3))):
        with pytest.raises(ValueError, match="contexts must have shape"):
            agent.choose(contexts)
    with pytest.raises(ValueError, match="3 finite numbers"):
        agent.update([np.nan, 0, 0], 1.0)
    with pytest.raises(ValueError, match="reward"):
        agent.update([1.0, 0, 0], np.inf)
    with pytest.raises(ValueError, match="n_features"):
        kind(0)


def test_a_table_becomes_a_bandit() -> None:
    X, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array(["a", "b"])
    rounds = labelled_rounds(X, y, random_state=0)
    contexts, expected, rewards = rounds(0)
    assert contexts.shape == (2, 6) and expected.sum() == 1 and rewards is expected
    at = int(np.flatnonzero(X[:, 0] == contexts[0, 0])[0])
    np.testing.assert_array_equal(contexts, np.kron(np.eye(2), np.append(X[at], 1.0)))
    assert expected[["a", "b"].index(y[at])] == 1
    seen = []
    play(LinUCB(6), rounds, 5, on_step=lambda t, total: seen.append(t))
    assert seen == list(range(5))


def contenders(p: int, seed: int, noise: float) -> dict[str, Any]:
    return {
        "SparseTS": SparseTS(p, noise=noise, refit=0.05, random_state=seed),
        "LinTS": LinTS(p, width=noise, random_state=seed),
        "LinUCB": LinUCB(p, width=noise, random_state=seed),
        "LassoBandit": LassoBandit(p, refit=0.05, random_state=seed),
    }


def table_of(games: list[dict[str, float]]) -> dict[str, float]:
    mean = {name: float(np.mean([game[name] for game in games])) for name in games[0]}
    print(", ".join(f"{name} {value:.0f}" for name, value in mean.items()))
    return mean


@pytest.mark.slow
def test_sparse_thompson_sampling_has_the_least_regret() -> None:
    """Row 11: p = 200, five features that matter, ten arms, 600 rounds."""
    games = [
        {
            name: play(agent, sparse_rounds(200, 10, seed), 600)[-1]
            for name, agent in contenders(200, seed, 0.5).items()
        }
        for seed in range(5)
    ]
    print("\nregret, simulated: ", end="")
    mean = table_of(games)
    assert mean["SparseTS"] < 0.5 * min(mean["LinTS"], mean["LinUCB"])


@pytest.mark.slow
def test_digits_as_a_bandit() -> None:
    """Row 11 on a real table: three digits beside 100 columns of noise, 800 rounds."""
    X, y = load_digits(return_X_y=True)
    kept = y < 3
    games = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        Z = np.hstack([X[kept] / 16, rng.standard_normal((int(kept.sum()), 100)) / 3])
        agents = contenders(3 * (Z.shape[1] + 1), seed, 0.3)
        games.append(
            {
                name: play(agent, labelled_rounds(Z, y[kept], seed), 800)[-1]
                for name, agent in agents.items()
            }
        )
    print("\nregret, digits: ", end="")
    mean = table_of(games)
    assert mean["SparseTS"] < mean["LinTS"]
