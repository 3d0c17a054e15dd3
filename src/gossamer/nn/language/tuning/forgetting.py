"""Forgetting: some classes, or texts, are lost on purpose, and the rest is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.channels import evaluating, positional
from gossamer.nn.language.tuning.adapter import Adapter
from gossamer.nn.language.tuning.training import Tuned, endless, fine_tune

Batch = tuple[Any, Tensor]


class ForgettingLoss:
    r"""A bounded reward for errors on what shall be forgotten, and the loss on what is kept.

    .. math:: \beta \, \overline{[b - L_f]_+} + \overline{L_r} \;+\;
        \gamma_f \, \overline{[b_p - K_f]_+} + \gamma_r \, \overline{K_r}

    for the cross-entropies :math:`L_f, L_r` of the samples to be forgotten and to be retained.
    Beyond the bound b nothing more is to be gained, so that the weights do not run away. With
    prototypes, :math:`K` is the Kullback-Leibler divergence of the outputs from the prototype of
    their class, away from which the former are pushed and to which the latter are pulled.

    Parameters
    ----------
    bound : float, optional
        b, by default twice the logarithm of the number of classes: twice the loss of guessing.
        Where samples are few, a larger one carries over better to others.
    weight : float >= 0, default 1.0
        :math:`\beta`.
    prototypes : dict from classes to tensors, optional
        Of the model before, see :func:`class_prototypes`; every class in the batches needs one.
    push, pull : float >= 0, default 0.1 and 1.0
        :math:`\gamma_f` and :math:`\gamma_r`.
    push_bound : float, optional
        :math:`b_p`, by default as ``bound``.
    each : bool, default True
        Whether each sample, or token, meets the bound by itself. Else the mean over the batch does,
        as in the papers: a few samples with huge errors then speak for the others.

    Raises
    ------
    ValueError
        For negative numbers, and a class without a prototype.

    References
    ----------
    Zhao et al. (2024), Continual forgetting for pre-trained vision models, equations 5 to 7.
    Zhao et al. (2025), Practical continual forgetting for pre-trained vision models: prototypes.

    Examples
    --------
    >>> outputs = torch.tensor([[0.0, 0.0], [0.0, 9.0]])
    >>> batch = (outputs[:1], torch.tensor([0])), (outputs[1:], torch.tensor([1]))
    >>> ForgettingLoss(bound=3.0)(nn.Identity(), batch)  # 3 - log 2, and next to nothing
    tensor(2.3070)
    """

    def __init__(
        self,
        bound: float | None = None,
        weight: float = 1.0,
        *,
        prototypes: Mapping[int, Tensor] | None = None,
        push: float = 0.1,
        pull: float = 1.0,
        push_bound: float | None = None,
        each: bool = True,
    ) -> None:
        numbers = {"bound": bound, "weight": weight, "push": push, "pull": pull}
        for name, value in {**numbers, "push_bound": push_bound}.items():
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be >= 0, got {value!r}.")
        self.bound, self.weight, self.prototypes = bound, weight, prototypes
        self.push, self.pull, self.each = push, pull, each
        self.push_bound = bound if push_bound is None else push_bound

    def __call__(self, model: nn.Module, batch: tuple[Batch, Batch]) -> Tensor:
        (lost, lost_targets), (kept, kept_targets) = (
            (_logits(model, inputs), targets.flatten()) for inputs, targets in batch
        )
        errors = F.cross_entropy(lost, lost_targets, reduction="none")
        loss = F.cross_entropy(kept, kept_targets)
        loss = loss + self.weight * self._short_of(self.bound, errors, lost)
        if self.prototypes is None:
            return loss
        away = self._short_of(self.push_bound, self._divergences(lost, lost_targets), lost)
        return loss + self.push * away + self.pull * self._divergences(kept, kept_targets).mean()

    def _short_of(self, bound: float | None, values: Tensor, outputs: Tensor) -> Tensor:
        """By how much values miss their bound."""
        limit = 2 * log(outputs.shape[-1]) if bound is None else bound
        return F.relu(limit - (values if self.each else values.mean())).mean()

    def _divergences(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(n,) of the samples from the prototypes of their classes."""
        assert self.prototypes is not None
        missing = {int(target) for target in targets.unique()} - set(self.prototypes)
        if missing:
            raise ValueError(f"prototypes has none of {sorted(missing)}: give these classes too.")
        prototypes = torch.stack([self.prototypes[int(target)] for target in targets])
        logs = outputs.log_softmax(-1), prototypes.to(outputs).log_softmax(-1)
        return F.kl_div(*logs, reduction="none", log_target=True).sum(-1)


