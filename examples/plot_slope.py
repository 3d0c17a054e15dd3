"""
SLOPE: features that say the same get one coefficient
=====================================================

Neighbouring wavelengths of a spectrum are almost copies. The lasso picks some of them; SLOPE, whose
strengths fall with the rank of a coefficient, ties those that say the same to one size.
"""

# %%
# The same share of the largest strength
# --------------------------------------
import matplotlib.pyplot as plt
import numpy as np
from real_tables import meats

import gossamer as gs

table = meats()
X, y = table.X, table.y
penalties = {
    "lasso": gs.L1(1.0),
    "SLOPE, linear strengths": gs.SLOPE(np.linspace(1.0, 0.05, X.shape[1])),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for ax, (name, penalty) in zip(axes, penalties.items(), strict=True):
    problem = gs.Problem(X, y, gs.losses.Quadratic(), penalty, standardise=True)
    penalty = penalty.with_strength(0.05 * problem.strength_max())
    result = problem.with_penalty(penalty).solve(tol=1e-8)
    coef = result.coef * X.std(axis=0)
    sizes = np.unique(np.abs(coef[coef != 0]).round(8))
    print(f"{name}: {np.count_nonzero(coef)} wavelengths of {len(sizes)} sizes, "
          f"gap {result.certificate.value:.0e}")  # fmt: skip
    ax.stem(coef, basefmt=" ", markerfmt=".")
    ax.set(title=name, xlabel="channel")
axes[0].set_ylabel("standardised coefficient")
plt.show()
