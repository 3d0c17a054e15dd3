"""
How fat, and how sure: quantiles of meat
========================================

A spectrometer reads 100 wavelengths of a slice of meat; fat is what the butcher asks for. Quantiles
say between which values it lies, each with its own few wavelengths.
"""

# %%
# A fan of quantiles
# ------------------
# Every level is a model of its own, with a strength chosen by cross-validation. The median serves
# as the prediction, the outer levels as a range that should hold eight samples of ten.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import meats

import gossamer as gs

table = meats()
held_out = np.arange(len(table.y)) % 4 == 0
X, y = table.X[~held_out], table.y[~held_out]
levels = (0.1, 0.3, 0.5, 0.7, 0.9)
fan = {}
for level in levels:
    fan[level] = gs.SparseQuantileCV(level=level, cv=4, n_alphas=15, tol=1e-4).fit(X, y)
    chosen = np.count_nonzero(fan[level].coef_)
    print(
        f"level {level}: {chosen:3d} wavelengths, certificate {fan[level].certificate_.value:.0e}"
    )

unseen, truth = table.X[held_out], table.y[held_out]
low, median, high = (fan[level].predict(unseen) for level in (0.1, 0.5, 0.9))
print(f"{np.mean((low <= truth) & (truth <= high)):.0%} of unseen slices lie in the range")

order = np.argsort(median)
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
place = np.arange(len(order))
ax.fill_between(place, low[order], high[order], alpha=0.25, lw=0, label="levels 0.1 to 0.9")
inner = (fan[level].predict(unseen)[order] for level in (0.3, 0.7))
ax.fill_between(place, *inner, alpha=0.4, color="C0", lw=0, label="0.3 to 0.7")
ax.plot(place, median[order], label="median")
ax.plot(place, truth[order], "k.", markersize=4, label="measured")
ax.set(xlabel="unseen slices, by predicted fat", ylabel="fat, %")
ax.legend(frameon=False)

# %%
# A noise level nobody knows
# --------------------------
# Spoil a tenth of the labels. Least squares follows them; so does the square-root lasso, whose
# strength needs no noise level but whose errors are squared all the same, and which selects less.
# The median stays where it is.
rng = np.random.default_rng(0)
spoilt = y.copy()
wrong = rng.choice(len(y), len(y) // 10, replace=False)
spoilt[wrong] += 200
models = {
    "least squares": gs.LassoCV(cv=4, n_alphas=15),
    "square root": gs.SquareRootLasso(),
    "median": gs.SparseQuantileCV(cv=4, n_alphas=15, tol=1e-4),
}
for name, model in models.items():
    errors = [np.median(np.abs(model.fit(X, t).predict(unseen) - truth)) for t in (y, spoilt)]
    print(f"{name:14s} typical error {errors[0]:.1f} % fat, with spoilt labels {errors[1]:.1f} %")
