"""SLoPe: pretraining in an N:M pattern whose transpose is N:M too, and low rank at the end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gossamer.nn.iso_flops import Doped
from gossamer.nn.keep import largest
from gossamer.nn.language.tuning.adapter import Adapted, Adapter, On
from gossamer.nn.language.tuning.registry import ADAPTERS
from gossamer.nn.pruning.masks import Masks
from gossamer.structures import NofM


@ADAPTERS.register
class SLoPe(Adapter):
    r"""Double-pruned sparse training of a whole model, with low-rank layers in the last steps.

    .. math:: y = W^R x \; (+\, U V x), \qquad \nabla_x = (W^{RC})^\top \nabla_y, \qquad
        \nabla_W = M^R \odot \nabla_y x^\top

    :math:`W^R` is N:M along the inputs of each output, from the first step on and at the same
    places; :math:`W^{RC}` is what N:M along the outputs leaves of it, so that hardware for such
    patterns runs the backward pass too. The low-rank layers join in the last steps: they are cheap
    there and make up for some of what the pattern costs.

    Unlike other adapters this one trains all that the model trained before, and it stays: what
    :meth:`merge` leaves in each place is a sparse layer and a low-rank one beside it.

    Parameters
    ----------
    model : nn.Module
        Its selected weights are pruned by magnitude at once.
    n, m : int, default 2 and 4
        The pattern.
    rank : int >= 0, default 8
        Of the low-rank layers; 0 for none.
    lazy : float in (0, 1], default 0.01
        Share of the steps, the last ones, in which they are there.
    on : pattern, class, callable or mapping, default "*"
        Which linear layers are pruned. Their sides must be multiples of m.
    every : int >= 1, default 100
        Steps after which the places of :math:`W^{RC}` are chosen anew.
    seed : int, default 0
        Of V; U starts at zero.

    Raises
    ------
    ValueError
        For a pattern that does not fit, and numbers out of range.

    Notes
    -----
    On a CPU, or without kernels for the pattern, this trains no faster than dense: it is the
    method's arithmetic, with zeros multiplied. A loop of your own calls ``at(progress)`` before
    each step, with the share of the steps that are done, as :func:`fine_tune` does.

    References
    ----------
    Mozaffari, Yazdanbakhsh, Zhang and Mehri Dehnavi (2025), SLoPe: double-pruned sparse plus lazy
    low-rank adapter pretraining of LLMs.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    >>> adapter = SLoPe(model, rank=2)
    >>> adapter.density
    0.5
    """

    def __init__(
        self,
        model: nn.Module,
        n: int = 2,
        m: int = 4,
        *,
        rank: int = 8,
        lazy: float = 0.01,
        on: On = "*",
        every: int = 100,
        seed: int = 0,
    ) -> None:
        if rank < 0 or every < 1:
            raise ValueError(f"rank must be >= 0 and every >= 1, got {rank!r} and {every!r}.")
        if not 0 < lazy <= 1:
            raise ValueError(f"lazy must be a share in (0, 1], got {lazy!r}.")
        self.pattern, self.rank, self.lazy, self.every = NofM(n, m), rank, lazy, every
        self._draws, self._steps = torch.Generator().manual_seed(seed), 0
        super().__init__(model, on)
        for parameter, flag in self._trained_before.items():
            parameter.requires_grad_(flag)

    def adapt(self, name: str, layer: nn.Module) -> Adapted:
        return DoublePruned(layer, self.pattern, self.rank, self._draws)

    def at(self, progress: float) -> None:
        for layer in self._pruned():
            layer.is_doped = self.rank > 0 and progress >= 1 - self.lazy
            if self._steps % self.every == 0:
                layer.prune_backward()
        self._steps += 1

    @property
    def density(self) -> float:
        """Share of the pruned weights' entries that there are."""
        masks = [layer.mask for layer in self._pruned()]
        return sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)

    @property
    def masks(self) -> Masks:
        """Of the pruned weights, for further training after :meth:`merge`."""
        return Masks(self.model, {layer.layer.weight: layer.mask for layer in self._pruned()})

    def merge(self) -> nn.Module:
        """Leave plain layers: sparse ones, with a low-rank one beside each where these had joined.

        Their sum would be dense.
        """
        self._require_on()
        plain = {layer.layer: layer.plain() for layer in self._pruned()}
        model = self.remove()
        self._swap({sparse: doped for sparse, doped in plain.items() if doped is not sparse})
        return model

    def _pruned(self) -> list[DoublePruned]:
        return [layer for layer in self.layers.values() if isinstance(layer, DoublePruned)]

    def _named(self) -> dict[str, nn.Parameter]:
        """All that trains."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}


class DoublePruned(Adapted):
    """A linear layer in an N:M pattern, and another one in its backward pass.

    Attributes
    ----------
    mask, backward_mask : bool buffers of the weight's shape
    is_doped : bool
        Whether the low-rank layer takes part.
    """

    mask: Tensor
    backward_mask: Tensor

    def __init__(self, layer: nn.Module, pattern: NofM, rank: int, draws: torch.Generator) -> None:
        if type(layer) is not nn.Linear:
            raise ValueError(f"SLoPe prunes nn.Linear only, not {type(layer).__name__}: use on=.")
        super().__init__(layer)
        self.pattern, self.is_doped = pattern, False
        weight = layer.weight.detach()
        self.register_buffer("mask", pattern_mask(weight.abs(), pattern))
        with torch.no_grad():
            layer.weight.mul_(self.mask)
        self.register_buffer("backward_mask", self.mask.clone())
        self.prune_backward()
        outputs, inputs = weight.shape
        first = torch.randn(rank, inputs, generator=draws) / inputs**0.5
        self.first = nn.Parameter(first.to(weight))
        self.second = nn.Parameter(weight.new_zeros(outputs, rank))

    def prune_backward(self) -> None:
        """Choose the places of the backward pass by the magnitudes that there are now."""
        along_outputs = NofM(self.pattern.n, self.pattern.m, axis=0)
        sizes = self.layer.weight.detach().abs()
        self.backward_mask = pattern_mask(sizes, along_outputs) & self.mask

    def forward(self, inputs: Tensor) -> Tensor:
        weights = self.layer.weight, self.layer.bias, self.mask, self.backward_mask
        outputs: Tensor = _DoublePruned.apply(inputs, *weights)
        if self.is_doped:
            outputs = outputs + F.linear(F.linear(inputs, self.first), self.second)
        return outputs

    def changed_weight(self) -> Tensor:
        weight: Tensor = self.layer.weight
        return weight + self.second @ self.first if self.is_doped else weight

    def plain(self) -> nn.Module:
        """Layers of PyTorch that compute the same."""
        if not self.is_doped:
            return self.layer
        pair = []
        for factor in (self.first, self.second):
            outputs, inputs = factor.shape
            layer = nn.Linear(inputs, outputs, bias=False, device="meta")
            layer.weight = factor
            pair.append(layer)
        return Doped(self.layer, *pair)


class _DoublePruned(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor, both: Tensor
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight, mask, both)
        return F.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight, mask, both = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        by_inputs = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_inputs = gradient @ (weight * both).to(gradient.dtype)
        if ctx.needs_input_grad[1]:
            by_weight = (flat.T @ inputs.flatten(0, -2).to(gradient.dtype)) * mask
        if ctx.needs_input_grad[2]:
            by_bias = flat.sum(0)
        return by_inputs, by_weight, by_bias, None, None


def pattern_mask(scores: Tensor, pattern: NofM) -> Tensor:
    """The mask of the largest scores in an N:M pattern; the first win ties."""
    quota = pattern.quota(tuple(scores.shape))
    return largest(scores.reshape(-1), pattern.n * quota.count, quota).view(scores.shape)
