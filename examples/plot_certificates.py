"""
Certificates, and how solvers get there
=======================================

A certificate needs the data and the coefficients only. So it judges every solver by the same
measure, also coefficients that come from elsewhere.
"""

# %%
# Three solvers on one problem
# ----------------------------
# A gene's activity explained by 6829 others, in 61 tumours. ``solver="auto"`` takes the first
# solver that does not refuse the problem.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import nci60
from sklearn.linear_model import Lasso

import gossamer as gs
from gossamer.report.plots.style import INK, PALETTE, quiet

genes = nci60().X
X, y = genes[:, 1:], genes[:, 0]
problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(1.0))
problem = problem.with_penalty(gs.L1(0.1 * problem.strength_max()))

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
quiet(ax)
for colour, solver in zip(
    PALETTE, ("ActiveSetNewton", "CoordinateDescent", "ProximalGradient"), strict=False
):
    result = problem.solve(solver, tol=1e-9)
    seconds, values = np.array(result.history).T
    ax.loglog(1000 * seconds + 0.1, np.maximum(values, 1e-17), ".-", color=colour, label=solver)
    print(f"{solver:>17}: {result.certificate.value:.1e}, {len(result.certificate.support)} genes")
ax.axhline(1e-9, color=INK, lw=0.9)
ax.set(xlabel="milliseconds (log scale)", ylabel="relative duality gap")
ax.legend(frameon=False)

# %%
# Coefficients from elsewhere
# ---------------------------
# scikit-learn minimises the same function. Its tolerance is one of its own; the certificate
# translates it.
for tol in (1e-2, 1e-4, 1e-6):
    other = Lasso(alpha=problem.penalty.strength, tol=tol).fit(X, y)
    certificate = problem.certificate(other.coef_, other.intercept_)
    print(f"scikit-learn, tol={tol:.0e}: certificate {certificate.value:.1e}")

# %%
# What is proven without convexity
# --------------------------------
# MCP has no duality gap. The certificate measures the optimality conditions instead and names the
# kind of point; here no single coefficient can be changed to advantage.
problem = problem.with_penalty(gs.MCP(problem.penalty.strength))
certificate = problem.solve().certificate
print(f"{certificate.kind}: violation {certificate.value:.1e}, gap {certificate.gap}")

# %%
# A fit that did not get there says so
# ------------------------------------
import warnings

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result = problem.solve("ProximalGradient", max_iter=2)
print(result.status.name, result.certificate.holds)
print(caught[0].message)
