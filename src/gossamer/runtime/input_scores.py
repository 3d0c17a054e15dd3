"""Scores of a layer's inputs: which of them it can do without."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CRITERIA = ("auto", "magnitude", "wina")


class TopInputs(nn.Module):
    """Of each sample, only the ``count`` inputs with the largest ``|x_c| importance_c``.

    Parameters
    ----------
    importance : (inputs,) tensor
    count : int
        Inputs that tie with the last of them stay too.

    Examples
    --------
    >>> TopInputs(torch.tensor([1.0, 1.0, 9.0]), 2)(torch.tensor([[3.0, -4.0, 1.0]]))
    tensor([[ 0., -4.,  1.]])
    """

    importance: Tensor

    def __init__(self, importance: Tensor, count: int) -> None:
        super().__init__()
        self.register_buffer("importance", importance)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs), with zeros."""
        if self.count >= x.shape[-1]:
            return x
        scores = x.abs() * self.importance
        last = scores.topk(self.count).values[..., -1:]
        return x.masked_fill(scores < last, 0.0)

    def extra_repr(self) -> str:
        """What it keeps."""
        return f"count={self.count} of {self.importance.numel()}"


def importance_of(weight: Tensor, criterion: str, count: int, x: Tensor | None) -> Tensor:
    """What the magnitudes of the inputs are multiplied by; x (samples, inputs) decides "auto"."""
    weight = weight.detach().to("cpu", torch.float32)
    known = {"magnitude": torch.ones(weight.shape[1]), "wina": weight.norm(dim=0)}
    if criterion != "auto":
        return known[criterion]
    assert x is not None
    x = x.float()
    dropped = {name: x - TopInputs(factors, count)(x) for name, factors in known.items()}
    return known[min(dropped, key=lambda name: float((dropped[name] @ weight.T).norm()))]


def cuts_of(x: Tensor, importance: Tensor, skipped: float) -> Tensor:
    """The magnitudes up to which this share of the inputs, those of the least scores, lies."""
    scores = x.float().abs() * importance
    count = round(skipped * scores.numel())
    threshold = scores.flatten().kthvalue(count).values if count else torch.tensor(0.0)
    return torch.where(importance > 0, threshold / importance, torch.inf)


def check(given: str, known: tuple[str, ...], argument: str) -> None:
    """Raise unless an argument is one of the known names."""
    if given not in known:
        raise ValueError(f"{argument} must be one of {', '.join(known)}, got {given!r}.")
