"""
Which pixels decide
===================

The gradient of a classifier's score says which inputs count, but jumps about when the input moves
a little. The gradient of the score's Moreau envelope is stable, and takes a penalty that makes it
sparse, pixel by pixel or patch by patch. Zhang and Farnia (2023).
"""

# %%
# A small network for digits
# --------------------------
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

import gossamer as gs
from gossamer.nn import moreau_grad

torch.set_num_threads(1)
torch.manual_seed(0)
data, labels = load_digits(return_X_y=True)
images = torch.tensor(data / 16).float().reshape(-1, 1, 8, 8)
labels = torch.tensor(labels)
order = torch.randperm(len(images))
training, held_out = order[:1400], order[1400:]

net = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
)
optimiser = torch.optim.Adam(net.parameters(), lr=3e-3)
for _ in range(15):
    for batch in training.split(64):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
        optimiser.step()
with torch.no_grad():
    correct = net(images[held_out]).argmax(dim=1) == labels[held_out]
print(f"{correct.float().mean():.1%} of held-out digits right")

# %%
# Five maps of each digit
# -----------------------
# ``rho = 0`` leaves out the envelope: without noise it is the plain gradient, with noise
# SmoothGrad. The penalty's strength is in units of the gradient. Blue pixels speak for the class,
# red ones against.
ways = {
    "gradient": {"rho": 0.0, "noise": 0.0},
    "SmoothGrad": {"rho": 0.0},
    "MoreauGrad": {"rho": 1.0},
    "sparse": {"rho": 1.0, "sparse": gs.L1(1.0), "view": (8, 8)},
    "group-sparse": {"rho": 1.0, "sparse": gs.L1(2.5, on=gs.Blocks((2, 2))), "view": (8, 8)},
}
shown = torch.stack([images[held_out[labels[held_out] == digit][0]] for digit in (0, 3, 4, 7)])
options = {"n_samples": 16, "tol": 0.05}
maps = {name: moreau_grad(net, shown, **way, **options) for name, way in ways.items()}

figure, axes = plt.subplots(len(shown), 6, figsize=(8.2, 5.6), layout="constrained")
for row, image in enumerate(shown):
    axes[row, 0].imshow(image[0], cmap="gray_r")
    for ax, (name, values) in zip(axes[row, 1:], maps.items(), strict=True):
        size = values[row].abs().max()
        ax.imshow(values[row, 0], cmap="RdBu", vmin=-size, vmax=size)
        ax.set_title(name if row == 0 else "", fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)

# %%
# How stable they are
# -------------------
# Each digit is moved by a little noise, and the map with it: the bars are the median change of the
# map, relative to its size.
tested = images[held_out[:30]]
moved = tested + 0.1 * torch.randn(tested.shape, generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    target = net(tested).argmax(dim=1)
changes = {}
for name, way in ways.items():
    before, after = (moreau_grad(net, x, target, **way, **options) for x in (tested, moved))
    sizes = before.flatten(1).norm(dim=1).clamp(min=1e-12)
    changes[name] = ((after - before).flatten(1).norm(dim=1) / sizes).median().item()
    zeros = (before == 0).float().mean()
    print(f"{name:>12}: changes by {changes[name]:.2f}, {zeros:.0%} of the pixels exactly zero")

figure, ax = plt.subplots(figsize=(5.4, 2.2), layout="constrained")
ax.barh(list(changes)[::-1], list(changes.values())[::-1], color="#0072b2", height=0.6)
ax.spines[["top", "right", "left"]].set_visible(False)
ax.tick_params(length=0)
ax.set_xlabel("relative change of the map")
