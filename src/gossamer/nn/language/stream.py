"""A transformer's blocks, one after the other, on all calibration windows.

Between two blocks the hidden states of all windows lie in a file, so that memory holds one block
and one batch, however many tokens there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gossamer.nn.language.likelihood import without_cache
from gossamer.nn.language.statistics import InputStatistics

_HIDDEN = "hidden_states"  # as transformers calls a block's first argument


class _Reached(Exception):
    """The first block was called: the rest of the model need not run."""


class Stream:
    """Feeds a model's blocks with the calibration data.

    Parameters
    ----------
    model : nn.Module
    blocks : sequence of modules, applied one after the other
    tokens : (n, length) integer tensor
    folder : Path
        Where hidden states lie, in two files that take turns: one is read, the other is written.
    batch_size : int
    device : torch.device
        Where blocks run; only the one at work is there.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: nn.ModuleList,
        tokens: Tensor,
        folder: Path,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.model, self.blocks, self.tokens = model, blocks, tokens
        self.folder, self.batch_size, self.device = folder, batch_size, device
        self._calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        first = self._first_call(tokens[:1])
        self._width, self._dtype = first.shape[-1], first.dtype

    def beside(self, name: str) -> Stream:
        """Another stream of the same data, with hidden states in a folder of their own."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Stream(self.model, self.blocks, self.tokens, folder, self.batch_size, self.device)

    @torch.no_grad()
    def begin(self) -> None:
        """Write what the first block reads, of all windows."""
        states = self.states(0, new=True)
        for at, batch in self.batches(self.tokens):
            states[at] = self._first_call(batch)

    def states(self, turn: int, new: bool = False) -> Tensor:
        """(n, length, width) hidden states before block number ``turn``."""
        path = self.folder / f"hidden-{turn % 2}.bin"
        shape = (*self.tokens.shape, self._width)
        count = shape[0] * shape[1] * shape[2]
        if new:
            path.unlink(missing_ok=True)
        elif not path.exists():
            raise FileNotFoundError(f"{path} is missing: the hidden states of block {turn}.")
        return torch.from_file(str(path), True, count, dtype=self._dtype).view(shape)

    @torch.no_grad()
    def run(self, turn: int) -> Iterator[Tensor]:
        """The outputs of block number ``turn``, batch by batch."""
        block = self.blocks[turn]
        for _, batch in self.batches(self.states(turn)):
            yield self._call(block, batch)

    @torch.no_grad()
    def advance(self, turn: int) -> None:
        """Write what comes out of block number ``turn``, for the next one."""
        after = self.states(turn + 1, new=True)
        start = 0
        for outputs in self.run(turn):
            after[start : start + len(outputs)] = outputs.to(after)
            start += len(outputs)

    def batches(self, rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Rows in batches, with their places."""
        for start in range(0, len(rows), self.batch_size):
            at = slice(start, start + self.batch_size)
            yield at, rows[at]

    def _call(self, block: nn.Module, hidden: Tensor) -> Tensor:
        args, kwargs = self.arguments(len(hidden))
        return hidden_of(block(hidden.to(self.device), *args, **kwargs))

    def arguments(self, size: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What blocks get besides hidden states, in batches of this size."""
        if size not in self._calls:
            self._first_call(self.tokens[:size])
        return self._calls[size]

    @torch.no_grad()
    def _first_call(self, tokens: Tensor) -> Tensor:
        """The hidden states that the first block gets; what else it gets is remembered."""
        seen: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]] = []

        def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden, *rest = args or (kwargs.get(_HIDDEN),)
            if not isinstance(hidden, Tensor):
                raise TypeError(
                    f"the first block is a {type(self.blocks[0]).__name__}, called without a "
                    f"tensor as its first argument or {_HIDDEN}=."
                )
            left = {name: value for name, value in kwargs.items() if name != _HIDDEN}
            seen.append((hidden, tuple(rest), left))
            raise _Reached

        handle = self.blocks[0].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            here = next(self.model.parameters()).device
            self.model(tokens.to(here), **without_cache(self.model))
        except _Reached:
            pass
        finally:
            handle.remove()
        if not seen:
            raise ValueError("The model's forward pass does not call its first block.")
        hidden, rest, left = seen[0]
        given = converted((rest, left), lambda tensor: tensor.to(self.device))
        known = self._calls.setdefault(len(tokens), given)
        if not _same(known, given):
            raise ValueError(
                "The blocks get arguments that depend on the tokens besides hidden states: such a "
                "model cannot be compressed block by block."
            )
        return hidden


def hidden_of(answer: Any) -> Tensor:
    """The hidden states among what a block puts out."""
    hidden: Tensor = answer[0] if isinstance(answer, tuple | list) else answer
    return hidden


def converted(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Tensors in tuples, lists and dicts, each changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(converted(part, change) for part in value)
    if isinstance(value, dict):
        return {name: converted(part, change) for name, part in value.items()}
    return value


def _same(first: Any, second: Any) -> bool:
    """Whether two calls have equal tensors in equal places."""
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first, second)
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    return True


@contextmanager
def gathering(layers: dict[str, nn.Module]) -> Iterator[dict[str, InputStatistics]]:
    """Statistics of the inputs of layers, while their block runs.

    Layers that read the very same tensor, as queries, keys and values do, share them.
    """
    found: dict[str, InputStatistics] = {}
    latest: dict[str, Tensor] = {}  # what the first reader of each tensor has read last

    def look(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            inputs: Tensor = args[0]
            first = next((other for other, seen in latest.items() if seen is inputs), name)
            if first != name:
                found[name] = found[first]
                return
            latest[name] = inputs
            if name not in found:
                found[name] = InputStatistics(inputs.shape[-1], inputs.device)
            found[name].add(inputs)

        return hook

    with ExitStack() as stack:
        for name, module in layers.items():
            stack.callback(module.register_forward_pre_hook(look(name)).remove)
        yield found
