"""Inputs of a model's layers, watched while the model runs on examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.hooks import has_hooks
from gossamer.runtime.example_calls import Example

#: a tensor, a sequence of positional arguments, or a mapping of keyword arguments
Examples = Tensor | Sequence[Any] | Mapping[str, Any]


def watch(
    model: nn.Module,
    example_inputs: Examples,
    note: Callable[[str, Tensor], None],
    names: Sequence[str],
    batch_size: int | None = None,
) -> None:
    """Call ``note(name, x)`` with the inputs of the named layers while the model runs."""
    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_pre_hook(
                lambda module, inputs, name=name: note(name, inputs[0])
            )
            stack.callback(handle.remove)
        for part in parts_of(example_inputs, batch_size):
            part.run_once(model)


def sampled_inputs(
    model: nn.Module,
    example_inputs: Examples,
    names: Sequence[str],
    count: int,
    batch_size: int | None = None,
) -> dict[str, Tensor]:
    """(samples, inputs) of each layer, about ``count`` from all over the examples.

    Layers that read the very same tensor one after the other, as queries, keys and values do,
    share one.
    """
    each = -(-count // max(1, sum(1 for _ in parts_of(example_inputs, batch_size))))
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    latest: list[Tensor] = [torch.empty(0), torch.empty(0)]  # the tensor, and some of its samples

    def note(name: str, x: Tensor) -> None:
        if x is not latest[0]:
            flat = x.detach().flatten(0, -2)
            some = flat[:: -(-len(flat) // each)] if len(flat) else flat
            latest[:] = x, some.to("cpu", copy=True)
        found[name].append(latest[1])

    watch(model, example_inputs, note, names, batch_size)
    unused = [name for name, inputs in found.items() if not sum(map(len, inputs))]
    if unused:
        raise ValueError(
            f"example_inputs bring nothing to {unused}: give more, or leave these out of keep."
        )
    return joined(found)


def joined(parts: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
    """Tensors put together along their first axis; those made of the very same parts are shared."""
    made: dict[tuple[int, ...], Tensor] = {}
    found = {}
    for name, tensors in parts.items():
        key = tuple(map(id, tensors))
        if key not in made:
            made[key] = tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
        found[name] = made[key]
    return found


def linear_layers(model: nn.Module) -> list[str]:
    """Names of the layers that can be replaced.

    A class that inherits from nn.Linear may do something else, or have its weight read by others.
    """
    return [
        name
        for name, module in model.named_modules()
        if type(module) is nn.Linear and not has_hooks(module)
    ]


def linear_layer(model: nn.Module, name: str) -> nn.Linear:
    """The layer of that name."""
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def named(names: Iterable[str], patterns: str | Sequence[str]) -> list[str]:
    """Those of the names that a pattern fits.

    >>> named(["0.up", "0.down", "head"], ["*.up", "head"])
    ['0.up', 'head']
    """
    wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in wanted)]


def turned_layers(names: Sequence[str], turn: str | Sequence[str]) -> list[str]:
    """Those that ``turn`` names; each pattern must fit one."""
    for pattern in (turn,) if isinstance(turn, str) else turn:
        if not named(names, pattern):
            raise ValueError(f"turn: {pattern!r} fits none of the layers {list(names)}.")
    return named(names, turn)


def parts_of(example_inputs: Examples, batch_size: int | None = None) -> Iterator[Example]:
    """The calls in which a model sees its examples, so many rows at a time.

    >>> [part.args[0].shape[0] for part in parts_of(torch.zeros(5, 2), 2)]
    [2, 2, 1]
    """
    example = Example.of(example_inputs)
    if batch_size is None:
        yield example
        return
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be an integer of at least 1 or None, got {batch_size}.")
    given = (*example.args, *example.kwargs.values())
    rows = {len(x) for x in given if isinstance(x, Tensor) and x.ndim}
    if len(rows) != 1:
        raise ValueError(
            f"batch_size: the tensors in example_inputs must have as many rows, got {sorted(rows)}."
        )
    for start in range(0, rows.pop(), batch_size):

        def part(x: Any, at: slice = slice(start, start + batch_size)) -> Any:
            return x[at] if isinstance(x, Tensor) and x.ndim else x

        args = tuple(map(part, example.args))
        yield Example(args, {name: part(x) for name, x in example.kwargs.items()})
