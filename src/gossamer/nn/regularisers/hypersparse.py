"""HyperSparse: all weights explore at first, then only those above the target's threshold stay."""

from __future__ import annotations

from collections.abc import Mapping
from math import atanh, sqrt

import torch
from torch import Tensor, nn

from gossamer.core.penalty import Penalty
from gossamer.core.validation import finite_number
from gossamer.nn.regularisers.reweighted import (
    Reweighted,
    Score,
    checked_share,
    count_of,
    largest_units,
)
from gossamer.nn.rules import Key

# Where tanh bends most: there its third derivative is zero, as tanh^2 = 1/3.
_BEND = atanh(1 / sqrt(3))


class HyperSparse(Reweighted):
    r"""L1 on the weights that will be removed, fading out on those that stay, ever stronger.

    With ``t`` the size of the smallest unit that a target share ``keep`` would leave, and
    ``s = 0.6585 / t`` (where tanh bends most), each unit is pulled towards zero by

    .. math:: \text{strength} \cdot \text{growth}^{\text{steps}} \cdot
              s\,(1 - \tanh^2 s\|w_u\|) \, \frac{\sum_v \|w_v\|}{\sum_v \tanh s\|w_v\|}

    which is about one far below ``t`` and vanishes far above it. This is the gradient of
    ``sum_u |w_u| sum_v tanh(s |w_v|) / A - sum_u |w_u|`` with ``A`` the value of the second sum,
    held constant; here it is the slope of a reweighted L1. Strength grows from step to step:
    weights near ``t`` may still change places early on, later all below it become small, and
    pruning by magnitude then loses nothing (adaptive regularised training: train, regularise
    until the pruned network is as good as the whole, prune, fine-tune).

    Parameters
    ----------
    model : torch.nn.Module
        Trained already, or at least partly.
    rules : mapping of pattern, module class or callable to Penalty
        Which weights, as for ``gossamer.nn.sparsify``; penalties must be ``L1``, whose strength is
        the one to start from (5e-6 in the paper), on any structure.
    keep : float in (0, 1]
        Share of all units that is to remain.
    growth : float >= 1, default 1.0005
        Factor of the strength in each step. The paper grows by 1.05 an epoch:
        ``1.05 ** (1 / len(loader))``.

    Raises
    ------
    ValueError, TypeError
        For rules that do not fit, other penalties than ``L1``, a ``keep`` that is no share.

    References
    ----------
    Glandorf, Kaiser and Rosenhahn (2023), HyperSparse neural networks: shifting exploration to
    exploitation through adaptive regularization.

    Examples
    --------
    >>> import gossamer as gs
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Linear(20, 10)
    >>> art = HyperSparse(model, {"*": gs.L1(1e-2)}, keep=0.1)
    >>> optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> for _ in range(100):
    ...     optimiser.zero_grad()
    ...     (model(torch.ones(1, 20)).square().sum() + art.penalty()).backward()
    ...     optimiser.step()
    ...     art.step()
    >>> art.finalise()["weight"]
    0.9
    """

    def __init__(
        self, model: nn.Module, rules: Mapping[Key, Penalty], keep: float, growth: float = 1.0005
    ) -> None:
        super().__init__(model, rules)
        for part in self.parts:
            if type(part.form.outer).__name__ != "L1" or part.form.inner is not None:
                raise ValueError(
                    f"HyperSparse reweighs L1 penalties, got {part.form.outer!r} for "
                    f"{part.name!r}: use gs.L1(strength, on=structure)."
                )
        self.keep = checked_share(keep)
        self.growth = finite_number(growth, "growth", 1.0)
        self.factor = 1.0  # of the strength
        self._fixed = [part.weights for part in self.parts]
        self._reweigh()

    def step(self) -> None:
        if not self.is_final:
            self.factor *= self.growth
        super().step()

    def is_done(self, score: Score) -> bool:
        """Whether pruning now costs nothing: the pruned model's ``score()`` is no lower.

        ``score`` is called twice; accuracy on the training data is usual.
        """
        whole = score()
        with self.pruned():
            return score() >= whole

    def _reweigh(self) -> None:
        sizes = [part.sizes() for part in self.parts]
        together = torch.cat(sizes)
        rank = len(together) - count_of(self.keep, together) + 1
        smallest = together.kthvalue(rank).values  # of those that would be kept
        bend = _BEND / smallest.clamp(min=1e-30)
        saturated = torch.tanh(bend * together)
        level = bend * together.sum() / saturated.sum().clamp(min=1e-30)
        for part, size, fixed in zip(self.parts, sizes, self._fixed, strict=True):
            fading = 1 - torch.tanh(bend * size).square()
            part.weights = self.factor * level * fading * fixed

    def _kept(self) -> list[Tensor]:
        return largest_units(self.parts, self.keep)
