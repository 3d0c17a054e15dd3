"""Proximal training: any optimiser, then the exact step of a penalty that is not smooth."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

import torch
from torch import nn
from torch.optim import Optimizer

from gossamer.core.penalty import Penalty
from gossamer.core.validation import finite_number
from gossamer.nn.course import Course
from gossamer.nn.keep import Keep
from gossamer.nn.pieces import Piece, piece_of
from gossamer.nn.preconditioners import Metric, metric_of
from gossamer.nn.rules import Key, Match, match
from gossamer.nn.schedules import Schedule


class Proximal:
    r"""After each step of an optimiser, the proximal step of a penalty.

    Training then minimises ``loss(w) + Omega(w)`` with weights that are exactly zero on the way,
    for every penalty that splits by unit, convex or not, and for budgets. The proximal step is

        w  <-  argmin_w  1/2 sum_i d_i (w_i - v_i)^2 + Omega(w),

    with v from the optimiser and its own metric d, one over the step of each entry: for SGD
    ``1 / lr``, for Adam ``(sqrt(v_hat) + eps) / lr`` and so on. In any other metric training would
    end at another optimum. It is attached to ``optimiser.step()``: the training loop stays as it
    is.

    Parameters
    ----------
    optimiser : torch.optim.Optimizer
        SGD, Adam, AdamW, NAdam, RAdam, Adamax, RMSprop, Adagrad or a subclass; others with
        ``metric``.
    model : torch.nn.Module
    rules : mapping
        What is penalised how, as in :func:`gossamer.nn.rules.match`; values are penalties, or
        :class:`Keep` for a budget: only the largest units stay, in the optimiser's metric (the
        projection, iterative hard thresholding).
    schedule : str or callable, default "constant"
        A name, or a function of progress from 0 to 1, for the share of the full strengths, and
        (at most 1) of the way from all units to the budgets, for which :func:`cubic` is customary.
    total_steps : int, default None
        Optimiser steps until progress is one; needed unless the schedule is constant.
    metric : str or callable, default None
        For other optimisers: ``"adam"`` and the like for those that keep their state as torch's
        Adam does, or ``(state, group) -> steps``, the length of step of each entry per unit of
        gradient.

    Attributes
    ----------
    scale : float
        Factor of the schedule, 1 at first; set it to change all strengths.
    matches : list of Match
        What is penalised.

    Raises
    ------
    ValueError
        When a rule selects nothing or a structure does not fit, when the optimiser lacks a
        parameter that is selected, and for L-BFGS.
    UnsupportedProblem
        When a penalty does not split by unit.

    Notes
    -----
    *Momentum.* In the long run a constant gradient moves SGD with momentum by ``lr / (1 -
    momentum)``, so that this is its step; with ``lr`` alone the penalty would be ``1 / (1 -
    momentum)`` times too weak. Adam's first moment is an average and changes nothing.

    *Weight decay* that is coupled (in SGD, Adam) is a ridge in the loss. Decoupled decay (AdamW) is
    a ridge in the optimiser's metric: the optimum then depends on it.

    *Groups in a metric that varies* have no closed form; ``metric_prox`` finds their size by
    Newton's method: exactly for convex shapes, as a local minimum no worse than zero for others.

    *Budgets.* A unit that is out comes back when one step makes it larger than the smallest that is
    in. Short steps never do: the support is then that of the first step. Reach the
    budget by and by, with a schedule, or see :class:`TopK`.

    *Low rank.* Penalties and budgets on ``Spectrum`` need equal steps of all entries: SGD.

    *Minibatches.* The noise of gradients keeps units near the threshold alive, and a constant
    learning rate leaves the optimum only nearly reached: let the rate decay to zero.

    ``copy.deepcopy`` of a ``Proximal`` copies its model and optimiser with it. Copies of the
    optimiser alone take no proximal steps.

    References
    ----------
    Yun, Lozano and Yang (2021), Adaptive proximal gradient methods for structured neural networks.
    Deleu and Bengio (2021), Structured sparsity inducing adaptive optimizers for deep learning.

    Examples
    --------
    >>> import gossamer as gs
    >>> _ = torch.manual_seed(0)
    >>> X = torch.randn(100, 20)
    >>> y = 3 * X[:, :1] - 2 * X[:, 1:2]
    >>> model = nn.Linear(20, 1)
    >>> optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    >>> proximal = Proximal(optimiser, model, {"*": gs.MCP(0.5)})
    >>> for _ in range(200):
    ...     optimiser.zero_grad()
    ...     nn.functional.mse_loss(model(X), y).backward()
    ...     optimiser.step()
    >>> model.weight.detach().nonzero()[:, 1]
    tensor([0, 1])
    """

    def __init__(
        self,
        optimiser: Optimizer,
        model: nn.Module,
        rules: Mapping[Key, Any],
        *,
        schedule: str | Schedule = "constant",
        total_steps: int | None = None,
        metric: str | Metric | None = None,
    ) -> None:
        self._course = Course(schedule, total_steps)
        self._metric = metric_of(optimiser, metric)
        self.matches = match(model, rules, (Penalty, Keep))
        self.model, self.optimiser, self._rules = model, optimiser, dict(rules)
        held = {id(p) for group in optimiser.param_groups for p in group["params"]}
        for found in self.matches:
            if id(found.parameter) not in held:
                raise ValueError(
                    f"the optimiser does not hold {found.name!r}, which a rule selects: make it "
                    "from the parameters of this very model, or add None for it to the rules."
                )
        self._pieces = {id(found.parameter): piece_of(found) for found in self.matches}
        self._scale, self._share = 1.0, -1.0
        self._follow()
        self._handle = optimiser.register_step_post_hook(self._after_step)

    @property
    def scale(self) -> float:
        return self._scale

    @scale.setter
    def scale(self, scale: float) -> None:
        self._scale = finite_number(scale, "scale", 0.0)
        self._follow()

    @torch.no_grad()
    def alive(self) -> dict[str, int]:
        """Number of units that are not zero, by parameter."""
        return {found.name: piece.alive(found.parameter) for found, piece in self._items()}

    @torch.no_grad()
    def value(self) -> float:
        """Omega of the weights as they are, at the present strengths; budgets count nothing."""
        return sum(piece.value(found.parameter) for found, piece in self._items())

    def violations(self) -> dict[str, float]:
        """How far each penalised parameter is from stationary: zero at a local optimum.

        The largest distance, over units, of minus the gradient to the subdifferential of the
        penalty. Gradients must be those of the whole loss at the present weights: call
        ``backward()`` on all data first.
        """
        found = {}
        for each, piece in self._items():
            if piece.penalty is None:
                continue
            if each.parameter.grad is None:
                raise ValueError(f"{each.name!r} has no gradient: call backward() first.")
            w, gradient = (
                t.detach().double().cpu().numpy() for t in (each.parameter, each.parameter.grad)
            )
            found[each.name] = float(piece.penalty.subdiff_distance(w, gradient).max(initial=0.0))
        return found

    def remove(self) -> None:
        """Detach from the optimiser: no more proximal steps."""
        self._handle.remove()

    def state_dict(self) -> dict[str, float]:
        """Schedule and scale; weights are in the model's own ``state_dict``."""
        return {"steps": self._course.steps, "scale": self.scale}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self._course.steps = int(state["steps"])
        self.scale = state["scale"]

    def _follow(self) -> None:
        """Bring strengths and budgets to where the schedule is."""
        share = self._scale * self._course.share
        if share != self._share:
            self._share = share
            for piece in self._pieces.values():
                piece.follow(share)

    def _items(self) -> list[tuple[Match, Piece]]:
        return [(found, self._pieces[id(found.parameter)]) for found in self.matches]

    @torch.no_grad()
    def _after_step(self, optimiser: Optimizer, args: Any, kwargs: Any) -> None:
        for group in optimiser.param_groups:
            if float(group["lr"]) == 0:
                continue
            for parameter in group["params"]:
                piece = self._pieces.get(id(parameter))
                if piece is not None and parameter.grad is not None:
                    steps = self._metric(optimiser.state.get(parameter, {}), group)
                    parameter.copy_(piece.step(parameter, steps))
        self._course.steps += 1
        self._follow()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        model, optimiser = deepcopy(self.model, memo), deepcopy(self.optimiser, memo)
        memo[id(self)] = copy = type(self)(optimiser, model, self._rules, metric=self._metric)
        copy._course = deepcopy(self._course, memo)
        copy.scale = self.scale
        return copy

    def __repr__(self) -> str:
        names = ", ".join(found.name for found in self.matches)
        return f"Proximal({type(self.optimiser).__name__} on {names})"
