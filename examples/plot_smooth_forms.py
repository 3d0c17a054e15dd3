"""
Smooth forms
============

A non-smooth penalty is the least of a smooth one over all factors of the weight: this is what
lets any gradient method train sparse models. What factors do on the way, in three pictures.
"""

# %%
# One weight, two factors
# -----------------------
# The lasso's :math:`s |w|` is the minimum of :math:`\frac{s}{2} (u^2 + v^2)` over all
# :math:`u v = w`. The factors of one weight lie on a hyperbola, and the circle that touches it
# does so at the balanced ones. We want to get from :math:`w = -1` to the minimum of
# :math:`\frac{1}{2} (w - 2)^2 + s |w|`, by gradient flow. From balanced factors the path runs into
# the origin, a saddle, and stays there. From a start out of balance it goes round.
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp
from sklearn.datasets import load_diabetes

import gossamer as gs
from gossamer.report.plots.style import BLUE, FAINT, MUTED, RED, quiet

strength, target = 0.4, 2.0
form = gs.L1(strength).factorise((1,))


def flow(factors, time=12.0):
    def velocity(_, x):
        u, v = x
        pull = u * v - target
        return [-v * pull - strength * u, -u * pull - strength * v]

    return solve_ivp(velocity, (0, time), np.ravel(factors), max_step=0.02, rtol=1e-9, atol=1e-12)


w = np.array([-1.0])
paths = {"balanced": flow(form.balanced(w)), "start": flow(form.start(w))}

figure, axes = plt.subplots(figsize=(4.6, 4.0), layout="constrained")
grid = np.linspace(-2, 2, 401)
u, v = np.meshgrid(grid, grid)
objective = (u * v - target) ** 2 / 2 + strength / 2 * (u * u + v * v)
axes.contour(u, v, objective, levels=np.geomspace(0.75, 9, 12), colors=FAINT, linewidths=0.6)
axes.contour(u, v, u * v, levels=[-1.0, target - strength], colors=MUTED, linestyles="dashed")
for (name, path), colour in zip(paths.items(), (RED, BLUE), strict=True):
    axes.plot(*path.y, color=colour, label=name)
    axes.plot(*path.y[:, -1], "o", color=colour, ms=4)
quiet(axes).set(xlabel="u", ylabel="v", title="two factors", aspect="equal")
axes.legend(frameon=False, fontsize=8, loc="lower left")
for name, path in paths.items():
    print(f"{name:>8}: ends at w = {np.prod(path.y[:, -1]):.4f}, expected {target - strength}")

# %%
# Balance comes by itself
# -----------------------
# A loss that sees the product only cannot change :math:`u^2 - v^2`; the ridge makes it decay at
# the rate :math:`2 s`, whatever the loss. With it goes the excess of the smooth penalty over
# :math:`s |w|`, so that what is minimised in the end is the lasso.
path = paths["start"]
figure, axes = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
imbalance = np.abs(path.y[0] ** 2 - path.y[1] ** 2)
excess = [form.excess((pair[:1], pair[1:])) for pair in path.y.T]
axes.semilogy(path.t, imbalance, color=BLUE, label="$|u^2 - v^2|$")
axes.semilogy(path.t, np.maximum(excess, 1e-9), color=RED, label="excess")
theory = imbalance[0] * np.exp(-2 * strength * path.t)
axes.semilogy(path.t, theory, ":", color=MUTED, lw=2.5, label="theory")
quiet(axes).set(xlabel="time", title="imbalance", ylim=(1e-8, 10))
axes.legend(frameon=False, fontsize=8)

# %%
# Weight decay, coupled or not
# ----------------------------
# The ridge may come from the optimiser's weight decay, if that is part of the gradient (SGD,
# Adam). AdamW decays the factors outside of what Adam rescales, and solves another problem: here
# it ends close to the least-squares fit, with no zeros at all. Ten columns of diabetes patients.
X, y = load_diabetes(return_X_y=True)
X, y = X * np.sqrt(len(X)), (y - y.mean()) / y.std()
strength = 0.1
problem = gs.Problem(X, y, gs.losses.Quadratic(), gs.L1(strength), fit_intercept=False)
exact = problem.solve(tol=1e-12)
best, null = exact.certificate.objective, exact.certificate.null_objective
form = gs.L1(strength).factorise((10,))


def adam(decoupled, steps=4000, rate=0.02):
    """Adam from the smooth form's start, the rate falling along a cosine."""
    factors = np.stack(form.start(np.zeros(10)))
    mean, square, gaps = np.zeros_like(factors), np.zeros_like(factors), []
    for step in range(1, steps + 1):
        pull = X.T @ (X @ form.expand(tuple(factors)) - y) / len(y)
        gradient = pull * factors[::-1]
        if not decoupled:
            gradient = gradient + strength * factors
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        root = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        now = rate * (1 + np.cos(np.pi * step / steps)) / 2
        if decoupled:
            factors = factors * (1 - now * strength)
        factors = factors - now * mean / (1 - 0.9**step) / root
        gaps.append((problem.objective(form.expand(tuple(factors))) - best) / null)
    return form.expand(tuple(factors)), np.array(gaps)


figure, axes = plt.subplots(figsize=(4.6, 3.2), layout="constrained")
for name, decoupled, colour in (("Adam", False, BLUE), ("AdamW", True, RED)):
    w, gaps = adam(decoupled)
    axes.loglog(np.maximum(gaps, 1e-16), color=colour, label=name)
    print(
        f"{name:>6}: gap {gaps[-1]:.1e}, support {np.flatnonzero(np.abs(w) > 1e-6)}, "
        f"distance to least squares {np.abs(w - np.linalg.lstsq(X, y)[0]).max():.1e}"
    )
print(f" exact: {'':12} support {exact.certificate.support}")
quiet(axes).set(xlabel="step", title="gap to the exact lasso", ylim=(1e-17, 3))
axes.legend(frameon=False, fontsize=8, loc="lower left")
