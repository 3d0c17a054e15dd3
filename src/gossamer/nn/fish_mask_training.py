"""FISH masks: a pretrained model is tuned in the few entries that the task feels most."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gossamer.nn.attachment import around_step
from gossamer.nn.criteria.fisher import diagonal_fisher, require_samples
from gossamer.nn.keep import largest
from gossamer.nn.pruning.masks import Masks
from gossamer.nn.pruning.probe import Loss, Probe, batches_of


def fish_mask(
    model: nn.Module,
    data: Iterable[Any],
    keep: float = 0.005,
    *,
    whole: Sequence[str] = (),
    within: Masks | None = None,
    loss: Loss = F.cross_entropy,
    samples: int = 1024,
) -> FishMask:
    r"""The entries of a pretrained model with the largest Fisher information about a task.

    .. math:: F_{ii} = \tfrac1n \sum_s \left(\partial L_s / \partial w_i\right)^2

    over single samples of the task's data. Only these entries are trained, the same ones all along;
    all others stay what they are, so that a task is k numbers and their places.

    Parameters
    ----------
    model : nn.Module
        Its parameters that require gradients are covered.
    data : iterable of pairs (inputs, targets)
        Batches of the task.
    keep : float in (0, 1], default 0.005
        Share of the entries that is trained; half a percent is the authors' main setting.
    whole : sequence of patterns of parameters' names, default ()
        Parameters that are trained entirely, such as ``("head.*",)`` for a new output layer. They
        count.
    within : Masks, optional
        Of a pruned model: what it has pruned is not chosen, so that zeros stay. The share is still
        one of all entries.
    loss : function of (outputs, targets), default cross-entropy
        ``gs.nn.language.token_loss`` for language models, whose targets are the tokens themselves.
    samples : int >= 1, default 1024
        How many samples are looked at, at most; the authors find few hundreds to be enough.

    Returns
    -------
    FishMask
        Its ``hold(optimiser)`` keeps all other entries where they are.

    Raises
    ------
    ValueError
        For a share that ``whole`` exceeds, that is no entry or more than live, and patterns without
        a parameter.

    References
    ----------
    Sung, Nair and Raffel (2021), Training neural networks with fixed sparse masks.

    Examples
    --------
    >>> model = nn.Linear(4, 1)
    >>> inputs = torch.tensor([[5.0, 0.0, 0.0, 0.0]])
    >>> mask = fish_mask(model, [(inputs, torch.ones(1, 1))], keep=0.2, loss=F.mse_loss)
    >>> mask.masks[model.weight]
    tensor([[ True, False, False, False]])
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be a share in (0, 1], got {keep!r}.")
    require_samples("fish_mask", samples)
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    entire = _entire(names, whole)
    batches = batches_of(data, samples)  # a batch has one sample at least
    information = diagonal_fisher(Probe(model, names, batches, loss), samples)
    for parameter, name in names.items():
        if name in entire:
            information[parameter].fill_(torch.inf)
        if within is not None and parameter in within.masks:
            information[parameter].masked_fill_(~within.masks[parameter], -torch.inf)
    scores = torch.cat([information[p].reshape(-1) for p in names])
    count, taken = round(keep * len(scores)), int((scores == torch.inf).sum())
    if count < max(taken, 1):
        raise ValueError(
            f"keep={keep!r} is {count} of {len(scores)} entries, fewer than one or than the "
            f"{taken} of whole={tuple(whole)!r}: ask for {max(taken, 1) / len(scores):.3g} or more."
        )
    alive = int((scores > -torch.inf).sum())
    if count > alive:
        raise ValueError(f"keep={keep!r} is {count} entries, of which only {alive} live.")
    flags = largest(scores, count).split([p.numel() for p in names])
    return FishMask(model, {p: flag.view_as(p) for p, flag in zip(names, flags, strict=True)})


class FishMask:
    """The entries of a model that are trained; the others are held where they are.

    Attributes
    ----------
    masks : dict from parameter to boolean tensor of its shape
        True where it is trained.
    """

    def __init__(self, model: nn.Module, masks: Mapping[nn.Parameter, Tensor]) -> None:
        self.model, self.masks = model, dict(masks)
        self.names = {p: name for name, p in model.named_parameters() if p in self.masks}

    @property
    def count(self) -> int:
        """How many entries are trained."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    def hold(self, optimiser: Optimizer) -> Holding:
        """Keep all entries but the chosen ones at their present values, through every step."""
        return Holding(self, optimiser)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """What tells this model from the pretrained one: places and values of the entries."""
        return {
            name: {
                "places": self.masks[p].reshape(-1).nonzero()[:, 0],
                "values": p.detach()[self.masks[p]].clone(),
            }
            for p, name in self.names.items()
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over the entries of another training from the same pretrained model."""
        known = {name: p for p, name in self.names.items()}
        if set(state) != set(known):
            odd = sorted(set(state) ^ set(known))
            raise ValueError(f"The state is of another model: {odd} do not match.")
        for name, entries in state.items():
            parameter, places = known[name], entries["places"].to(known[name].device)
            mask = torch.zeros(parameter.numel(), dtype=torch.bool, device=places.device)
            mask[places] = True
            self.masks[parameter] = mask.view(parameter.shape)
            parameter[self.masks[parameter]] = entries["values"].to(parameter)

    def __repr__(self) -> str:
        total = sum(mask.numel() for mask in self.masks.values())
        return f"FishMask({self.count:,} of {total:,} entries, {self.count / total:.2%})"


class Holding:
    """Entries held at their values in an optimiser; ``remove()`` sets them free.

    Gradients of held entries are taken away where they arise, so that clipping does not see them.
    """

    def __init__(self, mask: FishMask, optimiser: Optimizer) -> None:
        self.mask = mask
        self._values = {p: p.detach().clone() for p in mask.masks}
        self._handles: list[Any] = around_step(optimiser, self._before, self._after)
        self._handles += [self._masking(parameter) for parameter in mask.masks]

    def remove(self) -> None:
        """Let all entries move again."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before(self) -> None:
        for parameter, mask in self.mask.masks.items():
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    @torch.no_grad()
    def _after(self) -> None:
        for parameter, mask in self.mask.masks.items():
            parameter.copy_(torch.where(mask, parameter, self._values[parameter]))

    def _masking(self, parameter: nn.Parameter) -> RemovableHandle:
        return parameter.register_hook(lambda gradient: gradient * self.mask.masks[parameter])


def _entire(names: Mapping[nn.Parameter, str], whole: Sequence[str]) -> set[str]:
    """The names that patterns match."""
    if isinstance(whole, str):
        raise TypeError(f"whole must be a sequence of patterns such as ('head.*',), got {whole!r}.")
    found = {pattern: {n for n in names.values() if fnmatchcase(n, pattern)} for pattern in whole}
    for pattern, matched in found.items():
        if not matched:
            raise ValueError(f"whole: no parameter that is trained is named {pattern!r}.")
    return set().union(*found.values())