@torch.no_grad()
def class_prototypes(model: nn.Module, data: Iterable[Batch]) -> dict[int, Tensor]:
    """The mean output of a model on each class.

    Parameters
    ----------
    model : nn.Module
        Run in evaluation mode.
    data : iterable of (inputs, targets)

    Raises
    ------
    ValueError
        Where there are no data.

    Examples
    --------
    >>> data = [(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 0, 1]))]
    >>> class_prototypes(nn.Identity(), data)
    {0: tensor([2., 0.]), 1: tensor([0., 5.])}
    """
    sums: dict[int, Tensor] = {}
    counts: dict[int, int] = {}
    with evaluating(model):
        for inputs, targets in data:
            outputs, targets = _logits(model, inputs), targets.flatten()
            for each in targets.unique().tolist():
                of_class = outputs[targets == each]
                sums[each] = sums.get(each, 0) + of_class.sum(0)
                counts[each] = counts.get(each, 0) + len(of_class)
    if not sums:
        raise ValueError("data is empty: give one batch (inputs, targets) at least.")
    return {each: sums[each] / counts[each] for each in sorted(sums)}


def forget(
    model: nn.Module,
    forgotten: Iterable[Batch],
    retained: Iterable[Batch],
    adapter: Adapter | None = None,
    *,
    loss: ForgettingLoss | None = None,
    steps: int = 300,
    lr: float = 1e-2,
    seed: int = 0,
    progress: Callable[[Tuned], None] | None = None,
) -> Tuned:
    """Make a model forget some data and keep the rest.

    Requests that come one after the other are adapters that are trained and merged in turn; what is
    forgotten already belongs to neither of the later data.

    Parameters
    ----------
    model : nn.Module
        Its outputs, or their ``logits``, have the classes last: those of an image or a text, or of
        each next token.
    forgotten, retained : iterable of (inputs, targets)
        Batches; several inputs go as a tuple. Each is gone through again where it ends. Fresh
        orders, as of a shuffling DataLoader, are better than one.
    adapter : Adapter, optional
        On this model, such as :class:`GroupSparseLoRA`. Without one, the parameters that require
        gradients train.
    loss : ForgettingLoss, optional
        By default without prototypes.
    steps, lr, seed, progress
        As of :func:`fine_tune`.

    Returns
    -------
    Tuned

    Raises
    ------
    ValueError
        As :func:`fine_tune`, and for data without a batch.

    References
    ----------
    Zhao et al. (2024), Continual forgetting for pre-trained vision models.

    Examples
    --------
    >>> import gossamer as gs
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    >>> inputs, targets = torch.eye(4), torch.arange(4)
    >>> learnt = gs.nn.language.fine_tune(
    ...     model, [(inputs, targets)], steps=100, lr=0.1,
    ...     loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
    ... )
    >>> model(inputs).argmax(1).tolist()
    [0, 1, 2, 3]
    >>> adapter = gs.nn.language.GroupSparseLoRA(model, rank=2)
    >>> told = forget(model, [(inputs[3:], targets[3:])], [(inputs[:3], targets[:3])], adapter)
    >>> adapter.merge()(inputs).argmax(1).tolist()[:3], int(model(inputs)[3].argmax()) != 3
    ([0, 1, 2], True)
    """
    pairs = zip(endless(forgotten), endless(retained), strict=True)
    return fine_tune(
        model,
        pairs,
        adapter,
        steps=steps,
        lr=lr,
        loss=ForgettingLoss() if loss is None else loss,
        seed=seed,
        progress=progress,
    )


def _logits(model: nn.Module, inputs: Any) -> Tensor:
    """(n, classes): a sample, or a token, a row."""
    outputs = model(*positional(inputs))
    logits: Tensor = getattr(outputs, "logits", outputs)
    return logits.flatten(0, -2).float()
