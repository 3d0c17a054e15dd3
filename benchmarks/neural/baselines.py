"""Magnitude pruning, at once and gradually; L1 by subgradients; RigL."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.neural.method import EVERY, UNTIL, Masked, largest, scheduled


class OneShot(Masked):
    """Dense training, one cut, and the rest of the budget to fit what is left."""

    title = "magnitude, one shot"

    def after_step(self, step: int) -> None:
        if step == round(UNTIL * self.steps):
            self.mask_(largest(self.weights, self.keep))
        super().after_step(step)


class Gradual(Masked):
    """Gradual magnitude pruning (GMP) over all layers; Zhu and Gupta (2017)."""

    title = "magnitude, gradual (GMP)"

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if step % EVERY == 0 and step <= UNTIL * self.steps + EVERY:
            self.mask_(largest(self.weights, scheduled(self.keep, step / self.steps)))


class Subgradient(OneShot):
    """The sign of the weights times the strength in the loss, then a threshold."""

    title = "L1 by subgradients"
    has_strength = True

    def after_backward(self, step: int) -> None:
        if self.masks is None:
            for weight in self.weights:
                assert weight.grad is not None
                weight.grad.add_(weight.detach().sign(), alpha=self.setting.strength)


class RigL(Masked):
    """Sparse from the start: small weights go, entries of large gradient come.

    Layers have the densities of Erdos-Renyi-kernel graphs. Evci, Gale, Menick, Castro and Elsen
    (2020), Rigging the lottery, section 3. Starting weights are scaled up so that signals keep
    their size.
    """

    title = "RigL"
    share, every, until = 0.3, 100, 0.75

    def prepare(self) -> torch.optim.Optimizer:
        masks = []
        for weight, density in zip(
            self.weights, erk([w.shape for w in self.weights], self.keep), strict=True
        ):
            count = max(1, round(density * weight.numel()))
            mask = torch.zeros(weight.numel())
            mask[torch.randperm(weight.numel())[:count]] = 1.0
            masks.append(mask.view_as(weight))
            with torch.no_grad():
                weight.mul_(density**-0.5)
        self.mask_(masks)
        return super().prepare()

    def after_backward(self, step: int) -> None:
        assert self.masks is not None
        if step and step % self.every == 0 and step < self.until * self.steps:
            share = self.share / 2 * (1 + math.cos(math.pi * step / (self.until * self.steps)))
            self.mask_(
                [self._moved(w, m, share) for w, m in zip(self.weights, self.masks, strict=True)]
            )
        for weight, mask in zip(self.weights, self.masks, strict=True):
            assert weight.grad is not None
            weight.grad.mul_(mask)

    @torch.no_grad()
    def _moved(self, weight: Tensor, mask: Tensor, share: float) -> Tensor:
        """The mask after the smallest entries gave place to those of the largest gradient."""
        assert weight.grad is not None
        flat = mask.flatten().clone()
        count = min(int(share * flat.sum()), int((flat == 0).sum()))
        if count == 0:
            return mask
        sizes = weight.abs().flatten().masked_fill(flat == 0, math.inf)
        slopes = weight.grad.abs().flatten().masked_fill(flat == 1, -math.inf)
        gone, grown = sizes.topk(count, largest=False).indices, slopes.topk(count).indices
        flat[gone], flat[grown] = 0.0, 1.0
        for state in self.optimiser.state[weight].values():
            if isinstance(state, Tensor) and state.shape == weight.shape:
                state.view(-1)[grown] = 0.0
        return flat.view_as(mask)

    def finish(self) -> None:
        self.apply_()


def erk(shapes: list[torch.Size], keep: float) -> list[float]:
    """Density of each layer: in proportion to the sum over the product of its axes, at most 1."""
    sizes = [shape.numel() for shape in shapes]
    raw = [sum(shape) / shape.numel() for shape in shapes]
    full: set[int] = set()
    while True:
        rest = [i for i in range(len(shapes)) if i not in full]
        budget = keep * sum(sizes) - sum(sizes[i] for i in full)
        scale = budget / sum(raw[i] * sizes[i] for i in rest)
        over = [i for i in rest if scale * raw[i] > 1]
        if not over or budget <= 0:
            break
        full.update(over)
    return [1.0 if i in full else scale * raw[i] for i in range(len(shapes))]
