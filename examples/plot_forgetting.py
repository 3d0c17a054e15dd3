"""
Digits that are forgotten on request
====================================

Someone asks that a class be forgotten, later someone else for another one, and everything else
shall stay. Group-sparse LoRA changes the feed-forward layers of a transformer by low-rank factors,
with a group lasso on those of each block: few blocks change, and the weights of the others stay as
they are, to the bit.
"""

# %%
# A small vision transformer
# --------------------------
# Four blocks, trained on 1200 images of digits.
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gossamer as gs
from gossamer.nn.fairness import group_accuracies
from gossamer.report.plots.style import BLUE, FAINT, RED, quiet

torch.set_num_threads(1)
X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
X = torch.tensor(X[order] / 16 - 0.3, dtype=torch.float32).reshape(-1, 1, 8, 8)
y = torch.tensor(y[order])


def batches(classes, size=64):
    """Training images of some classes, in an order that changes."""
    chosen = torch.isin(y[:1200], torch.tensor(classes))
    data = TensorDataset(X[:1200][chosen], y[:1200][chosen])
    return DataLoader(data, size, shuffle=True, generator=torch.Generator().manual_seed(0))


def accuracies(model):
    return group_accuracies(model, [(X[1200:], y[1200:])], 10)[0].numpy()


torch.manual_seed(0)
model = gs.nn.VisionTransformer(8, 4, width=32, depth=4, hidden=64)
gs.nn.language.fine_tune(
    model,
    batches(list(range(10))),
    steps=400,
    lr=3e-3,
    loss=lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
)
before = accuracies(model)
print(f"{before.mean():.1%} right")

# %%
# Two requests
# ------------
# First the threes go, then the eights. An adapter is trained for each request and put into the
# weights. Of images of what is forgotten only the loss above a bound is taken away; the images that
# are kept do not include what is gone already.


def forget_in_turn(model, strength, requests=(3, 8)):
    """The size of each block's change, a row a request."""
    gone, sizes = [], []
    for digit in requests:
        gone.append(digit)
        kept = [c for c in range(10) if c not in gone]
        adapter = gs.nn.language.GroupSparseLoRA(model, rank=4, penalty=gs.L1(strength))
        gs.nn.language.forget(model, batches([digit], 32), batches(kept), adapter, steps=100)
        print(adapter)
        sizes.append(list(adapter.sizes().values()))
        adapter.merge()
    return np.array(sizes)


dense, sparse = copy.deepcopy(model), copy.deepcopy(model)
sizes = {"LoRA": forget_in_turn(dense, 0.0), "group lasso": forget_in_turn(sparse, 0.2)}
after = accuracies(sparse)
kept = [c for c in range(10) if c not in (3, 8)]
for name, found in (("before", before), ("LoRA", accuracies(dense)), ("group lasso", after)):
    print(f"{name:12} 3: {found[3]:.1%}, 8: {found[8]:.1%}, others: {found[kept].mean():.1%}")

# %%
# What was lost, and where
# ------------------------
# Without a penalty every block changes. With it one or two do the same.
figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained")
places = np.arange(10)
left.bar(places - 0.2, 100 * before, 0.4, color=FAINT)
left.bar(places + 0.2, 100 * after, 0.4, color=BLUE)
left.axhline(10, color=RED, lw=0.8, ls=":")
left.text(9.7, 10, "guessing", color=RED, va="bottom", fontsize="small")
left.set_xticks(places)
quiet(left).set(
    xlabel="digit", ylabel="right, held out (%)", title="before (grey) and after", xlim=(-0.7, 11.6)
)
blocks = np.arange(4)
for offset, (name, colour) in zip(
    (-0.2, 0.2), (("LoRA", FAINT), ("group lasso", BLUE)), strict=True
):
    right.bar(blocks + offset, sizes[name].sum(0), 0.4, color=colour, label=name)
right.set_xticks(blocks)
right.set_ylim(0, 1.25 * sizes["LoRA"].sum(0).max())
quiet(right).set(xlabel="block", ylabel="size of the change", title="few blocks change")
right.legend(frameon=False, loc="upper left", ncols=2)
plt.show()
