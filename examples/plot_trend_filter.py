"""
Trend filtering: where does a series change?
============================================

The Nile's yearly flow at Aswan dropped when a dam was built; a motorcyclist's head in a crash test
is thrown back, then forth. Total variation of a derivative finds the places, and a duality gap
says that no other curve fits better at its price.
"""

# %%
# Steps: the Nile
# ---------------
# Order 0 makes pieces of one level. Cross-validation chooses the strength.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import motorcycle, nile

import gossamer as gs

year, flow = nile()
steps = gs.TrendFilterCV(order=0).fit(year, flow)
print("new levels from:", steps.knots_)
print(f"relative duality gap {steps.certificate_.value:.1e}")

figure, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.plot(year, flow, "o", markersize=3, color="0.6")
ax.step(steps.x_, steps.fitted_, where="post", color="C0")
ax.set(xlabel="year", ylabel="flow, 10^8 cubic metres")

# %%
# Lines and smooth pieces: a crash test
# -------------------------------------
# Times are unequally spaced, some have several measurements. Knots are where the pieces meet.
time, acceleration = motorcycle()
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
at = np.linspace(time.min(), time.max(), 500)
for ax, order in zip(axes, (1, 2), strict=True):
    model = gs.TrendFilterCV(order=order, selection="min", tol=1e-5).fit(time, acceleration)
    ax.plot(time, acceleration, "o", markersize=3, color="0.6")
    ax.plot(at, model.predict(at), color="C0")
    ax.plot(model.knots_, model.predict(model.knots_), "|", markersize=10, color="C1")
    ax.set(title=f"order {order}: {len(model.knots_)} knots", xlabel="milliseconds")
axes[0].set_ylabel("acceleration, g")
plt.show()
