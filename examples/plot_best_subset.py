"""
Best subsets: fat of meat from a few wavelengths
================================================

The fat of 215 samples of meat is to be told from 100 near-infrared absorbances, neighbours of which
are correlated by 0.99 and more. An instrument that measures few wavelengths is cheap: which ones?
"""

# %%
# The number of wavelengths
# -------------------------
# :class:`~gossamer.linear.BestSubsetCV` finds the best subset of every size, each started from the
# one before, and judges them by cross-validation. The lasso's path is judged by the same folds.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import meats
from sklearn.model_selection import KFold

import gossamer as gs

table = meats()
folds = KFold(10, shuffle=True, random_state=0)
subset = gs.BestSubsetCV(max_nonzero=12, selection="1se", cv=folds).fit(table.X, table.y)
lasso = gs.LassoCV(alpha_min_ratio=1e-5, n_alphas=60, cv=folds, tol=1e-5, selection="1se")
lasso.fit(table.X, table.y)


def rmse(model):
    """Held-out root mean square errors along the path: the loss is half the square."""
    return np.sqrt(2 * model.cv_results_.mean)


figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
used = subset.path_.n_nonzero
ax.plot(used, rmse(subset), "o-", color="#0072b2")
ax.text(12, 0.93 * rmse(subset)[-1], "best subsets", color="#0072b2", va="top", ha="right")
ax.plot(lasso.path_.n_nonzero, rmse(lasso), ".", color="#d55e00")
ax.text(lasso.path_.n_nonzero.max(), rmse(lasso)[-1] * 1.12, "lasso", color="#d55e00", ha="right")
ax.plot(subset.n_nonzero_, rmse(subset)[subset.cv_results_.index], "o", ms=12, mfc="none", c="k")
ax.set(yscale="log", xlabel="wavelengths in use", ylabel="held-out error, % fat")
ax.set_yticks([2, 3, 5, 10], ["2", "3", "5", "10"])
ax.set_yticks([], minor=True)
for name, model in (("best subset", subset), ("lasso", lasso)):
    error = rmse(model)[model.cv_results_.index]
    print(f"{name}: {np.count_nonzero(model.coef_)} wavelengths, held-out error {error:.2f} % fat")

# %%
# Where they are
# --------------
# Least squares on neighbours that are nearly equal works by differences: the subset holds pairs of
# opposite sign, which measure the slope of the spectrum. The certificate says that no exchange of
# one wavelength for another, all coefficients fitted anew, lowers the error.
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.stem(np.arange(100), subset.coef_, basefmt=" ", markerfmt=" ", linefmt="#0072b2")
ax.axhline(0, color="0.7", lw=0.8)
ax.set(xlabel="wavelength, in steps of 2 nm from 850 nm", ylabel="coefficient")
print(subset.certificate_.kind, np.flatnonzero(subset.coef_))
