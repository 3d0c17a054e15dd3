"""
Curves on a real table: what makes a house dear?
================================================

2930 houses were sold in Ames, Iowa. An additive model gives each of 33 numbers of a house a curve,
if it deserves one: the price rises with the living area, but not along a line.
"""

# %%
# A sparse additive model
# -----------------------
# The MCP keeps few curves and does not shrink them. Prices are in powers of ten.
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from real_tables import ames_numbers

import gossamer as gs
from gossamer.report import plot_effects

table = ames_numbers()
X = pd.DataFrame(table.X, columns=table.features)
order = np.random.default_rng(0).permutation(len(X))
train, test = order[:2000], order[2000:]
model = gs.SparseAdditiveCV(penalty="mcp", selection="1se", n_alphas=40)
model.fit(X.iloc[train], table.y[train])
n_curves = sum(kind != "absent" for kind in model.term_kinds_)
print(f"{n_curves} curves, R2 of other houses {model.score(X.iloc[test], table.y[test]):.3f}")

lasso = gs.LassoCV(standardise=True, selection="1se").fit(X.iloc[train], table.y[train])
print(f"{(lasso.coef_ != 0).sum()} lines, R2 {lasso.score(X.iloc[test], table.y[test]):.3f}")

# %%
# The curves
# ----------
# On one scale, those that reach farthest first; ticks at the foot are houses.
figure = plt.figure(figsize=(8, 4.5), layout="constrained")
plot_effects(model, X.iloc[train], top=8, figure=figure)

# %%
# What must rise may be asked to
# ------------------------------
# More living area does not make a house cheaper. I-splines with coefficients of zero and above rise
# everywhere; dashed are the curves from above.
rising = {"Gr_Liv_Area": "increasing", "Year_Built": "increasing"}
monotone = gs.SparseAdditiveCV(penalty="mcp", monotone=rising, selection="1se", n_alphas=40)
monotone.fit(X.iloc[train], table.y[train])
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), layout="constrained", sharey=True)
for ax, name in zip(axes, rising, strict=True):
    for fitted, style in ((model, "--"), (monotone, "-")):
        curve = next(curve for curve in fitted.shape_functions() if curve.name == name)
        ax.plot(curve.x, curve.y, style, color="#0072b2")
    ax.set_title(name)
print(f"R2 of the monotone model {monotone.score(X.iloc[test], table.y[test]):.3f}")
