"""
Rank by rank
============

Gradient descent on a factored matrix, from a tiny start, learns one singular value after the
other: a low rank comes from the order of learning, without a penalty. Jin and others (2023).
"""

# %%
# A matrix of rank 3 from 400 numbers
# -----------------------------------
# Each measurement is the inner product of the unknown 20 x 20 matrix with a random symmetric one.
# The estimate is ``U U'`` with a square ``U``: any rank would be possible.
import matplotlib.pyplot as plt
import numpy as np

from gossamer.nn import sensing_descent
from gossamer.report.plots.style import FAINT, PALETTE, quiet

d, m = 20, 400
true_values = np.array([1.0, 0.6, 0.3])
rng = np.random.default_rng(0)
basis = np.linalg.qr(rng.standard_normal((d, 3)))[0]
target = (basis * true_values) @ basis.T
measurements = rng.standard_normal((m, d, d))
measurements = (measurements + measurements.transpose(0, 2, 1)) / 2
y = np.einsum("mij,ij->m", measurements, target)
direction = rng.standard_normal((d, d)) / np.sqrt(d)

paths = {
    size: sensing_descent(measurements, y, size * direction, n_steps=1000)
    for size in (1e-1, 1e-2, 1e-4, 1e-6)
}

# %%
# With a start of size 0.1 everything grows at once. With a start of a millionth, the second
# singular value is still zero when the first is learned, and so on: the time of each grows with
# the logarithm of the start.
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), sharey=True, layout="constrained")
for ax, (size, path) in zip(axes, paths.items(), strict=True):
    for value in true_values:
        ax.axhline(value, color=FAINT, lw=1, zorder=1)
    for i, colour in enumerate(PALETTE[:5]):
        ax.plot(path.steps, path.singular_values[:, i], color=colour)
    quiet(ax).set(xlabel="steps", title=f"start {size:g}")
axes[0].set_ylabel("singular values of the estimate")

# %%
# Each stage is a best fit of its rank
# ------------------------------------
# The best fit of rank 1 or 2 to the measurements is not a part of the truth's decomposition, but
# an optimum of its own; descent on a narrow ``U`` finds it. The path of the full-width descent
# passes it at a distance that falls with the size of the start.
lead = np.einsum("m,mij->ij", y, measurements) / m
values, vectors = np.linalg.eigh(lead)
gaps = {}
for rank in (1, 2):
    start = vectors[:, -rank:] * np.sqrt(values[-rank:])
    best = sensing_descent(measurements, y, start, n_steps=3000, n_records=2).matrix
    gaps[rank] = [path.distances(best).min() for path in paths.values()]
    print(f"rank {rank}: closest approach", ", ".join(f"{gap:.4f}" for gap in gaps[rank]))

figure, ax = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
for colour, (rank, gap) in zip(PALETTE, gaps.items(), strict=False):
    ax.loglog(list(paths), gap, "o-", color=colour, label=f"rank {rank}")
quiet(ax).set(xlabel="size of the start", ylabel="closest approach to the best fit of its rank")
ax.legend(frameon=False, fontsize=8)
