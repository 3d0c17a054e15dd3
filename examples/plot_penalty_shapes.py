"""
Shapes of penalties
===================

A penalty is a *shape*: what a unit of a given size costs. Its prox says what becomes of a unit.
"""

# %%
# What a size costs
# -----------------
# All start with about the same slope, but for Lq, whose slope at zero is infinite. Convex shapes
# go on charging; concave ones charge large sizes little more than medium ones.
import matplotlib.pyplot as plt
import numpy as np

import gossamer as gs
from gossamer.report.plots.style import FAINT, PALETTE, quiet

penalties = [
    gs.L1(1.0),
    gs.ElasticNet(1.0, l1_ratio=0.7),
    gs.Lq(1.0, q=0.5),
    gs.MCP(1.0, gamma=3.0),
    gs.SCAD(1.0, gamma=3.7),
    gs.LogSum(1.0, epsilon=1.0),
]
t = np.linspace(0, 5, 501)

figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8), layout="constrained")
for colour, penalty in zip(PALETTE, penalties, strict=True):
    name = type(penalty).__name__
    left.plot(t, [penalty.value(np.array([size])) for size in t], color=colour, label=name)
    right.plot(t, penalty.prox(t, step=1.0), color=colour, label=name)
right.plot(t, t, color=FAINT, lw=1, zorder=1)
quiet(left).set(xlabel="size of the unit", ylabel="cost", title="shape")
quiet(right).set(xlabel="size before", ylabel="size after", title="prox with step 1")
left.legend(frameon=False, fontsize=8)

# %%
# Below a threshold every one of them gives exactly zero: this is where sparsity comes from. Above
# it L1 subtracts a constant; MCP and SCAD leave large sizes alone; Lq and LogSum come close.
#
# On a group
# ----------
# The same shape works on every structure: the group keeps its direction, its size is shrunk.
v = np.array([3.0, 4.0, 0.3, 0.4])
groups = gs.Groups(["a", "a", "b", "b"])
print("before:", v, "sizes", groups.sizes(v))
for penalty in (gs.L1(1.0, on=groups), gs.MCP(1.0, on=groups)):
    after = penalty.prox(v, step=1.0)
    print(f"{type(penalty).__name__:>6}:", after.round(2), "sizes", groups.sizes(after))
