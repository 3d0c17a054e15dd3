"""
The lasso's bias, and penalties without it
==========================================

The lasso shrinks everything it keeps, however large; to predict well it then keeps features that
do not matter. Concave penalties stop shrinking large coefficients. The price: the problem is no
longer convex, and the certificate says so.
"""

# %%
# Data whose truth is known
# -------------------------
import matplotlib.pyplot as plt
import numpy as np

import gossamer as gs
from gossamer.report.plots.style import BLUE, INK, RED, quiet

rng = np.random.default_rng(3)
n, p = 150, 400
X = rng.standard_normal((n, p))
truth = np.zeros(p)
truth[:8] = [4, -3.5, 3, -2.5, 2, -1.5, 1, -0.8]
y = X @ truth + rng.standard_normal(n)

models = {
    "lasso": gs.LassoCV(n_alphas=60),
    "MCP": gs.MCPRegressorCV(n_alphas=60),
    "SCAD": gs.SCADRegressorCV(n_alphas=60),
}
for name, model in models.items():
    model.fit(X, y)
    found = np.flatnonzero(model.coef_)
    print(
        f"{name:>5}: {len(found):2d} features, {np.sum(found < 8)} of the 8 true ones, "
        f"error {np.linalg.norm(model.coef_ - truth):.2f}, {model.certificate_.kind} optimum"
    )

# %%
# The true coefficients and what each model makes of them
# -------------------------------------------------------
# Cross-validation picks a weak lasso, which brings in dozens of features by chance; MCP can afford
# a strength that keeps them out.
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
for ax, name, colour in zip(axes, ("lasso", "MCP"), (RED, BLUE), strict=True):
    quiet(ax)
    shown = np.arange(60)
    ax.vlines(shown, 0, models[name].coef_[:60], color=colour, lw=2)
    ax.plot(shown[:8], truth[:8], "_", color=INK, ms=9, mew=1.6)
    ax.set_title(f"{name}: {(models[name].coef_ != 0).sum()} of {p} features", fontsize=9)
    ax.set_xlabel("feature (first 60); marks are the truth")
axes[0].set_ylabel("coefficient")

# %%
# The largest coefficient along the path
# --------------------------------------
# MCP reaches the truth as soon as the coefficient is past ``gamma`` times the strength.
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
quiet(ax)
for name, colour in (("lasso", RED), ("MCP", BLUE)):
    path = models[name].path_
    ax.semilogx(path.alphas, path.coefs[:, 0], color=colour, label=name)
ax.axhline(truth[0], color=INK, lw=0.9, label="truth")
ax.invert_xaxis()
ax.set(xlabel="strength α (log scale)", ylabel="first coefficient")
ax.legend(frameon=False)
