"""A training loop for tuning: AdamW on what an adapter, or a mask, lets train."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, pi
from time import perf_counter
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from gossamer.nn.language.likelihood import logits_of
from gossamer.nn.language.tuning.adapter import Adapter


class Holder(Protocol):
    """Masks, or a FISH mask: what keeps entries of a model where they are."""

    def hold(self, optimiser: Optimizer) -> Any: ...


@dataclass
class Tuned:
    """What a training was like.

    Attributes
    ----------
    losses : list of float
        Of each step's batch, before the step.
    seconds : list of float
        Of each step.
    trained : int
        Entries given to the optimiser.
    complete : bool
        False after an interruption.
    """

    trained: int
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    complete: bool = False

    @property
    def seconds_per_step(self) -> float:
        """The median."""
        return sorted(self.seconds)[len(self.seconds) // 2]

    def __repr__(self) -> str:
        if not self.losses:
            return f"Tuned(no step, {self.trained:,} trained entries)"
        last = self.losses[-max(1, len(self.losses) // 10) :]
        return (
            f"Tuned({len(self.losses)} steps, loss {self.losses[0]:.3f} to "
            f"{sum(last) / len(last):.3f}, {self.trained:,} trained entries, "
            f"{self.seconds_per_step:.3g} s a step)"
        )


def next_token_loss(model: nn.Module, tokens: Tensor) -> Tensor:
    """The mean cross-entropy of each token given those before it.

    Parameters
    ----------
    model : nn.Module
        Its outputs, or their ``logits``, are (batch, length, vocabulary).
    tokens : integer tensor (batch, length)
    """
    return token_loss(logits_of(model, tokens), tokens)


def token_loss(outputs: Any, tokens: Tensor) -> Tensor:
    """The same of outputs or logits, for what takes a loss of (outputs, targets).

    Examples
    --------
    >>> import gossamer as gs
    >>> model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4))
    >>> tokens = torch.arange(4).repeat(2, 5)
    >>> gs.nn.fish_mask(model, [(tokens, tokens)], keep=0.25, loss=gs.nn.language.token_loss)
    FishMask(17 of 68 entries, 25.00%)
    """
    logits = getattr(outputs, "logits", outputs)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten())


def fine_tune(
    model: nn.Module,
    batches: Iterable[Any],
    adapter: Adapter | None = None,
    *,
    steps: int,
    lr: float = 1e-3,
    hold: Holder | None = None,
    loss: Callable[[nn.Module, Any], Tensor] = next_token_loss,
    warm_up: float = 0.05,
    floor: float = 0.0,
    clip: float = 1.0,
    accumulate: int = 1,
    weight_decay: float = 0.0,
    seed: int = 0,
    progress: Callable[[Tuned], None] | None = None,
) -> Tuned:
    r"""Train a model's adapter, or all of the model that requires gradients.

    AdamW with gradients clipped by their norm; the learning rate rises linearly and then falls as
    a cosine. Ctrl-C ends the training early: what is learnt stays.

    Parameters
    ----------
    model : nn.Module
        In training mode meanwhile.
    batches : iterable
        Integer tensors (batch, length) of tokens, or whatever ``loss`` takes. Gone through again
        where it ends before the steps do.
    adapter : Adapter, optional
        On this model. Without one, the parameters that require gradients train.
    steps : int >= 1
    lr : float > 0, default 1e-3
        The largest learning rate.
    hold : Masks or FishMask, optional
        Held through every step: entries that are pruned stay zero, or all but few entries stay.
    loss : function of (model, batch), default the cross-entropy of the next token
    warm_up : float in [0, 1), default 0.05
        Share of the steps in which the learning rate rises.
    floor : float in [0, 1], default 0
        Share of the largest learning rate to which it falls in the end: what joins late, as the
        low-rank layers of :class:`SLoPe`, needs some.
    clip : float > 0, default 1
        The largest norm of a step's gradient.
    accumulate : int >= 1, default 1
        Batches of a step, whose gradients are averaged.
    weight_decay : float >= 0, default 0
    seed : int, default 0
        Of dropout.
    progress : function of Tuned, optional
        Called after every step.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        For numbers out of their ranges, batches that end, a loss that is not finite (the model is
        as the step before left it), and a model of which nothing trains.

    Examples
    --------
    >>> model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4))
    >>> tokens = torch.arange(4).repeat(2, 5)  # 0 1 2 3 0 1 2 3 ...
    >>> tuned = fine_tune(model, [tokens], steps=60, lr=0.1)
    >>> tuned.losses[0] > 1.0, tuned.losses[-1] < 0.01
    (True, True)
    """
    _check(steps, lr, warm_up, floor, clip, accumulate)
    parameters = _trained(model, adapter)
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay)
    held = [each.hold(optimiser) for each in (hold, adapter) if each is not None]
    log = Tuned(sum(parameter.numel() for parameter in parameters))
    stream, modes = endless(batches), {m: m.training for m in model.modules()}
    devices = {p.device.index for p in parameters if p.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            torch.manual_seed(seed)
            model.train()
            for step in range(steps):
                start = perf_counter()
                for group in optimiser.param_groups:
                    group["lr"] = lr * _rate(step, steps, warm_up, floor)
                if adapter is not None:
                    adapter.at(step / steps)
                value = _gradients(model, stream, loss, accumulate, step)
                nn.utils.clip_grad_norm_(parameters, clip)
                optimiser.step()
                optimiser.zero_grad()
                log.losses.append(value)
                log.seconds.append(perf_counter() - start)
                if progress is not None:
                    progress(log)
        log.complete = True
    except KeyboardInterrupt:
        pass
    finally:
        optimiser.zero_grad()
        for each in filter(None, held):
            each.remove()
        for module, mode in modes.items():
            module.training = mode
    return log


def _gradients(
    model: nn.Module, stream: Iterator[Any], loss: Callable[..., Tensor], accumulate: int, step: int
) -> float:
    """Add up the gradients of a step's batches; their mean loss."""
    total = 0.0
    for _ in range(accumulate):
        value = loss(model, next(stream)) / accumulate
        if not torch.isfinite(value):
            raise ValueError(
                f"The loss is {value.item()} at step {step}: take a smaller lr or see the batch."
            )
        value.backward()
        total += float(value.detach())
    return total


