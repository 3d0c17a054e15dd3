"""
Group lasso: which facts about a mother matter?
===============================================

The weights of 189 newborn babies, and eight facts about their mothers. Age and weight may act in
curves (cubic polynomials), race and earlier visits are categories (indicators): one fact has
several columns. The group lasso keeps or drops whole facts.
"""

# %%
# Eight groups of columns
# -----------------------
# Groups are given by lists of columns, or by one label a column. The weights
# :math:`\sqrt{\text{size}}` treat large and small groups alike.
import matplotlib.pyplot as plt
import numpy as np
from real_tables import birthwt

import gossamer as gs
from gossamer.report.plots.style import PALETTE, quiet

table = birthwt("bwt")
facts = ["age", "weight", "race", "smoking", "early labours", "hypertension", "uterus", "visits"]
for fact, columns in zip(facts, table.groups, strict=True):
    print(f"{fact:>14}: {', '.join(table.features[j] for j in columns)}")

sizes = np.array([len(columns) for columns in table.groups])
model = gs.GroupLassoCV(groups=table.groups, weights=np.sqrt(sizes), cv=10)
model.fit(table.X, table.y)

# %%
# Facts enter as a whole
# ----------------------
# The size of every group along the path; the line marks the strength that cross-validation
# chose.
path = model.path_
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
quiet(ax)
for k, (fact, columns) in enumerate(zip(facts, table.groups, strict=True)):
    size = np.linalg.norm(path.coefs[:, columns], axis=1)
    ax.semilogx(path.alphas, size, label=fact, color=PALETTE[k % 6], ls="-" if k < 6 else "--")
ax.axvline(model.alpha_, color="0.3", lw=0.9)
ax.invert_xaxis()
ax.set(xlabel="strength α (log scale)", ylabel="size of the group (kg)")
ax.legend(frameon=False, fontsize=8)

# %%
# With eight facts, prediction gains from keeping all of them. What the path tells is their order:
entered = [np.flatnonzero(path.coefs[:, columns].any(axis=1))[0] for columns in table.groups]
for k in np.argsort(entered):
    print(f"{facts[k]:>14} enters at strength {path.alphas[entered[k]]:.3f}")
print("every model of the path is optimal:", all(c.holds for c in path.certificates))

# %%
# The same facts for "low weight: yes or no"
# ------------------------------------------
# Only the loss changes, the penalty stays. MCP hardly shrinks what it keeps.
low = birthwt("low")
groups = gs.Groups(low.groups)
for penalty in (gs.L1(0.04, on=groups), gs.MCP(0.1, on=groups)):
    model = gs.SparseModel(gs.losses.Logistic(), penalty).fit(low.X, low.y)
    kept = [facts[unit] for unit in model.certificate_.support]
    print(f"{type(penalty).__name__}: {', '.join(kept)} ({model.certificate_.kind})")
