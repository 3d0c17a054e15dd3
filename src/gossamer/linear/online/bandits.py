"""Agents for linear contextual bandits: which arm to take, and what its reward teaches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from gossamer.core.validation import finite_number
from gossamer.linear.estimators import Lasso
from gossamer.linear.online.ridge import RidgeState
from gossamer.linear.online.spike_slab import SpikeSlabPosterior


class Agent(ABC):
    """Chooses among arms by their contexts, and learns from the reward of the arm it took.

    Rewards are taken to be linear: ``reward = context @ theta + noise``.

    Parameters
    ----------
    n_features : int
        Length p of a context.
    random_state : int, RandomState or None, default None
    """

    def __init__(self, n_features: int, random_state: Any = None) -> None:
        if n_features < 1:
            raise ValueError(f"n_features must be >= 1, got {n_features}.")
        self.n_features = n_features
        self.rng = np.random.default_rng(check_random_state(random_state).randint(2**31))

    def choose(self, contexts: Any) -> int:
        """The arm to take, for contexts (n_arms, p)."""
        contexts = np.asarray(contexts, dtype=float)
        if contexts.ndim != 2 or contexts.shape[1] != self.n_features or not len(contexts):
            raise ValueError(
                f"contexts must have shape (n_arms, {self.n_features}), got {contexts.shape}."
            )
        return int(np.argmax(self.scores(contexts)))

    def update(self, context: Any, reward: float) -> None:
        """Learn the reward of the arm taken, whose context is (p,)."""
        context = np.asarray(context, dtype=float)
        if context.shape != (self.n_features,) or not np.isfinite(context).all():
            raise ValueError(
                f"context must be {self.n_features} finite numbers, got shape {context.shape}."
            )
        self.learn(context, finite_number(reward, "reward"))

    @abstractmethod
    def scores(self, contexts: np.ndarray) -> np.ndarray:
        """(n_arms,) the arm of the largest is taken."""

    @abstractmethod
    def learn(self, context: np.ndarray, reward: float) -> None:
        """Take in one checked reward."""


class _Ridge(Agent):
    """Agents that keep the posterior of a ridge regression, at p^2 operations a round."""

    def __init__(
        self, n_features: int, width: float, ridge: float = 1.0, random_state: Any = None
    ) -> None:
        super().__init__(n_features, random_state)
        self.width = finite_number(width, "width", 0.0)
        self.state = RidgeState(n_features, ridge)

    def learn(self, context: np.ndarray, reward: float) -> None:
        self.state.update(context, reward)


class LinUCB(_Ridge):
    """The largest prediction that is plausible: mean plus ``width`` deviations.

    Parameters
    ----------
    n_features : int
    width : float, default 1.0
        Deviations added, with that of the noise as the unit.
    ridge : float > 0, default 1.0

    References
    ----------
    Li, Chu, Langford and Schapire (2010), A contextual-bandit approach to personalized news article
    recommendation.
    """

    def __init__(
        self, n_features: int, width: float = 1.0, ridge: float = 1.0, random_state: Any = None
    ) -> None:
        super().__init__(n_features, width, ridge, random_state)

    def scores(self, contexts: np.ndarray) -> np.ndarray:
        return np.asarray(contexts @ self.state.coef + self.width * self.state.spread(contexts))


class LinTS(_Ridge):
    """Thompson sampling with a normal prior: the best arm under coefficients that are drawn.

    Parameters
    ----------
    n_features : int
    width : float, default 1.0
        Deviation of the noise, by which the posterior's is multiplied.
    ridge : float > 0, default 1.0
    random_state : int, RandomState or None, default None

    References
    ----------
    Agrawal and Goyal (2013), Thompson sampling for contextual bandits with linear payoffs.
    """

    def __init__(
        self, n_features: int, width: float = 1.0, ridge: float = 1.0, random_state: Any = None
    ) -> None:
        super().__init__(n_features, width, ridge, random_state)

    def scores(self, contexts: np.ndarray) -> np.ndarray:
        # the predictions of one draw, without drawing all p coefficients
        covariance = contexts @ self.state.covariance @ contexts.T
        values, vectors = np.linalg.eigh(covariance)
        noise = np.sqrt(np.maximum(values, 0.0)) * self.rng.standard_normal(len(values))
        return np.asarray(contexts @ self.state.coef + self.width * (vectors @ noise))


class _Sparse(Agent):
    """Agents that keep the moments of what they saw, and refit at growing intervals."""

    def __init__(self, n_features: int, refit: float = 0.02, random_state: Any = None) -> None:
        super().__init__(n_features, random_state)
        self.refit = finite_number(refit, "refit", 0.0)
        self.gram = np.zeros((n_features, n_features))
        self.first = np.zeros(n_features)
        self.n_rounds = self._fitted_at = 0

    def learn(self, context: np.ndarray, reward: float) -> None:
        self.gram += np.outer(context, context)
        self.first += reward * context
        self.n_rounds += 1
        if self.n_rounds >= self._fitted_at * (1 + self.refit):
            self._fitted_at = self.n_rounds
            self.fit()

    @abstractmethod
    def fit(self) -> None:
        """Fit the moments."""


class SparseTS(_Sparse):
    """Thompson sampling with a spike-and-slab prior, by variational Bayes.

    Parameters
    ----------
    n_features : int
    noise : float > 0, default 1.0
        Standard deviation of the rewards around their means.
    rate : float > 0, default 1.0
        Of the Laplace slab.
    sparsity : float > 0, default 1.0
        The prior chance of a coefficient is ``1 / (1 + p^sparsity)``.
    refit : float, default 0.02
        The posterior is brought up to date when this share of rounds is new; 0 for every round.
    random_state : int, RandomState or None, default None

    References
    ----------
    Chakraborty, Roy and Tewari (2023), Thompson sampling for high-dimensional sparse linear
    contextual bandits.

    Examples
    --------
    >>> import numpy as np
    >>> agent = SparseTS(3, random_state=0)
    >>> for _ in range(20):
    ...     agent.update([0.0, 1.0, 0.0], reward=2.0)
    >>> agent.choose(np.eye(3))
    1
    """

    def __init__(
        self, n_features: int, noise: float = 1.0, rate: float = 1.0, sparsity: float = 1.0,
        refit: float = 0.02, random_state: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(n_features, refit, random_state)
        if finite_number(noise, "noise", 0.0) == 0:
            raise ValueError("noise must be > 0, got 0.")
        self.noise = noise
        self.posterior = SpikeSlabPosterior(n_features, rate, sparsity)

    def fit(self) -> None:
        # started from where it was, a posterior that does not move much needs few sweeps
        self.posterior.update(
            self.gram / self.noise**2, self.first / self.noise**2, tol=1e-3, max_iter=10
        )

    def scores(self, contexts: np.ndarray) -> np.ndarray:
        return np.asarray(contexts @ self.posterior.draw(self.rng))


class LassoBandit(_Sparse):
    r"""Greedy on a thresholded lasso: the contexts explore, the lasso finds the support.

    At round t a lasso of strength :math:`\lambda_t = c \sqrt{2 \log(t) \log(p) / t}` is fitted;
    coefficients above :math:`4 \lambda_t` are kept, then those above :math:`4 \lambda_t
    \sqrt{|S|}`, and least squares on them chooses the arm.

    Parameters
    ----------
    n_features : int
    strength : float > 0, default 0.05
        c.
    refit : float, default 0.02
    random_state : int, RandomState or None, default None

    References
    ----------
    Ariu, Abe and Proutiere (2022), Thresholded lasso bandit.
    """

    def __init__(
        self, n_features: int, strength: float = 0.05, refit: float = 0.02, random_state: Any = None
    ) -> None:
        super().__init__(n_features, refit, random_state)
        if finite_number(strength, "strength", 0.0) == 0:
            raise ValueError("strength must be > 0, got 0.")
        self.strength = strength
        self.coef = np.zeros(n_features)
        self._contexts: list[np.ndarray] = []
        self._rewards: list[float] = []

    def learn(self, context: np.ndarray, reward: float) -> None:
        self._contexts.append(context)
        self._rewards.append(reward)
        super().learn(context, reward)

    def fit(self) -> None:
        t, p = self.n_rounds, self.n_features
        alpha = self.strength * float(np.sqrt(2 * np.log(t + 1) * np.log(p + 1) / t))
        model = Lasso(alpha=alpha, fit_intercept=False, tol=1e-4)
        sizes = np.abs(model.fit(np.array(self._contexts), np.array(self._rewards)).coef_)
        kept = sizes > 4 * alpha
        kept = sizes > 4 * alpha * np.sqrt(max(int(kept.sum()), 1))
        self.coef = np.zeros(p)
        if kept.any():
            gram = self.gram[np.ix_(kept, kept)]
            self.coef[kept] = np.linalg.lstsq(gram, self.first[kept], rcond=None)[0]

    def scores(self, contexts: np.ndarray) -> np.ndarray:
        predicted = contexts @ self.coef
        # ties, as before anything is known, are broken at random
        return np.asarray(predicted + 1e-12 * self.rng.random(len(predicted)))


def play(
    agent: Agent,
    rounds: Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]],
    n_rounds: int,
    on_step: Callable[[int, float], None] | None = None,
) -> np.ndarray:
    """(n_rounds,) cumulative regret of an agent.

    Parameters
    ----------
    agent : Agent
    rounds : callable
        ``rounds(t)`` gives contexts (n_arms, p), expected rewards (n_arms,) and the rewards
        (n_arms,) that the arms would pay; the agent sees that of its arm.
    n_rounds : int
    on_step : callable, optional
        Called with the round and the regret so far.
    """
    regret, total = np.zeros(n_rounds), 0.0
    for t in range(n_rounds):
        contexts, expected, rewards = rounds(t)
        arm = agent.choose(contexts)
        agent.update(contexts[arm], float(rewards[arm]))
        total += float(expected.max() - expected[arm])
        regret[t] = total
        if on_step is not None:
            on_step(t, total)
    return regret


def labelled_rounds(X: Any, y: Any, random_state: Any = None) -> Callable:
    """A classification table as a bandit, for :func:`play`: an arm a class, reward 1 when right.

    The context of arm k holds the row of X, and a one, in the k-th of K blocks, so that each class
    has coefficients of its own: contexts are (K, K (p + 1)). Rows come in random order, again and
    again.
    """
    X, (classes, codes) = np.asarray(X, dtype=float), np.unique(y, return_inverse=True)
    X = np.hstack([X, np.ones((len(X), 1))])
    order = check_random_state(random_state).permutation(len(X))

    def rounds(t: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        row = order[t % len(order)]
        right = (np.arange(len(classes)) == codes[row]).astype(float)
        return np.kron(np.eye(len(classes)), X[row]), right, right

    return rounds