def _rate(step: int, steps: int, warm_up: float, floor: float) -> float:
    """The share of the largest learning rate."""
    rising = round(warm_up * steps)
    if step < rising:
        return (step + 1) / (rising + 1)
    falling = (1 + cos(pi * (step - rising) / (steps - rising))) / 2
    return floor + (1 - floor) * falling


def _trained(model: nn.Module, adapter: Adapter | None) -> Sequence[nn.Parameter]:
    if adapter is not None and adapter.model is not model:
        raise ValueError("adapter is on another model: give adapter.model.")
    found = (
        [p for p in model.parameters() if p.requires_grad]
        if adapter is None
        else adapter.parameters()
    )
    if not found:
        raise ValueError("Nothing trains: give an adapter=, or requires_grad_() on parameters.")
    return found


def endless(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches, gone through again and again."""
    while True:
        ended = True
        for batch in batches:
            ended = False
            yield batch
        if ended:
            raise ValueError(
                "batches has no more: give a list, which is gone through again, or a longer one."
            )


def _check(
    steps: int, lr: float, warm_up: float, floor: float, clip: float, accumulate: int
) -> None:
    for name, count in (("steps", steps), ("accumulate", accumulate)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {count!r}.")
    for name, value in (("lr", lr), ("clip", clip)):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value!r}.")
    if not 0 <= warm_up < 1:
        raise ValueError(f"warm_up must be a share in [0, 1), got {warm_up!r}.")
    if not 0 <= floor <= 1:
        raise ValueError(f"floor must be a share in [0, 1], got {floor!r}.")
