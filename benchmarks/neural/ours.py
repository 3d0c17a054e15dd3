"""Smooth forms of depth 2, 3 and 4, and proximal steps: the library's own ways."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.nn.utils import parametrize

import gossamer as gs
from benchmarks.neural.method import EVERY, UNTIL, Masked, Method, largest
from gossamer.nn.controller import Target
from gossamer.nn.proximal import Proximal as ProximalSteps


class Smooth(Method):
    """Factors with a ridge on them, brought within the budget by the library's target."""

    has_strength = True
    depth: int

    def prepare(self) -> torch.optim.Optimizer:
        target = Target(self.keep, until=UNTIL, every=EVERY)
        strength = self.setting.strength
        penalty = gs.L1(strength) if self.depth == 2 else gs.Lq(strength, q=2 / self.depth)
        self.sparse = gs.nn.sparsify(
            self.model, {"*": penalty}, total_steps=self.steps, keep=target, scale=None
        )
        return self.sparse.attach(self.setting.make(self.sparse.param_groups(lr=self.setting.lr)))

    def penalty(self) -> Tensor | float:
        """The ridge on the weights themselves, which optimisers add for the other methods."""
        made = [m for m in self.model.modules() if parametrize.is_parametrized(m, "weight")]
        squares = [torch.linalg.vector_norm(cast(Tensor, m.weight)) ** 2 for m in made]
        return self.setting.decay / 2 * torch.stack(squares).sum()

    def finish(self) -> None:
        self.sparse.finalise()


class Depth2(Smooth):
    title, depth = "smooth form, depth 2 (L1)", 2


class Depth3(Smooth):
    title, depth = "smooth form, depth 3 (L2/3)", 3


class Depth4(Smooth):
    title, depth = "smooth form, depth 4 (L1/2)", 4


class Proximal(Masked):
    """Proximal steps of L1 after the optimiser's, a threshold, and a fit of what is left."""

    title = "L1 by proximal steps"
    has_strength = True

    def prepare(self) -> torch.optim.Optimizer:
        optimiser = super().prepare()
        self.steps_of_l1 = ProximalSteps(optimiser, self.model, {"*": gs.L1(self.setting.strength)})
        return optimiser

    def after_step(self, step: int) -> None:
        super().after_step(step)
        if step == round(UNTIL * self.steps):
            self.steps_of_l1.remove()
            self.mask_(largest(self.weights, self.keep))
