"""
Words that tell two newsgroups apart
====================================

Posts about electronics and about medicine, as a sparse matrix with a column for each word. It
stays sparse from end to end, also where columns are standardised.
"""

# %%
# From 10,000 words to a few hundred
# ----------------------------------
import matplotlib.pyplot as plt
import numpy as np
from real_tables import newsgroups

import gossamer as gs
from gossamer.report import plot_coefficients, plot_cv

table = newsgroups()
n, p = table.X.shape
print(f"{n} posts, {p:,} words, {table.X.nnz / (n * p):.1%} of the entries not zero")

rng = np.random.default_rng(0)
order = rng.permutation(n)
training, held_out = order[: 3 * n // 4], order[3 * n // 4 :]
X = table.X.tocsr()
y = np.where(table.y == 1, "medicine", "electronics")

model = gs.SparseLogisticCV(selection="1se", n_alphas=40).fit(X[training], y[training])
print(f"{(model.coef_ != 0).sum()} words, {model.score(X[held_out], y[held_out]):.1%} right")
print(f"certificate {model.certificate_.value:.0e} ({model.certificate_.kind})")

# %%
# The strength
# ------------
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
result = model.cv_results_
plot_cv(
    result.alphas,
    result.mean,
    result.se,
    nonzero=model.path_.n_nonzero[: len(result.alphas)],
    minimum=result.index_min,
    selected=result.index,
    score_name="held-out loss",
    ax=ax,
)

# %%
# The words
# ---------
# Words for medicine to the right, for electronics to the left.
figure, ax = plt.subplots(figsize=(6, 5.4), layout="constrained")
plot_coefficients(model.coef_[0], table.features, top=25, ax=ax)
