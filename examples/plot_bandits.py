"""
Which arm next? Bandits with long contexts
==========================================

A bandit chooses one of several arms, sees the reward of that arm alone, and has to learn from it.
Its regret is what it lost against always taking the best arm. Where contexts are long and few of
their entries matter, an agent that knows of sparsity explores far less.
"""

# %%
# A sparse problem
# ----------------
# Contexts of 100 normal features, of which three matter; eight arms, 300 rounds, five games.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from gossamer.linear.online import LassoBandit, LinTS, LinUCB, SparseTS, labelled_rounds, play
from gossamer.report import plot_regret


def agents(p, noise, seed):
    return {
        "sparse Thompson": SparseTS(p, noise=noise, refit=0.05, random_state=seed),
        "thresholded lasso": LassoBandit(p, refit=0.05, random_state=seed),
        "LinUCB": LinUCB(p, width=noise, random_state=seed),
        "LinTS": LinTS(p, width=noise, random_state=seed),
    }


def sparse_rounds(seed, p=100, n_arms=8, noise=0.5):
    rng = np.random.default_rng(seed)
    theta = np.zeros(p)
    theta[:3] = 1.0, -1.0, 1.0

    def rounds(t):
        contexts = rng.standard_normal((n_arms, p))
        expected = contexts @ theta
        return contexts, expected, expected + noise * rng.standard_normal(n_arms)

    return rounds


games = {}
for seed in range(5):
    for name, agent in agents(100, 0.5, seed).items():
        games.setdefault(name, []).append(play(agent, sparse_rounds(seed), 300))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_regret(games, best="sparse Thompson", ax=ax)

# %%
# The lasso agent does not explore at all, and need not where contexts are this varied.
#
# A table of labels
# -----------------
# A label is an arm, and the reward is one for the right one. Three digits; nearly every pixel says
# something, and sparsity is the wrong thing to believe: the ridge agents learn faster.
X, y = load_digits(n_class=3, return_X_y=True)
games = {}
for seed in range(3):
    for name, agent in agents(3 * 65, 0.3, seed).items():
        games.setdefault(name, []).append(play(agent, labelled_rounds(X / 16, y, seed), 400))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_regret(games, best="LinUCB", ax=ax)
plt.show()
