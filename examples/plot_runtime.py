"""
From zeros to speed
===================

A pruned layer is as slow as before: a dense product multiplies zeros like other numbers.
``gs.compile`` puts the layers of a model into compact layouts, with kernels for the processor at
hand, and keeps those that are faster.
"""

# %%
# One layer, more and more zeros
# ------------------------------
# A layer of 1024 x 1024, its zeros anywhere or in blocks of 16 outputs and one input. With a single
# sample a dense layer has to read all of its weight, with 16 the arithmetic takes the time. The
# report of a compiled model knows what it takes and what the dense one took, each the shortest of
# many runs in turn, here on one thread.
import matplotlib.pyplot as plt
import torch

import gossamer as gs
from gossamer.report.plots.style import BLUE, INK, MUTED, RED, quiet

torch.set_num_threads(1)
torch.manual_seed(0)
keeps = [0.5, 0.2, 0.1, 0.02]
structures = {
    "blocks of 16 x 1": (gs.Blocks((16, 1)), RED, 6),
    "anywhere": (gs.Elements(), BLUE, -26),
}


def times_faster(structure, keep, samples):
    layer = torch.nn.Linear(1024, 1024)
    gs.nn.prune(layer, keep=keep, on=structure)
    fast = gs.compile(layer, torch.randn(samples, 1024))
    return gs.runtime.report(fast).total.speedup


figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True, layout="constrained")
for ax, samples in zip(axes, (1, 16), strict=True):
    for name, (structure, colour, above) in structures.items():
        faster = [times_faster(structure, keep, samples) for keep in keeps]
        ax.plot(keeps, faster, "o-", color=colour, markersize=4)
        ax.annotate(
            name,
            (keeps[-1], faster[-1]),
            xytext=(-4, above),
            textcoords="offset points",
            color=colour,
            ha="right",
        )
    ax.plot(keeps, [1 / keep for keep in keeps], color=MUTED, linewidth=0.8, linestyle=":")
    ax.axhline(1, color=INK, linewidth=0.8)
    ax.set(xscale="log", yscale="log", xlabel="weights kept", title=f"{samples} at a time")
    ax.set_xticks(keeps, [f"{keep:.0%}" for keep in keeps])
    ax.minorticks_off()
    ax.invert_xaxis()
    quiet(ax)
axes[0].set_yticks([1, 2, 5, 10, 20, 50], ["dense", "2x", "5x", "10x", "20x", "50x"])
axes[0].set_ylabel("speed")
figure.suptitle("Dotted: as many times faster as there are fewer weights", fontsize=9, color=MUTED)
plt.show()

# %%
# A whole model
# -------------
# Nothing has to be said about layouts: every layer is measured, and the table says what was chosen.
# Batch norms and ReLUs have become part of the layers before them.
net = gs.nn.ResidualNet((16, 32, 64)).eval()
gs.nn.prune(net, keep=0.1, on={"stages*": gs.Blocks((16, 1))}, allocation="uniform")
images = torch.randn(8, 1, 28, 28)
fast = gs.compile(net, images)
print(gs.runtime.report(fast))

# %%
# The compiled model is an ordinary module: it is called, copied and saved like any other, and gives
# the same outputs.
with torch.no_grad():
    difference = float((fast(images) - net(images)).abs().max())
print(f"largest difference of an output: {difference:.1e}")
