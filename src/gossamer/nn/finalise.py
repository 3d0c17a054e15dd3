"""The end of sparse training: plain weights with exact zeros."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from gossamer.nn.budget import Units, check_keep
from gossamer.nn.factorised import FactorisedWeight, collapse_, without
from gossamer.nn.judgement import living

_BISECTIONS = 20


@dataclass(eq=False)
class Finalised:
    """What :func:`finalise` did.

    Attributes
    ----------
    masks : dict from parameter names to boolean tensors
        True where the weight may differ from zero.
    lost : float
        Share of the penalty that was cut off.
    change : float or None
        Norm of the change of the outputs relative to theirs, where inputs were given.
    """

    masks: dict[str, torch.Tensor]
    units: dict[str, tuple[int, int]]
    lost: float
    change: float | None
    _hooks: list[Any] = field(default_factory=list)

    @property
    def sparsity(self) -> float:
        """Share of the entries of all sparse weights that are zero."""
        entries = sum(mask.numel() for mask in self.masks.values())
        return 1 - sum(int(mask.sum()) for mask in self.masks.values()) / entries

    def release(self) -> None:
        """End the refit: zeros may train again."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def __str__(self) -> str:
        width = max(map(len, self.units))
        lines = [
            f"{name:<{width}}  {alive:>9,} of {count:>9,} units kept{'' if alive else ': all zero'}"
            for name, (alive, count) in self.units.items()
        ]
        moved = "" if self.change is None else f", outputs moved by {self.change:.1e}"
        cut = f"{self.lost:.1e} of the penalty cut off"
        return "\n".join([*lines, f"{self.sparsity:.2%} of the entries are zero; {cut}{moved}"])


def finalise(
    model: nn.Module,
    weights: Sequence[FactorisedWeight],
    *,
    keep: float | None = None,
    tolerance: float = 1e-3,
    threshold: float | None = None,
    loss: Callable[[], torch.Tensor] | None = None,
    strength: float = 1.0,
    inputs: Any = None,
    max_change: float | None = None,
    refit: bool = False,
) -> Finalised:
    r"""Put plain parameters in the place of factors, small units at exact zero.

    By default the units dropped are the smallest ones, as many as hold together at most the share
    ``tolerance`` of the penalty. This needs no unit of size: at a stationary point of
    ``loss + Omega`` with an L1 the loss rises, to first order, by just the penalty that is cut
    off, so that the penalised objective stays where it was.

    With ``loss`` each of these units is judged by the objective itself, see
    :func:`gossamer.nn.judgement.living`: on a convex problem the support is then that of the
    optimum, small coefficients included.

    Parameters
    ----------
    keep : float in (0, 1], default None
        Keep this share of the cost instead: the largest contributions to the penalty.
    tolerance : float in [0, 1), default 1e-3
    threshold : float, default None
        Drop units of a size up to this instead.
    loss : callable, default None
        Returns the task's loss on some data, without the penalty, at ``strength`` of which the
        weights were trained. With it small units stay where the objective is the lower for them.
    inputs : tensor, tuple of arguments or mapping of named ones, default None
        On which to compare the outputs before and after.
    max_change : float, default None
        Largest change of the outputs allowed, relative to their norm. With a tolerance fewer units
        are dropped until it holds; with ``keep`` or ``threshold`` a larger change is refused.
    refit : bool, default False
        Hold the zeros, by hooks on the gradients, while training goes on with a new optimiser;
        ``release()`` of what is returned ends it.

    Raises
    ------
    ValueError
        For arguments that contradict each other, weights that are not finite, and a change of the
        outputs that is too large; the model then still has its factors.
    """
    _check(keep, tolerance, threshold, loss, inputs, max_change)
    _refuse_sharded(weights)
    units = Units.of(weights)
    if keep is not None:
        alive = units.within(check_keep(keep))
    elif threshold is not None:
        sizes = [weight.sizes(weight.made()).cpu().numpy() for weight in weights]
        alive = np.concatenate(sizes) > threshold
    else:
        alive = living(weights, units, tolerance, loss, strength)
    change = None
    if inputs is not None:
        with _trial(model, weights, inputs) as trial:
            change = trial(units.split(alive))
            if max_change is not None and not change <= max_change:
                if keep is not None or threshold is not None or loss is not None:
                    raise ValueError(
                        f"the outputs move by {change:.2e}, more than max_change={max_change:g}: "
                        "keep more, or train longer at this strength."
                    )
                alive, change = _search(units, trial, tolerance, max_change)
    return _collapse(weights, units, alive, change, refit)


