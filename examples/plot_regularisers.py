"""
Regularisers that follow the training
=====================================

An L1 of fixed strength pulls at every weight alike, at those that will stay too. Three
regularisers choose where to pull while the network trains: below the size that a target leaves
(HyperSparse), where the loss feels nothing (relevance-based shrinkage), or on the channels that
will be removed (MaskSparsity). All three are used the same way: ``penalty()`` goes into the loss,
``step()`` follows the optimiser's, ``finalise()`` sets the zeros, which then stay zero.
"""

# %%
# A network that reads digits
# ---------------------------
# 1200 images of 8 x 8 pixels to train on, 597 to judge by.
import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F

import gossamer as gs
from gossamer.report.plots.style import BLUE, INK, MUTED, RED, quiet

torch.manual_seed(0)
torch.set_num_threads(1)
X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
X, y = torch.tensor(X[order] / 16, dtype=torch.float32), torch.tensor(y[order])


def accuracy(model, on=slice(1200, None)):
    with torch.no_grad():
        return float((model(X[on]).argmax(1) == y[on]).float().mean())


def train(model, epochs, regulariser=None, lr=0.1, each_epoch=lambda: False):
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    for epoch in range(epochs):
        for batch in torch.randperm(1200).split(64):
            optimiser.zero_grad()
            loss = F.cross_entropy(model(X[batch]), y[batch])
            if regulariser is not None:
                loss = loss + regulariser.penalty()
            loss.backward()
            optimiser.step()
            if regulariser is not None:
                regulariser.step()
        if each_epoch():
            return epoch + 1
    return epochs


dense = gs.nn.LeNet300(64, (100, 50))
train(dense, 20)
print(f"dense: {accuracy(dense):.1%}")

# %%
# HyperSparse: 1 % of the weights
# -------------------------------
# The pull on a weight is the whole strength far below the size that would be kept, and nothing
# far above it; the strength grows from step to step, until the pruned network is as good as the
# whole one on the training data.
model = copy.deepcopy(dense)
art = gs.nn.HyperSparse(model, {"*": gs.L1(1e-4)}, keep=0.01, growth=1.1 ** (1 / 19))

sizes = torch.cat([part.sizes() for part in art.parts])
pulls = torch.cat([part.weights for part in art.parts])
rank = sizes.argsort()
figure, axes = plt.subplots(1, 2, figsize=(8.4, 3.2), layout="constrained")
axes[0].plot(sizes[rank], pulls[rank], color=BLUE)
axes[0].axvline(sizes.quantile(0.99), color=MUTED, lw=0.9, ls="--")
quiet(axes[0]).set(xlabel="size of a weight", ylabel="pull, in units of the strength")

history = []


def judge():
    whole, train_whole = accuracy(model), accuracy(model, slice(1200))
    with art.pruned():
        history.append((whole, accuracy(model)))
        return accuracy(model, slice(1200)) >= train_whole


epochs = train(model, 80, art, each_epoch=judge)
axes[1].plot(*np.transpose([(i + 1, h[0]) for i, h in enumerate(history)]), color=INK)
axes[1].plot(*np.transpose([(i + 1, h[1]) for i, h in enumerate(history)]), color=BLUE)
axes[1].legend(["all weights", "largest 1 %"], frameon=False, fontsize=8)
quiet(axes[1]).set(xlabel="epoch", ylabel="accuracy")
art.finalise()
train(model, 10, art)

# %%
# The same number of epochs without the regulariser, then cut to the largest 1 % at once:
one_shot = copy.deepcopy(dense)
train(one_shot, epochs)
magnitude = gs.nn.MaskSparsity(one_shot, {"*": gs.L1(0.0)}, keep=0.01, each=False)
magnitude.finalise()
train(one_shot, 10, magnitude)
print(f"at {art.sparsity():.0%} zeros: HyperSparse {accuracy(model):.1%}, "
      f"magnitude pruning {accuracy(one_shot):.1%}")  # fmt: skip

# %%
# Relevance: a decay that leaves alone what the loss feels
# --------------------------------------------------------
# How many weights can be set to zero, without training again, until a percent of accuracy is
# lost? A plain decay strong enough to make many weights small also holds back the useful ones.
rows = []
everywhere = 1e30  # no weight is that relevant: plain decay
for label, strength, relevant in (
    ("decay 0.003", 3e-3, everywhere), ("decay 0.01", 1e-2, everywhere), ("relevance 0.1", 0.1, 3),
):  # fmt: skip
    torch.manual_seed(0)
    model = gs.nn.LeNet300(64, (100, 50))
    rules = {"*": gs.ElasticNet(strength, l1_ratio=0)}
    decay = gs.nn.RelevanceShrinkage(model, rules, relevant=relevant)
    train(model, 40, decay)
    train(model, 10, decay, lr=0.01)
    curve = []
    for keep in np.geomspace(1, 0.01, 25):
        decay.keep = float(keep)
        with decay.pruned():
            curve.append((keep, accuracy(model)))
    rows.append((label, np.array(curve)))

figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
for (label, curve), colour in zip(rows, (MUTED, RED, BLUE), strict=True):
    ax.semilogx(curve[:, 0], curve[:, 1], color=colour, label=label)
ax.invert_xaxis()
quiet(ax).set(xlabel="share of weights that remain", ylabel="accuracy", ylim=(0.5, 1.0))
ax.legend(frameon=False, fontsize=8)

# %%
# The group envelope: say how many
# --------------------------------
# A convex penalty whose parameter is a number of units: ridge on the ``k`` largest, a group lasso
# on the rest. Its prox is exact, and takes one sort. The gates say how much of a place each of the
# 32 filters of a convolution has: in the end eight have one, and the others are zero.
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.ReLU(),
    torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(512, 10),
)  # fmt: skip
envelope = gs.GroupEnvelope(0.25, k=8, on=gs.Channels())
filters = model[0].weight
gates = []
for epoch in range(60):
    lr = 0.1 if epoch < 48 else 0.01
    optimiser = torch.optim.SGD(model.parameters(), lr=lr)
    for batch in torch.randperm(1200).split(50):
        optimiser.zero_grad()
        images = X[batch].reshape(-1, 1, 8, 8)
        F.cross_entropy(model(images), y[batch]).backward()
        optimiser.step()
        with torch.no_grad():
            filters.copy_(torch.from_numpy(envelope.prox(filters.numpy(), lr)))
    gates.append(envelope.gates(filters.detach().numpy()))

figure, ax = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
ax.plot(np.arange(1, 61), np.array(gates), lw=0.9, color=BLUE)
quiet(ax).set(xlabel="epoch", ylabel="gate of a filter")
print(f"{int((gates[-1] > 0).sum())} of 32 filters remain")
