"""
A penalised gradient finds sparser weights
==========================================

A penalty on the size of the loss's gradient, taken by finite differences, moves a diagonal network
from the kernel regime towards the rich regime, where its fit is sparse. Karakida and others (2023).
"""

# %%
# Fifty samples, a hundred coefficients
# -------------------------------------
# Five coefficients are one, all others zero, and the columns share a large mean. The network
# ``u * v`` starts at ``u = 0.3, v = 0``: plain gradient descent from there fits with most
# coefficients. :class:`gossamer.nn.GradientRegularisation` replaces ``loss.backward()``.
#
# The shared mean is what lets the penalty work: it makes the first gradients large in every
# coordinate. With columns of mean zero the effect is slight, and can go the other way.
import matplotlib.pyplot as plt
import numpy as np
import torch

from gossamer.nn import DiagonalLinear, GradientRegularisation
from gossamer.report.plots.style import FAINT, PALETTE, quiet

torch.set_num_threads(1)
n, p, k = 50, 100, 5
rng = np.random.default_rng(0)
X = torch.from_numpy(5.0 + np.sqrt(5.0) * rng.standard_normal((n, p)))
truth = torch.zeros(p, dtype=torch.float64)
truth[:k] = 1.0
y = X @ truth


def train(strength, epsilon=0.01, n_steps=4000):
    model = DiagonalLinear(p, scale=0.3).double()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    regularised = GradientRegularisation(model, strength, epsilon)
    for _ in range(n_steps):
        optimiser.zero_grad()
        regularised.backward(lambda: (model(X) - y).square().mean() / 2)
        optimiser.step()
    return model.coef


# %%
# Ascent strengthens the bias, descent undoes it
# ----------------------------------------------
# The difference of gradients may look ahead along the gradient (``epsilon > 0``) or back
# (``epsilon < 0``). Both are the same regulariser when epsilon goes to zero, yet they end at
# different weights.
plain = train(0.0)
coefs = {
    name: {0.0: plain, **{strength: train(strength, epsilon) for strength in strengths}}
    for name, epsilon, strengths in (
        ("ascent", 0.01, [0.002, 0.004, 0.006, 0.008]),
        ("nearly exact", 1e-6, [0.004, 0.008]),
        ("descent", -0.01, [0.002, 0.004]),  # with larger strengths it diverges
    )
}

figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.3), layout="constrained")
for colour, (name, runs) in zip(PALETTE, coefs.items(), strict=False):
    error = [float((coef - truth).square().sum()) for coef in runs.values()]
    nonzero = [int((coef.abs() > 0.01).sum()) for coef in runs.values()]
    print(f"{name:>12}: squared error", ", ".join(f"{value:.3f}" for value in error))
    left.plot(list(runs), error, "o-", color=colour, label=name)
    right.plot(list(runs), nonzero, "o-", color=colour)
quiet(left).set(xlabel="strength", title="squared error of the coefficients", ylim=(0, None))
quiet(right).set(xlabel="strength", title="coefficients above 0.01", ylim=(0, None))
right.axhline(k, color=FAINT, lw=1)
left.legend(frameon=False, fontsize=8)

# %%
# The coefficients
# ----------------
# Stems are coefficients, the five on the left being those that are one in truth.
figure, axes = plt.subplots(1, 2, figsize=(8.6, 2.8), sharey=True, layout="constrained")
for ax, strength in zip(axes, (0.0, 0.008), strict=True):
    ax.vlines(range(p), 0, coefs["ascent"][strength], color=PALETTE[0], lw=1.2)
    quiet(ax).set(xlabel="coefficient", title=f"ascent, strength {strength:g}")
axes[0].set_title("plain gradient descent")
