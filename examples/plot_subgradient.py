"""
L1 in the loss does not make sparse weights
===========================================

The common way to sparse networks adds the absolute values of the weights to the loss and leaves the
rest to automatic differentiation. It gives no zeros, and more penalty ends in larger weights. The
same optimiser followed by the penalty's prox ends at the exact optimum.
"""

# %%
# One lasso, three ways
# ---------------------
# Salaries of 263 baseball players, 19 features, gradient descent on all data: with the penalty in
# the loss (the subgradient), with :class:`gossamer.nn.Proximal`, and the exact solver.
import matplotlib.pyplot as plt
import numpy as np
import torch
from real_tables import hitters

import gossamer as gs
from gossamer.report.plots.style import BLUE, FAINT, INK, RED, quiet

torch.set_num_threads(1)
table = hitters()
X = table.X
y = (table.y - table.y.mean()) / table.y.std()
inputs, targets = torch.from_numpy(X.copy()), torch.from_numpy(y)[:, None]
strongest = np.abs(X.T @ y).max() / len(y)  # from here on the optimum is zero


def train(strength, exact, optimiser=torch.optim.SGD, lr=0.1, n_steps=1000):
    """The weights after every step."""
    model = torch.nn.Linear(X.shape[1], 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(model.weight)
    descent = optimiser(model.parameters(), lr=lr)
    rules = {"*": gs.L1(strength)}
    if exact:
        gs.nn.Proximal(descent, model, rules)
    path = []
    for _ in range(n_steps):
        descent.zero_grad()
        loss = 0.5 * torch.nn.functional.mse_loss(model(inputs), targets)
        if not exact:
            loss = loss + gs.nn.subgradient_penalty(model, rules)
        loss.backward()
        descent.step()
        path.append(model.weight.detach().numpy().ravel().copy())
    return np.array(path)


strength = 0.1 * strongest
best = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(strength), fit_intercept=False).solve(tol=1e-9)
paths = {exact: train(strength, exact) for exact in (False, True)}
for exact, path in paths.items():
    name = "proximal" if exact else "subgradient"
    print(f"{name:>11}: {(path[-1] == 0).sum():2d} zeros of {len(path[-1])}")
print(f"      exact: {(best.coef == 0).sum():2d} zeros")

# %%
# Where the optimum is zero the subgradient only changes sign: at zero, automatic differentiation
# says 0, and next to it plus or minus the strength, so that each step jumps across.
idle = int(np.flatnonzero(best.coef == 0)[0])
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
steps = np.arange(40)
ax.plot(steps, paths[False][-40:, idle], color=RED, lw=1, marker=".", label="subgradient")
ax.plot(steps, paths[True][-40:, idle], color=BLUE, label="proximal")
quiet(ax).set(xlabel="last 40 steps", ylabel="weight", title="a weight whose optimum is 0")
ax.legend(frameon=False, fontsize=8)

# %%
# More penalty, larger weights
# ----------------------------
# A weight that hovers is of the order of ``lr * strength / 2`` away from zero, and so is every
# weight once the strength exceeds what makes the optimum zero. From there the L1 norm *grows* in
# proportion to the strength, to the learning rate, and to the number of weights. (Norms of zero are
# drawn at the bottom.)
strengths = strongest * np.geomspace(0.01, 100, 9)
norms = {
    "subgradient, lr 0.1": [np.abs(train(s, False)[-1]).sum() for s in strengths],
    "subgradient, lr 0.01": [np.abs(train(s, False, lr=0.01)[-1]).sum() for s in strengths],
    "proximal, lr 0.1": [np.abs(train(s, True)[-1]).sum() for s in strengths],
}
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for colour, style, (name, values) in zip(
    (RED, RED, BLUE), ("-", "--", "-"), norms.items(), strict=True
):
    ax.loglog(strengths / strongest, np.maximum(values, 1e-4), style, color=colour, label=name)
at = np.searchsorted(strengths, 0.999 * strongest)
for name, values in norms.items():
    print(f"{name:>20}: norm {values[at]:.2f} where all should be zero, {values[-1]:.2f} at 100x")
ax.axvline(1.0, color=FAINT, lw=1, zorder=1)
quiet(ax).set(
    xlabel="strength, as a share of the one that makes all zero",
    ylabel="L1 norm of the weights",
    title="more penalty, larger weights",
)
ax.legend(frameon=False, fontsize=8)

# %%
# Adaptive optimisers do not help
# -------------------------------
# Adam moves a hovering weight by about its learning rate, however small the strength. The sizes
# fall off without a floor, so that the sparsity of the result is whatever the cut says: here
# between 0 and 13 zeros. A rate that decays brings them closer to zero, and none arrives.
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
order = np.arange(1, X.shape[1] + 1)
for name, colour, exact, optimiser, lr in [
    ("subgradient, SGD", RED, False, torch.optim.SGD, 0.05),
    ("subgradient, Adam", INK, False, torch.optim.Adam, 0.01),
    ("proximal, Adam", BLUE, True, torch.optim.Adam, 0.01),
]:
    sizes = np.sort(np.abs(train(strength, exact, optimiser, lr)[-1]))[::-1]
    ax.semilogy(order, np.maximum(sizes, 1e-6), ".-", color=colour, label=name)
ax.axvline((best.coef != 0).sum() + 0.5, color=FAINT, lw=1, zorder=1)
quiet(ax).set(
    xlabel="weights, largest first (line: those of the optimum)",
    ylabel="size (zeros at the bottom)",
)
ax.legend(frameon=False, fontsize=8)
