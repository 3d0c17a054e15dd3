"""
Proven rates and measured gaps
==============================

Eight textbook methods on sparse problems with a budget of size, each beside the bound that theory
proves for it (Bubeck 2015). A bound holds for the worst problem of its kind; an ordinary one is
solved faster.
"""

# %%
# One table, eight methods
# ------------------------
# 80 samples of 12 features, three of which matter; the ellipsoid method sees the first five
# features, mirror prox judges by absolute deviations. Frank and Wolfe's method zigzags where the
# optimum lies on a face; steps away from atoms cure that, and their bound, which is linear, sets in
# late. Mirror descent spends a step that was made for all its iterations. Kelley's cutting planes
# and the level method know a lower bound of the optimum: dotted, the objective less that.
import matplotlib.pyplot as plt
import numpy as np

import gossamer as gs
from gossamer.report.plots.style import MUTED, PALETTE, quiet
from gossamer.solvers import catalogue

rng = np.random.default_rng(0)
X = rng.standard_normal((80, 12))
y = X[:, :3] @ [2.0, -1.5, 1.0] + rng.standard_normal(80)
squares, absolute = gs.losses.Quadratic(), gs.losses.LeastAbsolute()
problem = gs.Problem(X, y, squares, gs.L1Ball(2.0))
few = gs.Problem(X[:, :5], y, squares, gs.L1Ball(2.0))
robust = gs.Problem(X, y, absolute, gs.L1Ball(2.0), fit_intercept=False)

methods = {
    "fista": (problem, 400),
    "mirror_descent": (problem, 2000),
    "frank_wolfe": (problem, 2000),
    "away_steps": (problem, 400),
    "mirror_prox": (robust, 4000),
    "ellipsoid": (few, 700),
    "kelley": (problem, 60),
    "level": (problem, 60),
}
figure, axes = plt.subplots(2, 4, figsize=(11, 5), layout="constrained", sharey=True)
for ax, (name, (case, n_iter)) in zip(axes.ravel(), methods.items(), strict=True):
    trace = getattr(catalogue, name)(case, n_iter)
    # what mirror prox comes down to in many more iterations stands in for its optimum
    least = (
        catalogue.mirror_prox(case, 60_000).objective.min()
        if name == "mirror_prox"
        else case.solve(tol=1e-13).certificate.objective
    )
    gap = trace.objective - least
    print(f"{name:15} gap {gap[-1]:.1e}, proven {trace.bound[-1]:.1e}")
    quiet(ax)
    t = np.arange(1, n_iter + 1)
    ax.plot(t, trace.bound, color=MUTED, lw=1.2, ls="--", label="proven")
    ax.plot(t, np.maximum(gap, 1e-12), color=PALETTE[0], lw=1.5, label="measured")
    if trace.lower is not None:
        own = np.maximum(trace.objective - trace.lower, 1e-12)
        ax.plot(t, own, color=PALETTE[1], lw=1.5, ls=":", label="certified")
    ax.set_yscale("log")
    if name not in ("away_steps", "ellipsoid", "kelley", "level"):
        ax.set_xscale("log")
    ax.set_title(name.replace("_", " "), fontsize=9)
    ax.set_ylim(1e-12, 1e4)
    ax.set_xlabel("iterations")
axes[0, 0].set_ylabel("objective less the optimum")
axes[1, 0].set_ylabel("objective less the optimum")
axes[0, 0].legend(frameon=False, fontsize=8)
axes[1, 3].legend(frameon=False, fontsize=8)

# %%
# Cutting planes and dimension
# ----------------------------
# The level method's bound knows no dimension, Kelley's does. Where the ball binds they hardly
# differ; where it is twice as wide as the optimum, Kelley's next point is far from the last, and
# takes the more steps to a certified gap of 1e-3 the more features there are.
features = [4, 6, 8, 12, 16]
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained", sharey=True)
for ax, radius in zip(axes, (2.0, 9.0), strict=True):
    for colour, name in zip(PALETTE, ("kelley", "level"), strict=False):
        steps = []
        for p in features:
            X = np.random.default_rng(0).standard_normal((80, p))
            y = X[:, :3] @ [2.0, -1.5, 1.0] + np.random.default_rng(1).standard_normal(80)
            trace = getattr(catalogue, name)(gs.Problem(X, y, squares, gs.L1Ball(radius)), 400)
            gap = (trace.objective - trace.lower) / trace.objective[0]
            steps.append(int((gap <= 1e-3).argmax()) + 1)
        print(f"radius {radius}, {name:6}: {steps}")
        ax.plot(features, steps, color=colour, marker="o", ms=4, lw=1.5, label=name)
    quiet(ax)
    ax.set_yscale("log")
    ax.set_title(f"radius {radius:g}", fontsize=9)
    ax.set_xlabel("features")
axes[0].set_ylabel("steps to a gap of 1e-3")
axes[0].legend(frameon=False, fontsize=8)
