"""What every method is: hooks in one training loop, and masks of the largest weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

UNTIL = 0.7  # share of the training by which the asked sparsity is reached; the rest only fits
EVERY = 20  # steps between two cuts


@dataclass(frozen=True)
class Setting:
    """What is tuned, for every method alike.

    optimiser : "adam" or "sgd" (with momentum 0.9)
    decay : of a ridge on the weights in the loss, decay / 2 |w|^2
    strength : of the method's penalty, if it has one
    """

    optimiser: str = "adam"
    lr: float = 1e-2
    decay: float = 1e-3
    strength: float = 1e-4

    def make(self, parameters: Iterable[Any]) -> torch.optim.Optimizer:
        if self.optimiser == "adam":
            return torch.optim.Adam(parameters, lr=self.lr, fused=True)
        return torch.optim.SGD(parameters, lr=self.lr, momentum=0.9, fused=True)

    as_dict = asdict


class Method:
    """One way to train a sparse network. The loop calls the hooks in the order below."""

    title: ClassVar[str]
    has_strength: ClassVar[bool] = False

    def __init__(self, model: nn.Module, keep: float, steps: int, setting: Setting) -> None:
        self.model, self.keep, self.steps, self.setting = model, keep, steps, setting
        self.weights = weights_of(model)
        self.optimiser = self.prepare()

    def prepare(self) -> torch.optim.Optimizer:
        """The optimiser; decay of the weights, not of the biases."""
        optimiser = self.setting.make(self.model.parameters())
        chosen = set(self.weights)
        rest = [p for p in self.model.parameters() if p not in chosen]
        optimiser.param_groups[0] |= {
            "params": self.weights,
            "weight_decay": self.setting.decay,
        }
        optimiser.add_param_group({"params": rest, "weight_decay": 0.0})
        return optimiser

    def penalty(self) -> Tensor | float:
        """To be added to the loss."""
        return 0.0

    def after_backward(self, step: int) -> None:
        """The gradients are there."""

    def after_step(self, step: int) -> None:
        """``step`` steps of the optimiser have been made."""

    def finish(self) -> None:
        """Leave plain weights, the share ``keep`` of them not zero."""


def weights_of(model: nn.Module) -> list[nn.Parameter]:
    """Those that are made sparse: all but the biases."""
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def largest(weights: Sequence[Tensor], keep: float) -> list[Tensor]:
    """Masks of the share ``keep`` of all entries that are largest in modulus, over all layers."""
    sizes = torch.cat([weight.detach().abs().flatten() for weight in weights])
    count = max(1, round(keep * len(sizes)))
    mask = torch.zeros_like(sizes)
    mask[sizes.topk(count, sorted=False).indices] = 1.0
    parts = mask.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def scheduled(keep: float, progress: float) -> float:
    """The share to keep after a part of the training: cubic, as gradual pruning has it.

    Zhu and Gupta (2017), To prune, or not to prune, equation 1.
    """
    left = max(0.0, 1.0 - progress / UNTIL)
    return keep + (1.0 - keep) * left**3


class Masked(Method):
    """A method that holds weights at zero by masks."""

    masks: list[Tensor] | None = None

    def mask_(self, masks: list[Tensor]) -> None:
        self.masks = masks
        self.apply_()

    @torch.no_grad()
    def apply_(self) -> None:
        if self.masks is not None:
            for weight, mask in zip(self.weights, self.masks, strict=True):
                weight.mul_(mask)

    def after_step(self, step: int) -> None:
        self.apply_()

    def finish(self) -> None:
        self.mask_(largest(self.weights, self.keep))
