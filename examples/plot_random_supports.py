"""
Bad designs, random supports
============================

Columns that nearly repeat each other, by families and at several scales, defeat the lasso and
matching pursuit. When the support is random, a few columns taken at random show what columns have
in common; beside these the others make a well conditioned design (after Chandrasekaran, Meka and
Stavropoulos 2025, whose own preconditioner is another).
"""

# %%
# Four methods, more and more samples
# -----------------------------------
# 240 columns in four families, whose members differ by 1, 0.1, 0.01 and 0.001 of what they share;
# six of them matter. Strengths and numbers of features are chosen on as many new samples. The
# lasso has one strength for all families. Matching pursuit spends its features on what the columns
# share. A lasso beside random columns needs half of the lasso's samples; splicing, which exchanges
# columns and refits all others, needs fewer still, without a guarantee.
import matplotlib.pyplot as plt
import numpy as np
from random_supports import NOISE, errors

from gossamer.report.plots.style import MUTED, PALETTE, quiet

sizes = (40, 60, 80, 120)
found = {name: np.median(error, axis=1) for name, error in errors(sizes, seeds=7).items()}
for name, error in found.items():
    print(f"{name:>21}", np.round(error, 4))

figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
quiet(ax)
for (name, error), colour in zip(found.items(), PALETTE, strict=False):
    ax.loglog(sizes, error, color=colour, marker="o", ms=4)
    above = 3 if name == "lasso" else -2
    ax.annotate(name, (sizes[-1], error[-1]), xytext=(6, above), textcoords="offset points",
                va="center", color=colour, fontsize=8)  # fmt: skip
ax.axhline(NOISE**2, color=MUTED, lw=0.9, ls=":")
ax.annotate("noise", (sizes[0], NOISE**2), xytext=(0, 3), textcoords="offset points",
            color=MUTED, fontsize=8)  # fmt: skip
ax.set_xticks(sizes, [str(n) for n in sizes])
ax.minorticks_off()
ax.set_xlim(sizes[0] * 0.95, sizes[-1] * 1.6)
ax.set(xlabel="samples", ylabel="error of the prediction (log scale)")
