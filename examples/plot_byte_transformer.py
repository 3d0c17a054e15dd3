"""
A sparse transformer in one line more
=====================================

A small transformer reads Python's own help texts byte by byte. Nine of ten of its weights are to
be zero at the end of the training, which stays as it is: AdamW, a cosine, clipped gradients.
"""

# %%
# The text, the model, the training loop
# --------------------------------------
# The texts are part of Python. The last tenth is held out.
import math
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import torch
from torch import nn

import gossamer as gs

text = torch.frombuffer(bytearray("\n\n".join(topics.values()).encode()), dtype=torch.uint8).long()
train, held_out = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
WINDOW, BATCH, STEPS = 64, 32, 400


class ByteTransformer(nn.Module):
    """Two layers, four heads, 96 channels."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, width)
        self.place = nn.Embedding(WINDOW, width)
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 256)

    def forward(self, bytes_: torch.Tensor) -> torch.Tensor:
        length = bytes_.shape[1]
        hidden = self.embed(bytes_) + self.place(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.head(self.layers(hidden, mask=mask, is_causal=True))


def batch(data: torch.Tensor, size: int = BATCH) -> tuple[torch.Tensor, torch.Tensor]:
    starts = torch.randint(len(data) - WINDOW - 1, (size,))
    windows = torch.stack([data[start : start + WINDOW + 1] for start in starts])
    return windows[:, :-1], windows[:, 1:]


def bits(model: nn.Module, data: torch.Tensor, size: int = BATCH) -> torch.Tensor:
    bytes_, following = batch(data, size)
    loss = nn.functional.cross_entropy(model(bytes_).flatten(0, 1), following.flatten())
    return loss / math.log(2)


def fit(model: nn.Module, optimiser: torch.optim.Optimizer) -> list[float]:
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    curve = []
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = bits(model, train)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        curve.append(loss.item())
    return curve


# %%
# Dense
# -----
torch.manual_seed(0)
dense = ByteTransformer()
dense_curve = fit(dense, torch.optim.AdamW(dense.parameters(), weight_decay=0.01))

# %%
# Sparse
# ------
# The weights of the layers become products of two factors; the optimiser is given their groups
# and carries the penalty. ``fit`` is the same function. With a spread of one, one of the two
# factors starts near one, and the learning rate may be that of the dense model. Attention takes a
# while to form: the cuts begin after a fifth of the training.
torch.manual_seed(0)
model = ByteTransformer()
target = gs.nn.Target(keep=0.1, begin=0.2)
sparse = gs.nn.sparsify(
    model, {"layers.*": gs.L1(1e-5)}, keep=target, spread=1.0, total_steps=STEPS
)
optimiser = sparse.attach(torch.optim.AdamW(sparse.param_groups(weight_decay=0.01)))
sparse_curve = fit(model, optimiser)
print(sparse.report())
print(sparse.finalise(inputs=batch(held_out)[0]))

# %%
# What it costs
# -------------
# Bits per byte of text that neither has seen; eight would be a guess.
with torch.no_grad():
    torch.manual_seed(1)
    dense_bits = float(bits(dense.eval(), held_out, 512))
    torch.manual_seed(1)
    sparse_bits = float(bits(model.eval(), held_out, 512))
print(f"dense {dense_bits:.3f} bits per byte, 90 % sparse {sparse_bits:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for name, curve in (("dense", dense_curve), ("90 % of the layers' weights zero", sparse_curve)):
    smooth = torch.tensor(curve).unfold(0, 20, 1).mean(1)
    left.plot(range(20, STEPS + 1), smooth, label=name)
left.set(xlabel="step", ylabel="bits per byte (training)", ylim=(2, 6))
left.legend(frameon=False)
weight = model.layers.layers[0].linear1.weight.detach()
right.spy(weight[:96] != 0, markersize=1.2)
right.set(title="what is left of one layer", xlabel="input", ylabel="output", xticks=[], yticks=[])
