"""
Who lives how long, from a few measurements
===========================================

Of 2982 women with breast cancer in Rotterdam, 1272 died while they were followed; of the others
one knows how long they lived at least. Cox's model uses both, and a penalty says which of the
measurements matter.
"""

# %%
# The path
# --------
# As the penalty weakens, features enter one by one; each column has variance one, so that the
# sizes of coefficients can be compared. Held-out patients choose where to stop.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import KFold
from survival_tables import rotterdam

import gossamer as gs

table = rotterdam()
train = np.arange(len(table.y)) % 3 > 0
X, y = table.X[train], table.y[train]
folds = KFold(5, shuffle=True, random_state=0)
model = gs.SparseCoxCV(cv=folds, n_alphas=60, ties="efron").fit(X, y)
for name, coef in zip(table.features, model.coef_, strict=True):
    if coef:
        print(f"{name:>12}: hazard times {np.exp(coef):.2f} for a standard deviation more")
print(f"certificate {model.certificate_.value:.0e}")

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
ax.semilogx(model.alphas_, model.path_.coefs)
ax.axvline(model.alpha_, color="grey", linestyle=":", label="chosen by held-out patients")
last = model.path_.coefs[-1]
for j in np.argsort(-np.abs(last))[:6]:
    ax.annotate(
        table.features[j], (model.alphas_[-1], last[j]), (4, -3), textcoords="offset points"
    )
ax.invert_xaxis()
ax.set(xlabel="strength of the penalty", ylabel="coefficient")
ax.margins(x=0.12)
ax.legend()

# %%
# On patients that no one saw
# ---------------------------
# The others are put into three groups by their predicted risk. Steps are the share that was alive
# in truth (Kaplan and Meier's estimate), lines what the model predicts on average.
X_test, y_test = table.X[~train], table.y[~train]
print(f"concordance on {len(X_test)} patients: {model.score(X_test, y_test):.3f}")
risk = model.predict(X_test)
group = np.searchsorted(np.quantile(risk, [1 / 3, 2 / 3]), risk)
days = np.linspace(0, 5000, 200)
predicted = model.predict_survival_function(X_test, times=days)


def kaplan_meier(y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Share that is alive at some times."""
    order = np.argsort(y[:, 0], kind="stable")
    alive = np.cumprod(1 - y[order, 1] / np.arange(len(y), 0, -1))
    return np.append(1.0, alive)[np.searchsorted(y[order, 0], times, side="right")]


figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
for k, (name, colour) in enumerate(zip(("low", "middle", "high"), ("C2", "C1", "C3"), strict=True)):
    ax.plot(days / 365.25, predicted[group == k].mean(axis=0), colour, label=f"{name} risk")
    truth = kaplan_meier(y_test[group == k], days)
    ax.step(days / 365.25, truth, colour, where="post", alpha=0.5)
ax.set(
    xlabel="years", ylabel="share alive", ylim=(0, 1), title="predicted (lines) and true (steps)"
)
ax.legend()
