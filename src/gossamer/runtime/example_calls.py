"""Example calls: what each layer of a model sees when the model runs on an example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.channels import evaluating


@dataclass(frozen=True)
class Call:
    """The arguments of a module's largest call in the example, and how many calls there were."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    count: int = 1

    def of(self, module: nn.Module) -> Any:
        """What a module gives for these arguments."""
        return module(*self.args, **self.kwargs)

    @property
    def size(self) -> int:
        """Numbers in the arguments."""
        return sum(leaf.numel() for leaf in tensors_in((self.args, dict(self.kwargs))))


def example_calls(
    model: nn.Module, modules: Iterable[nn.Module], inputs: tuple[Any, ...]
) -> tuple[dict[nn.Module, Call], Any]:
    """The calls of those modules that are called at all, in order, and the model's output."""
    calls: dict[nn.Module, Call] = {}

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call, before = Call(args, kwargs), calls.get(module)
        if before is not None:
            largest = max(before, call, key=lambda one: one.size)
            call = Call(largest.args, largest.kwargs, before.count + 1)
        calls[module] = call

    with ExitStack() as stack:
        for module in modules:
            hook = module.register_forward_pre_hook(note, with_kwargs=True)
            stack.callback(hook.remove)
        output = run_once(model, inputs)
    return calls, output


def run_once(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """The model's output in evaluation mode, without gradients."""
    with evaluating(model), torch.no_grad():
        return model(*inputs)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts."""
    leaves = torch.utils._pytree.tree_leaves(value)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


def deviation(found: Any, expected: Any) -> float:
    """The largest difference of two outputs, as a share of the largest number of each tensor.

    Infinite where they have other shapes; NaN and infinity must be in the same places.

    >>> deviation(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 4.0]))
    0.25
    """
    pairs = list(zip(tensors_in(found), tensors_in(expected), strict=False))
    if len(tensors_in(found)) != len(tensors_in(expected)):
        return float("inf")
    return max((_deviation(*pair) for pair in pairs), default=0.0)


def _deviation(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    if found.is_complex() and expected.is_complex():
        found, expected = torch.view_as_real(found), torch.view_as_real(expected)
    if not expected.is_floating_point():
        return 0.0 if torch.equal(found, expected) else float("inf")
    same = (found == expected) | (found.isnan() & expected.isnan())
    apart = (found.double() - expected.double()).abs()[~same]
    if apart.numel() == 0:
        return 0.0
    if not apart.isfinite().all():
        return float("inf")
    finite = expected.double()[expected.isfinite()].abs()
    return float(apart.max() / finite.max().clamp_min(1e-30))
