"""
Counting visits to the doctor
=============================

How often 4406 Americans over 65 saw a physician within a year, with facts about their health and
insurance. Counts call for the Poisson loss, categories for groups.
"""

# %%
# One group a fact
# ----------------
import matplotlib.pyplot as plt
import numpy as np
from real_tables import nmes1988

import gossamer as gs
from gossamer.report import plot_coefficients, plot_predicted

table = nmes1988()
n = len(table.y)
print(f"{n} people, {len(table.features)} columns in {len(table.groups)} groups")

rng = np.random.default_rng(0)
held_out = rng.permutation(n)[: n // 4]
training = np.setdiff1d(np.arange(n), held_out)

model = gs.SparseModelCV(
    loss=gs.losses.Poisson(), penalty=gs.L1(1.0, on=gs.Groups(table.groups))
).fit(table.X[training], table.y[training])
print(f"strength {model.alpha_:.3f}, {len(model.certificate_.support)} groups left")
print(f"certificate {model.certificate_.value:.0e}, a {model.certificate_.kind} optimum")

# %%
# What drives the visits
# ----------------------
# Columns are standardised; a coefficient is the change of the logarithm of the rate.
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
plot_coefficients(model.coef_, table.features, ax=ax)

# %%
# People who were held out
# ------------------------
# The score is the share of the deviance that is explained: visits differ much between people who
# look alike to the table. A stronger penalty on the same groups shows what a short list costs.
for strength in (1.2, 0.8, 0.4, model.alpha_):
    shorter = gs.SparseModel(model.loss, model.penalty.with_strength(strength))
    shorter.fit(table.X[training], table.y[training])
    share = shorter.score(table.X[held_out], table.y[held_out])
    print(f"{len(shorter.certificate_.support):2d} groups explain {share:.1%}")
figure, ax = plt.subplots(figsize=(4.4, 4.4), layout="constrained")
plot_predicted(table.y[held_out], model.predict(table.X[held_out]), counts=True, ax=ax)
