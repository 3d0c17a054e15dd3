"""
Lasso on spectra: how fat is the meat?
======================================

An infrared spectrometer measures how much light 215 samples of meat absorb at 100 wavelengths; a
chemist measured their fat. Neighbouring wavelengths are almost copies of each other (correlations
of 0.99), which makes the optimum hard to find. The certificate shows that it was found.
"""

# %%
# The table, and a path of lasso models
# -------------------------------------
# Every model of the path starts from the one before.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import meats

import gossamer as gs
from gossamer.report import plot_cv, plot_path

table = meats()
model = gs.LassoCV(cv=10, standardise=True, alpha_min_ratio=1e-4).fit(table.X, table.y)

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
scale = table.X.std(axis=0)  # coefficients of standardised columns can be compared
plot_path(
    model.path_.alphas,
    model.path_.coefs * scale,
    [f"channel {j}" for j in range(100)],
    selected=model.cv_results_.index,
    n_labels=8,
    ax=ax,
)

# %%
# The strength that predicts best
# -------------------------------
# Cross-validation judges each strength by samples that were held out.
figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
result = model.cv_results_
plot_cv(
    result.alphas,
    result.mean,
    result.se,
    minimum=result.index_min,
    selected=result.index,
    score_name=result.score_name,
    ax=ax,
)
print(f"{(model.coef_ != 0).sum()} of 100 wavelengths, R2 {model.score(table.X, table.y):.3f}")

# %%
# All of these are optima
# -----------------------
# The largest relative duality gap of the path's models:
print(f"{max(certificate.value for certificate in model.path_.certificates):.1e}")
print("all hold:", all(certificate.holds for certificate in model.path_.certificates))

# %%
# The smaller the strength, the more wavelengths. The one-standard-error rule takes the sparsest
# model that predicts as well as the best one, as far as ten folds can tell.
# ``LassoCV(selection="1se")`` applies it at once.
sparser = model.path_.coefs[result.index_1se]
print(f"{(sparser != 0).sum()} wavelengths: {np.flatnonzero(sparser)}")
