"""
One layer, few weights: scores and convex problems
==================================================

When a language model is pruned without training, every linear layer is a problem of its own: few
weights that give nearly the outputs of all. The second moments of its inputs say all about it.
Where inputs are correlated, weights that stay can do the work of those that go, and which ones
should stay depends on what the others can do.
"""

# %%
# A layer of a network that was trained
# -------------------------------------
# A perceptron learns digits; its second layer reads 128 correlated hidden units.
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import gossamer as gs
from gossamer.nn.language import InputStatistics, Layer, methods
from gossamer.report.plots.style import BLUE, INK, MUTED, RED, quiet

torch.set_num_threads(1)
images, labels = load_digits(return_X_y=True)
X, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
)
optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
for _ in range(200):
    optimiser.zero_grad()
    nn.functional.cross_entropy(model(X[:1200]), y[:1200]).backward()
    optimiser.step()

seen = InputStatistics(128)
seen.add(model[:2](X[:1200]))
weight = model[2].weight.detach()

# %%
# The error at every share of weights
# -----------------------------------
# Wanda scores weights; the reconstruction is the best that can be made of its choice. The adaptive
# lasso chooses by a convex problem, ADMM improves choice and weights together. All weights besides
# Wanda's come with a certificate of a convex problem.
shares = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
rows = {
    "Wanda": (methods.Wanda(), MUTED),
    "Wanda, reconstructed": (methods.Reconstruction(), RED),
    "lasso": (methods.Lasso(), BLUE),
    "ADMM": (methods.ADMM(), INK),
}
errors = {}
for title, (method, _) in rows.items():
    errors[title] = []
    for keep in shares:
        layer = Layer("hidden", weight, seen, gs.Elements(), keep)
        solved = method.solve(layer)
        assert solved.certificate is None or solved.certificate.holds
        errors[title].append(layer.error(solved.weight))

figure, axes = plt.subplots(figsize=(6.4, 4.0))
for title, (_, colour) in rows.items():
    axes.plot(shares, errors[title], color=colour, marker="o", markersize=3, label=title)
axes.set_yscale("log")
axes.set_xlabel("share of the weights that stays")
axes.set_ylabel("relative error of the outputs")
axes.legend(frameon=False)
quiet(axes)
figure.tight_layout()

# %%
# At a fifth of the weights:
at = shares.index(0.2)
for title, row in errors.items():
    print(f"{title:<22}{row[at]:.3f}")
