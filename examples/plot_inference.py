"""
Who goes to the doctor? Selection with a promise
================================================

A model that selects always selects something. What the selected features mean is another question,
and each method here answers it with a promise of its own. The table: visits of 4406 people aged 66
and over to a physician, with 17 columns on their health, region and insurance. Twenty columns of
pure noise are added, to see whether they are found out.
"""

# %%
# The table
# ---------
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from real_tables import nmes1988

import gossamer as gs
from gossamer.report import plot_knockoffs, plot_stability_path

table = nmes1988()
noise = np.random.default_rng(0).standard_normal((len(table.y), 20))
names = [*table.features, *(f"noise {j}" for j in range(20))]
X, y = pd.DataFrame(np.hstack([table.X, noise]), columns=names), np.log1p(table.y)

# %%
# Stability selection
# -------------------
# A hundred times, the lasso chooses on one half of the people. A feature is selected when three
# quarters of the halves chose it; then at most one false selection is expected. It is the most
# cautious of the methods.
stable = gs.StabilitySelection(max_false=1.0, random_state=0).fit(X, y)
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
plot_stability_path(stable.alphas_, stable.path_, stable.threshold_, names, ax=ax)
print("stable:", list(stable.get_feature_names_out()))
print(f"false ones expected: at most {stable.bound_:.2f}")

# %%
# Knockoffs
# ---------
# Every column competes with a copy made without a look at the visits. Columns whose copies win
# (red) show how many of the winners are luck: of those selected, at most a fifth on average.
filtered = gs.Knockoffs(fdr=0.2, random_state=0).fit(X, y)
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
plot_knockoffs(filtered.statistics_, filtered.threshold_, names, ax=ax)
print("knockoffs:", list(filtered.get_feature_names_out()))

# %%
# The promise is on the share, and one noise column among eleven is within it.
#
# An interval for every coefficient
# ---------------------------------
# The debiased lasso gives intervals and p-values, here corrected for all 37 tests.
debiased = gs.DebiasedLasso().fit(X, y)
print("\n".join(str(debiased.summary()).splitlines()[:14]))
