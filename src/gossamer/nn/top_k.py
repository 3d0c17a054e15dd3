"""Straight-through masks: the forward pass sees the largest units, the backward pass all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.factorisations.cells import Cells
from gossamer.nn.keep import Keep, keep_share, largest
from gossamer.nn.masked import cells_for, put_on, take_off
from gossamer.nn.rules import Key, match

_EXAMPLE = '{"*": gs.nn.Keep(0.1)}'


class TopK:
    r"""Train with only the largest units of each weight, chosen anew at every forward pass.

    The model computes with ``mask(w) w``, where the mask keeps the units of largest Euclidean size;
    the gradient is taken there and moves all of w as if there were no mask (straight through), so
    that a unit left out by mistake grows and comes back. Weights of units that are out are kept,
    and forgotten by :meth:`finalise`.

    Parameters
    ----------
    model : torch.nn.Module
    rules : mapping
        As in :func:`gossamer.nn.rules.match`, with values :class:`Keep`.
    schedule : callable, default None
        ``schedule(step)`` is the share, between 0 and 1, of the way from dense to the budgets; call
        :meth:`step` after each optimiser step. ``None`` is at the budgets from the first. See
        :func:`cubic`.

    Raises
    ------
    TypeError, ValueError
        As :func:`gossamer.nn.rules.match`, and for structures that do not fit.

    Notes
    -----
    Optimisers may be made before or after: parameters stay the same objects.

    The units that are out have a gradient that belongs to another point, so that this descends no
    objective. It works well where the budget is mild; :class:`Proximal` with a :class:`Keep` is
    the exact projection.

    References
    ----------
    Bengio, Leonard and Courville (2013), Estimating or propagating gradients through stochastic
    neurons for conditional computation.
    Lin, Stich, Barba, Dmitriev and Jaggi (2020), Dynamic model pruning with feedback.
    Zhu and Gupta (2018), To prune, or not to prune: the cubic schedule.

    Examples
    --------
    >>> model = nn.Linear(10, 4)
    >>> masks = TopK(model, {"*": Keep(0.25)})
    >>> int((model.weight != 0).sum())
    10
    >>> masks.finalise()
    >>> type(model), int((model.weight != 0).sum())
    (<class 'torch.nn.modules.linear.Linear'>, 10)
    """

    def __init__(
        self,
        model: nn.Module,
        rules: Mapping[Key, Any],
        *,
        schedule: Callable[[int], float] | None = None,
    ) -> None:
        if schedule is not None and not callable(schedule):
            raise TypeError(f"schedule must be a function of the step, got {schedule!r}.")
        self.matches = match(model, rules, Keep, _EXAMPLE)
        self.steps = 0
        self._schedule = schedule
        self._masks = [
            Mask(cells_for(found.penalty.on, found), found.penalty) for found in self.matches
        ]
        self._follow()
        for found, mask in zip(self.matches, self._masks, strict=True):
            put_on(found, mask)

    def step(self) -> None:
        """Advance the schedule by one step."""
        self.steps += 1
        self._follow()

    def kept(self) -> dict[str, int]:
        """Number of units in use, by parameter."""
        return {m.name: mask.k for m, mask in zip(self.matches, self._masks, strict=True)}

    def finalise(self) -> None:
        """Cut to the budgets: what is out is exactly zero, and the model has plain parameters."""
        for found, mask in zip(self.matches, self._masks, strict=True):
            mask.follow(1.0)
            take_off(found)
        self.matches, self._masks = [], []

    def state_dict(self) -> dict[str, int]:
        return {"steps": self.steps}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.steps = int(state["steps"])
        self._follow()

    def _follow(self) -> None:
        share = 1.0 if self._schedule is None else float(self._schedule(self.steps))
        if not 0 <= share <= 1:
            raise ValueError(f"schedule({self.steps}) must be between 0 and 1, got {share!r}.")
        for mask in self._masks:
            mask.follow(share)


class Mask(nn.Module):
    """The mask of one weight: the parametrisation that keeps its ``k`` largest units."""

    def __init__(self, cells: Cells, keep: Keep) -> None:
        super().__init__()
        self.cells, self.budget = cells, keep.count(cells.count)
        self.k = cells.count

    def follow(self, share: float) -> None:
        """Go to this share of the way from all units to the budget."""
        self.k = keep_share(self.cells.count, self.budget, share)

    def forward(self, w: Tensor) -> Tensor:
        with torch.no_grad():
            kept = self.cells.spread(largest(self.cells.sums(w * w), self.k))
            out = torch.where(kept, 0.0, w)
        return w - out  # exactly w or zero, with the gradient of w


def cubic(total: int, begin: int = 0) -> Callable[[int], float]:
    """A schedule that cuts fast at first and slowly at the end: ``1 - (1 - t)^3``.

    Parameters
    ----------
    total : int
        Step at which the budget is reached.
    begin : int, default 0
        Step at which cutting begins.

    Examples
    --------
    >>> [round(cubic(10)(step), 3) for step in (0, 5, 10, 20)]
    [0.0, 0.875, 1.0, 1.0]
    """
    if not 0 <= begin < total:
        raise ValueError(f"cubic: begin must be in [0, total), got {begin!r} of {total!r}.")

    def share(step: int) -> float:
        rest = 1 - (step - begin) / (total - begin)
        return 1 - min(max(rest, 0.0), 1.0) ** 3

    return share
