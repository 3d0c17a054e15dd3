"""Smooth forms of depth 2, 3 and 4, and proximal steps: the library's own ways."""

from __future__ import annotations

import torch
from torch import Tensor

import gossamer as gs
from benchmarks.neural.method import EVERY, UNTIL, Masked, Method, largest, scheduled
from gossamer.nn import proximal


def until_the_cut(progress: float) -> float:
    """The schedule of the strength: constant, then nothing, so that what is left is fitted."""
    return 1.0 if progress < UNTIL else 0.0


class Smooth(Method):
    """A product of factors with a ridge, cut gradually along gradual pruning's schedule."""

    strengths = (1e-4, 3e-4, 1e-3)
    depth: int

    def prepare(self) -> torch.optim.Optimizer:
        strength = self.setting.strength
        penalty = gs.L1(strength) if self.depth == 2 else gs.Lq(strength, q=2 / self.depth)
        self.sparse = gs.nn.sparsify(
            self.model, {"*": penalty}, schedule=until_the_cut, total_steps=self.steps
        )
        return self.setting.make(self.sparse.param_groups(lr=self.setting.lr))

    def penalty(self) -> Tensor | float:
        return self.sparse.penalty() if self.sparse.strength > 0 else 0.0

    def after_step(self, step: int) -> None:
        self.sparse.step()
        if step % EVERY == 0 and step <= UNTIL * self.steps + EVERY:
            self._cut(scheduled(self.keep, step / self.steps))

    @torch.no_grad()
    def _cut(self, keep: float) -> None:
        """Factors of small weights become zero, where all gradients vanish: they stay."""
        masks = largest([weight.weight() for weight in self.sparse.weights], keep)
        for weight, mask in zip(self.sparse.weights, masks, strict=True):
            for factor in weight.factors:
                factor.mul_(mask)
                for state in self.optimiser.state[factor].values():
                    if isinstance(state, Tensor) and state.shape == factor.shape:
                        state.mul_(mask)

    def finish(self) -> None:
        self.sparse.finalise(keep=self.keep)


class Depth2(Smooth):
    title, depth = "smooth form, depth 2 (L1)", 2


class Depth3(Smooth):
    title, depth = "smooth form, depth 3 (L2/3)", 3


class Depth4(Smooth):
    title, depth = "smooth form, depth 4 (L1/2)", 4


class Proximal(Masked):
    """Proximal steps of L1 after the optimiser's, a threshold, and a fit of what is left."""

    title = "L1 by proximal steps"
    strengths = (1e-5, 1e-4, 3e-4)

    def prepare(self) -> torch.optim.Optimizer:
        optimiser = self.setting.make(self.model.parameters())
        self.proximal = proximal.Proximal(
            optimiser, self.model, {"*": gs.L1(self.setting.strength)}
        )
        return optimiser

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if step == round(UNTIL * self.steps):
            self.proximal.remove()
            self.mask_(largest(self.weights, self.keep))
