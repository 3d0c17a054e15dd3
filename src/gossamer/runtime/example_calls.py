"""Example calls: what each layer of a model sees when the model runs on an example."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from gossamer.nn.channels import evaluating, positional


@dataclass(frozen=True)
class Example:
    """The arguments of a model's forward method, by place and by name."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, example_inputs: Any) -> Self:
        """What users give: a tensor, a sequence of arguments, or a mapping from their names.

        >>> Example.of({"x": 1}), Example.of([1, 2]).args
        (Example(args=(), kwargs={'x': 1}), (1, 2))
        """
        if isinstance(example_inputs, Mapping):
            return cls(kwargs=dict(example_inputs))
        return cls(positional(example_inputs))

    def run(self, model: nn.Module) -> Any:
        """What the model gives for it.

        Objects that it may write into, such as a cache of keys and values, are copied before, so
        that each call meets the same; tensors, and lists and dicts of them, are passed as they are.
        """
        given = self.args, self.kwargs
        leaves = torch.utils._pytree.tree_leaves(given, is_leaf=_is_plain)
        kept = {id(leaf): leaf for leaf in leaves if isinstance(leaf, Tensor)}
        try:
            args, kwargs = deepcopy(given, kept)
        except RuntimeError as error:
            raise ValueError(
                "example_inputs have an object that cannot be copied, but the model might write "
                "into it: make caches and the like under torch.no_grad()."
            ) from error
        return model(*args, **kwargs)

    def run_once(self, model: nn.Module) -> Any:
        """The same in evaluation mode, without gradients."""
        with evaluating(model), torch.no_grad():
            return self.run(model)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, tuple | list | dict)


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
    model: nn.Module, modules: Iterable[nn.Module], example: Example
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
        output = example.run_once(model)
    return calls, output


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
