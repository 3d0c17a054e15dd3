"""Candidates: the runtime modules that could take a layer's place. One file a kind of module.

A file here registers a function for a class of modules::

    @candidates_for(nn.Linear)
    def linear(module: nn.Linear, inputs: tuple, options: Options) -> Iterator[nn.Module]: ...

or, with the name of a class such as ``"*RMSNorm"``, for classes of which each library has its own:
then the function must find out whether a module does what the name says.

``inputs`` are the positional arguments that the module's forward method saw in the example. What it
yields must give what the module gives in evaluation mode, for any batch. :func:`gossamer.compile`
measures all of them against the module itself. It is made of this library's or torch's modules, so
that :func:`gossamer.nn.load_model` knows them.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from itertools import chain
from typing import Any

from torch import nn

from gossamer.runtime.layout import Layout
from gossamer.runtime.stored_values import PRECISIONS

OBJECTIVES = ("latency", "memory")
VALUES = tuple(PRECISIONS)


@dataclass(frozen=True)
class Options:
    """What :func:`gossamer.compile` was asked for.

    Attributes
    ----------
    objective : one of OBJECTIVES
    values : one of VALUES
        The least precise type that weights may be stored in: all before it may be used too.
    threads : int, optional
        For the runtime modules; None leaves it to torch at each call.
    like : Layout, optional
        Linear layers get a layout of this kind, with its options, and no other.
    """

    objective: str = "latency"
    values: str = "float32"
    threads: int | None = None
    like: Layout | None = None

    @property
    def precisions(self) -> tuple[str, ...]:
        """The types that weights may be stored in, float32 first."""
        return VALUES[: VALUES.index(self.values) + 1]


Candidates = Callable[[Any, tuple[Any, ...], Options], Iterator[nn.Module]]

_MAKERS: dict[type[nn.Module] | str, list[Candidates]] = {}


def candidates_for(*kinds: type[nn.Module] | str) -> Callable[[Candidates], Candidates]:
    """Decorator: a function whose modules can replace those of exactly these classes.

    In place of a class there may be a pattern of names of classes.
    """

    def register(function: Candidates) -> Candidates:
        for kind in kinds:
            _MAKERS.setdefault(kind, []).append(function)
        return function

    return register


def candidates(module: nn.Module, inputs: tuple[Any, ...], options: Options) -> Iterator[nn.Module]:
    """All that could replace the module: none where it is of an unknown class.

    A class that inherits from a known one is unknown: it may do something else.
    """
    for function in _makers(type(module)):
        yield from function(module, inputs, options)


def replaceable(module: nn.Module) -> bool:
    """Whether there may be candidates for the module's class."""
    return bool(_makers(type(module)))


def _makers(kind: type[nn.Module]) -> list[Candidates]:
    for found in pkgutil.iter_modules(__path__, f"{__name__}."):
        import_module(found.name)
    fitting = (
        functions
        for known, functions in _MAKERS.items()
        if known is kind or (isinstance(known, str) and fnmatchcase(kind.__name__, known))
    )
    return list(chain.from_iterable(fitting))
