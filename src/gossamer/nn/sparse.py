"""The sparse weights of a model, while they train and when they are done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from gossamer.nn import decay_guard
from gossamer.nn.attachment import hooks, refuse_maximising
from gossamer.nn.controller import Target
from gossamer.nn.course import Course
from gossamer.nn.factorised import FactorisedWeight, whole
from gossamer.nn.finalise import Finalised, finalise
from gossamer.nn.report import Report, report
from gossamer.nn.scales import gradient_scales


@dataclass(frozen=True)
class Moment:
    """What was recorded at a cut: the share of the penalty that it took."""

    step: int
    strength: float
    lost: float


@dataclass(eq=False)
class Sparse:
    """The sparse weights of a model, as :func:`gossamer.nn.sparsify` makes them.

    Attributes
    ----------
    weights : list of FactorisedWeight
    strength : float
        Multiplies all penalties: 1 is what the rules say. The schedule and the target set it.
    history : list of Moment
        Strength and share of the penalty that was cut off, at each cut of a target.
    """

    model: nn.Module
    weights: list[FactorisedWeight]
    course: Course
    target: Target | None = None
    history: list[Moment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.base = 1.0
        self._hooks: list[Any] = []
        self._release = decay_guard.guard(self, Sparse.factors)

    # -- training ----------------------------------------------------------------------------------
    @property
    def steps(self) -> int:
        """Steps of training that have passed."""
        return self.course.steps

    @property
    def progress(self) -> float:
        """Share of the training that has passed, 1 where no length was given."""
        return self.course.progress

    @property
    def strength(self) -> float:
        settled = self.target is not None and self.progress >= self.target.until
        share = self.target.settle if self.target is not None and settled else 1.0
        return share * self.base * self.course.share

    def factors(self) -> Iterator[nn.Parameter]:
        """The trained factors of all weights."""
        for weight in self.weights:
            yield from weight.factors

    def penalty(self) -> torch.Tensor:
        """The smooth penalty at the present strength, to be added to the loss."""
        self._refuse_finalised()
        if self._hooks and torch.is_grad_enabled():
            raise RuntimeError(
                "the penalty is attached to the optimiser: added to the loss it would count "
                "twice. To look at it, use torch.no_grad()."
            )
        total = sum(weight.ridge() for weight in self.weights[1:])
        value = self.strength * (self.weights[0].ridge() + total)
        # a sharded model's sum is a distributed tensor; its parts add up here
        return value.full_tensor() if hasattr(value, "full_tensor") else value

    def step(self) -> None:
        """To be called after every step of the optimiser: moves schedule and controller on."""
        self._refuse_finalised()
        self.course.steps += 1
        target = self.target
        if target is None or (self.steps % target.every and self.progress < 1):
            return
        lost = target.cut(self.weights, self.progress)
        self.history.append(Moment(self.steps, self.strength, lost))

    def attach(self, optimiser: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Leave penalty and step to the optimiser: a training loop then stays as it is.

        Before each of the optimiser's steps the penalty's gradient is added to the factors', as
        if ``sparse.penalty()`` were in the loss, and afterwards ``sparse.step()`` is called. It is
        also the faster way, as no graph of the penalty is built. Gradients that are clipped before
        the step are those of the task alone.

        Returns
        -------
        optimiser, for chaining; one that was attached before is let go

        Raises
        ------
        ValueError
            For optimisers that need the value of the loss (LBFGS) or maximise it, those without
            the factors, and those with decoupled weight decay on them.

        Examples
        --------
        >>> import gossamer as gs, torch
        >>> model = torch.nn.Linear(3, 1)
        >>> sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
        >>> optimiser = sparse.attach(torch.optim.AdamW(sparse.param_groups(lr=0.1)))
        """
        self._refuse_finalised()
        if isinstance(optimiser, torch.optim.LBFGS):
            raise ValueError("LBFGS needs the value of the loss: put sparse.penalty() into it.")
        known = {id(factor) for factor in self.factors()}
        held = {id(p) for group in optimiser.param_groups for p in group["params"]}
        if not known <= held:
            raise ValueError(
                "the optimiser does not hold all factors: make it after sparsify, of "
                "sparse.param_groups() or model.parameters()."
            )
        decay_guard.refuse_decoupled(optimiser, known)
        refuse_maximising(optimiser)
        self.detach()
        self._hooks = hooks(self, optimiser)
        return optimiser

    def detach(self) -> None:
        """Take penalty and step back from the optimiser that has them."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def param_groups(
        self, *, weight_decay: float = 0.0, factor_lr: float | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Parameter groups for an optimiser: the factors, without decay, and all the others.

        Parameters
        ----------
        weight_decay : float
            Of the parameters that are not factors. The ridge of the factors is in the loss: a
            decoupled decay of them, as AdamW's, would solve another problem.
        factor_lr : float, default None
            Learning rate of the factors, if not that of the others.
        options
            For both groups, for example ``lr``.

        Examples
        --------
        >>> import gossamer as gs, torch
        >>> model = torch.nn.Linear(3, 1)
        >>> sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
        >>> [len(group["params"]) for group in sparse.param_groups(lr=0.1)]
        [2, 1]
        """
        factors = list(self.factors())
        known = {id(factor) for factor in factors}
        rest = [p for p in self.model.parameters() if id(p) not in known and p.requires_grad]
        sparse: dict[str, Any] = {"params": factors, "weight_decay": 0.0, **options}
        if factor_lr is not None:
            sparse["lr"] = factor_lr
        others = {"params": rest, "weight_decay": weight_decay, **options}
        return [sparse, others] if rest else [sparse]

    def scale_by_gradient(self, loss: Callable[[], torch.Tensor]) -> None:
        """Relative strengths of the layers by the size of the loss's gradient in their units.

        A layer whose units feel small gradients gets a small strength, so that no layer dies
        before the others; see :mod:`gossamer.nn.scales`.
        """
        self._refuse_finalised()
        for weight, share in zip(self.weights, gradient_scales(self.weights, loss), strict=True):
            weight.scale = share

    # -- looking and ending ------------------------------------------------------------------------
    def report(self, loss: Any = None) -> Report:
        """How sparse each weight is, and how far its factors are from balance.

        Parameters
        ----------
        loss : callable, default None
            Returns the task's loss on some data, without the penalty. With it the report holds
            each weight's distance to stationarity of the penalised problem.
        """
        self._refuse_finalised()
        return report(self.weights, self.strength, loss)

    def finalise(
        self,
        *,
        keep: float | None = None,
        tolerance: float = 1e-3,
        threshold: float | None = None,
        loss: Callable[[], torch.Tensor] | None = None,
        inputs: Any = None,
        max_change: float | None = None,
        refit: bool = False,
    ) -> Finalised:
        """Put plain weights back, with exact zeros; see :func:`gossamer.nn.finalise.finalise`."""
        self._refuse_finalised()
        if keep is None and threshold is None and loss is None and self.target is not None:
            keep = self.target.keep
        done = finalise(
            self.model, self.weights, keep=keep, tolerance=tolerance, threshold=threshold,
            loss=loss, strength=self.strength, inputs=inputs, max_change=max_change, refit=refit,
        )  # fmt: skip
        self._release()
        self.detach()
        self.weights = []
        return done

    def _refuse_finalised(self) -> None:
        if not self.weights:
            raise RuntimeError(
                "the model is finalised: its weights are plain. Call sparsify again."
            )

    # -- saving and copying ------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Schedule and controller; the factors are in the model's own ``state_dict``."""
        scales = {weight.name: weight.scale for weight in self.weights}
        return {"steps": self.steps, "base": self.base, "scales": scales}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        if set(state["scales"]) != {weight.name for weight in self.weights}:
            raise ValueError(
                f"state_dict is of the weights {sorted(state['scales'])}, but these are "
                f"{sorted(weight.name for weight in self.weights)}: sparsify with the same rules."
            )
        self.course.steps, self.base = int(state["steps"]), float(state["base"])
        for weight in self.weights:
            weight.scale = float(state["scales"][weight.name])

    def plain_state_dict(self) -> dict[str, torch.Tensor]:
        """The model's ``state_dict`` under its plain names: weights made, nothing cut off.

        Of a sharded model (FSDP) whole; all processes must call it.
        """
        state = {key: whole(value) for key, value in self.model.state_dict().items()}
        for weight in self.weights:
            for name in weight.names:
                stem, _, tensor_name = name.rpartition(".")
                prefix = f"{stem}." if stem else ""
                inside = f"{prefix}parametrizations.{tensor_name}."
                state = {key: value for key, value in state.items() if not key.startswith(inside)}
                state[name] = whole(weight.weight().detach()).clone()
        return state

    def __deepcopy__(self, memo: dict[int, Any]) -> Sparse:
        return self.of(deepcopy(self.model, memo))

    def of(self, copy: nn.Module) -> Sparse:
        """The same for a copy of the model: an average of its weights, a snapshot.

        Examples
        --------
        >>> import copy, gossamer as gs, torch
        >>> model = torch.nn.Linear(3, 1)
        >>> sparse = gs.nn.sparsify(model, {"*": gs.L1(0.1)})
        >>> snapshot = copy.deepcopy(model)
        >>> _ = sparse.of(snapshot).finalise()
        >>> type(snapshot.weight).__name__
        'Parameter'
        """
        copy = copy.module if isinstance(copy, AveragedModel) else copy
        modules = dict(zip(self.model.modules(), copy.modules(), strict=True))
        weights = [weight.moved(modules) for weight in self.weights]
        target = deepcopy(self.target)
        other = Sparse(copy, weights, deepcopy(self.course), target, [*self.history])
        other.base = self.base
        return other
