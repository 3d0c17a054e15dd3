"""Continual learning: one network for several tasks, each with weights of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gossamer.nn.pruning.masks import Masks
from gossamer.nn.pruning.recipe import Recipe
from gossamer.nn.pruning.training import SparseTraining
from gossamer.nn.rules import match
from gossamer.structures import Elements


class TaskMasks:
    r"""Tasks learnt one after the other, in weights that no earlier task has taken.

    Each task finds its mask by dynamic sparse training among the weights that are still free, and
    keeps what it has trained there: the masks are disjoint, so that what comes later changes
    nothing, and a task is as good at the end as when it was learnt, to the bit. Everything that is
    not masked (biases, normalisation and its statistics) is small and stored for each task.

    .. code-block:: python

        tasks = gs.nn.TaskMasks(model)
        for loader in loaders:
            optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
            training = tasks.begin(optimiser, keep=0.1, total_steps=1000)
            for inputs, targets in loader:
                ...
                optimiser.step()
                training.step()
            tasks.end()
        tasks.use(0)

    Parameters
    ----------
    model : nn.Module
        Every task starts from its present weights.
    on : mapping, default {"*": True}
        Which weights are divided, as rules of :func:`gossamer.nn.rules.match`: ``True``, or
        ``None`` for weights that each task has for itself, such as those of a head.

    Attributes
    ----------
    masks : list of Masks
        Of the tasks learnt.

    Notes
    -----
    The model holds one task at a time. Which task an input belongs to is known to who calls
    :meth:`use` (task-incremental learning).

    References
    ----------
    Yildirim, Gok Yildirim, Sokar, Mocanu and Vanschoren (2023), Continual learning with dynamic
    sparse training: exploring algorithms for effective model updates.
    Mallya and Lazebnik (2018), PackNet: adding multiple tasks to a single network by iterative
    pruning.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Linear(20, 2)
    >>> tasks = TaskMasks(model)
    >>> for sign in (1, -1):
    ...     optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    ...     training = tasks.begin(optimiser, keep=0.25, total_steps=10)
    ...     for _ in range(10):
    ...         optimiser.zero_grad()
    ...         (model(torch.ones(1, 20)) - sign).square().sum().backward()
    ...         optimiser.step()
    ...         training.step()
    ...     tasks.end()
    >>> tasks.use(0)
    >>> bool((model(torch.ones(1, 20)) > 0).all()), tasks.free
    (True, 0.5)
    """

    def __init__(self, model: nn.Module, on: Mapping[Any, Any] | None = None) -> None:
        found = match(model, on or {"*": True}, bool, '{"*": True}')
        self.model = model
        self._names = [one.name for one in found]
        self._start = _copies(model.state_dict())
        self._weights = {one.name: torch.zeros_like(one.parameter) for one in found}
        self._others: list[dict[str, Tensor]] = []
        self._training: SparseTraining | None = None
        self.masks: list[Masks] = []

    @property
    def free(self) -> float:
        """Share of the weights that no task has taken."""
        return self._unused().density

    def begin(
        self,
        optimiser: Optimizer,
        recipe: str | Recipe = "rigl",
        *,
        keep: float,
        total_steps: int,
        **settings: Any,
    ) -> SparseTraining:
        """Start on the next task.

        Parameters
        ----------
        optimiser : torch.optim.Optimizer
            A fresh one, of the model's parameters.
        recipe, keep, total_steps, settings
            As for :class:`SparseTraining`; ``keep`` is the task's share of all weights. The same
            share of each layer unless ``allocation`` is given, so that none runs out before others.

        Raises
        ------
        ValueError
            While a task is under way, and when fewer weights are free than asked for.
        """
        if self._training is not None:
            raise ValueError("A task is under way: call end() before the next begin().")
        unused = self._unused()
        if keep > unused.density + 1e-9:
            raise ValueError(
                f"keep={keep!r} asks for more than the {unused.density:.1%} of the weights that "
                f"{len(self.masks)} tasks have left free: lower it, or take a wider model."
            )
        self.model.load_state_dict(self._start)
        rules = {name: Elements() for name in self._names}
        settings = {"allocation": "uniform", "on": rules, "seed": len(self.masks), **settings}
        self._training = SparseTraining(
            self.model, optimiser, recipe, keep=keep, total_steps=total_steps, within=unused,
            **settings,
        )  # fmt: skip
        return self._training

    def end(self) -> None:
        """The task is learnt: its weights are taken."""
        if self._training is None:
            raise ValueError("No task is under way: call begin() first.")
        masks = self._training.finalise()
        self._training = None
        self.masks.append(masks)
        state = _copies(self.model.state_dict())
        for name, weight in self._weights.items():
            weight += state.pop(name)
        self._others.append(state)

    def use(self, task: int) -> None:
        """Let the model compute what it did at the end of a task."""
        if self._training is not None:
            raise ValueError("A task is under way: call end() before use().")
        if not 0 <= task < len(self.masks):
            raise ValueError(f"task must be below the {len(self.masks)} learnt, got {task!r}.")
        named = self.masks[task].named()
        own = {name: weight * named[name] for name, weight in self._weights.items()}
        self.model.load_state_dict({**self._others[task], **own})

    def state_dict(self) -> dict[str, Any]:
        """All tasks, in one copy of the weights, one mask and the small rest for each."""
        return {
            "start": self._start,
            "weights": self._weights,
            "tasks": [
                {"masks": masks.state_dict(), "others": others}
                for masks, others in zip(self.masks, self._others, strict=True)
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the tasks of a state, of a model of the same shapes."""
        self._start, self._weights = _copies(state["start"]), _copies(state["weights"])
        self._others = [_copies(task["others"]) for task in state["tasks"]]
        self.masks = []
        for task in state["tasks"]:
            self.masks.append(self._all())
            self.masks[-1].load_state_dict(task["masks"])

    def _all(self) -> Masks:
        found = [self.model.get_parameter(name) for name in self._names]
        return Masks(self.model, {p: torch.ones_like(p, dtype=torch.bool) for p in found})

    def _unused(self) -> Masks:
        """What no task has taken."""
        unused = self._all()
        for masks in self.masks:
            for name, mask in unused.named().items():
                mask &= ~masks.named()[name]
        return unused


def _copies(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.detach().clone() if isinstance(value, Tensor) else value
        for name, value in state.items()
    }