def _check(
    keep: float | None, tolerance: float, threshold: float | None, loss: Any, inputs: Any,
    max_change: float | None,
) -> None:  # fmt: skip
    given = {"keep": keep, "threshold": threshold, "loss": loss}
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) > 1:
        raise ValueError(f"give {' or '.join(ways)}: each alone says which units are dropped.")
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), got {tolerance}.")
    for name, bound in (("threshold", threshold), ("max_change", max_change)):
        if bound is not None and not bound >= 0:
            raise ValueError(f"{name} must be >= 0, got {bound}.")
    if max_change is not None and inputs is None:
        raise ValueError("max_change needs inputs, on which the outputs are compared.")


def _refuse_sharded(weights: Sequence[FactorisedWeight]) -> None:
    if any(hasattr(factor, "device_mesh") for weight in weights for factor in weight.factors):
        raise ValueError(
            "the weights are sharded (FSDP), and plain ones cannot take the place of shards. Load "
            "sparse.plain_state_dict() into the model as it was before sparsify, sparsify it by "
            "the same rules, and finalise that."
        )


@contextmanager
def _trial(model: nn.Module, weights: Sequence[FactorisedWeight], inputs: Any) -> Iterator[Any]:
    """A function that says how far the outputs move without some units; nothing stays changed."""
    modes = {module: module.training for module in model.modules()}
    model.eval()

    def change(alive: Sequence[np.ndarray]) -> float:
        with without(weights, alive):
            after = outputs(model, inputs)
        size = sum(float((a**2).sum()) for a in before) ** 0.5
        moved = sum(float(((a - b) ** 2).sum()) for a, b in zip(after, before, strict=True)) ** 0.5
        return moved / size if size > 0 else moved

    try:
        before = outputs(model, inputs)
        yield change
    finally:
        for module, mode in modes.items():
            module.training = mode


def _search(
    units: Units, trial: Any, tolerance: float, max_change: float
) -> tuple[np.ndarray, float]:
    """The largest share of the penalty to cut off for which the outputs move little enough."""
    low, high = np.log(1e-12), np.log(tolerance)
    best = units.above(0.0)
    change = trial(units.split(best))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        alive = units.above(float(np.exp(middle)))
        moved = trial(units.split(alive))
        if moved <= max_change:
            low, best, change = middle, alive, moved
        else:
            high = middle
    return best, change


def _collapse(
    weights: Sequence[FactorisedWeight], units: Units, alive: np.ndarray, change: float | None,
    refit: bool,
) -> Finalised:  # fmt: skip
    masks, counts, hooks = {}, {}, []
    for weight, flags in zip(weights, units.split(alive), strict=True):
        w = weight.kept(weight.made(), flags)
        plain = collapse_(weight, w.to(weight.factors[0].dtype))
        mask = plain.detach() != 0
        masks[weight.name], counts[weight.name] = mask, (int(flags.sum()), len(flags))
        if refit:
            hooks.append(plain.register_hook(mask.to(plain.dtype).mul))
    return Finalised(masks, counts, units.lost(alive), change, hooks)


@torch.no_grad()
def outputs(model: nn.Module, inputs: Any) -> list[torch.Tensor]:
    """The floating-point tensors among what the model returns for ``inputs``."""
    if isinstance(inputs, Mapping):
        made = model(**inputs)
    else:
        made = model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)
    found: list[torch.Tensor] = []
    pending = [made]
    while pending:
        item = pending.pop(0)
        if isinstance(item, torch.Tensor):
            if item.is_floating_point():
                found.append(item.clone())
        elif isinstance(item, Mapping):
            pending.extend(item.values())
        elif isinstance(item, tuple | list):
            pending.extend(item)
    if not found:
        raise TypeError("the model returns no floating-point tensors to compare.")
    return found
