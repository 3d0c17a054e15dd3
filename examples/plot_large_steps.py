"""
Large steps make sparse weights
===============================

No penalty, no small start: a diagonal network trained with single samples ends the sparser, the
larger its first steps were. Andriushchenko and others (2023) show it for deep networks too.
"""

# %%
# A hundred coefficients, three of them not zero
# ----------------------------------------------
# There are 40 samples for 100 coefficients, so infinitely many fit without error. The network's
# coefficients are products ``u * v``. It starts at ``u = 0.5, v = 0``: small steps from there lead
# to a dense fit. The steps of each run grow to their full size during the first 40 % of the time,
# stay there until 80 %, and are small at the end.
import matplotlib.pyplot as plt
import numpy as np

from gossamer.nn import diagonal_sgd
from gossamer.report.plots.style import FAINT, MUTED, PALETTE, quiet

n, p, k = 40, 100, 3
truth = np.zeros(p)
truth[:k] = 1.0
step_sizes = [0.01, 0.05, 0.1, 0.12, 0.14, 0.16]


def train(seed):
    X = np.random.default_rng(seed).standard_normal((n, p))
    return diagonal_sgd(X, X @ truth, step_sizes, n_steps=80_000)


paths = [train(seed) for seed in range(8)]
coefs = np.stack([path.coef for path in paths])  # (seeds, step sizes, p)
nonzero = (np.abs(coefs) > 0.01).sum(axis=2)
error = ((coefs - truth) ** 2).sum(axis=2)
for j, step in enumerate(step_sizes):
    print(
        f"step {step:.2f}: loss {paths[0].losses[-1, j]:.0e}, "
        f"{np.median(nonzero[:, j]):.0f} coefficients above 0.01, "
        f"squared error {np.median(error[:, j]):.3f}"
    )

# %%
# All runs fit the data in the end. Those with large steps got there another way: wherever the loss
# is too curved for their step size they are thrown out again, and each time the coefficients that
# the fit does not need shrink.
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.4), layout="constrained")
for colour, j in zip(PALETTE, [0, 2, 5], strict=False):
    label = f"step {step_sizes[j]:g}"
    left.plot(paths[0].steps, np.maximum(paths[0].losses[:, j], 1e-20), color=colour, label=label)
    right.plot(
        paths[0].steps, (np.abs(paths[0].coefs[:, j]) > 0.01).sum(axis=1), color=colour, label=label
    )
for ax in (left, right):
    ax.axvline(0.8 * paths[0].steps[-1], color=FAINT, lw=1, zorder=1)
left.set_yscale("log")
quiet(left).set(xlabel="steps", ylabel="loss on all samples", title="large steps are thrown out")
quiet(right).set(xlabel="steps", title="coefficients above 0.01", ylim=(0, None))
right.axhline(k, color=MUTED, lw=1, ls=":")
left.legend(frameon=False, fontsize=8)

# %%
# Sparsity grows with the step size
# ---------------------------------
# Dots are data sets, lines their medians; the dotted line is the truth. The bias is strongest just
# before the step size at which descent diverges, about 0.2 here.
figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.2), layout="constrained")
for ax, values, title in (
    (left, nonzero, "coefficients above 0.01"),
    (right, error, "squared error of the coefficients"),
):
    ax.plot(step_sizes, values.T, ".", color=FAINT, ms=5)
    ax.plot(step_sizes, np.median(values, axis=0), color=PALETTE[0])
    quiet(ax).set(xlabel="size of the first steps", title=title, ylim=(0, None))
left.axhline(k, color=MUTED, lw=1, ls=":")
