"""Named pieces (penalties, losses, structures, solvers), found by the name a user types.

A registry knows the room that fills it, so that a low room can look a name up without importing
a higher one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes of one kind by name, in the order in which they were registered.

    >>> from gossamer.core.registry import PENALTIES
    >>> PENALTIES["l1"].__name__
    'L1'
    """

    def __init__(self, kind: str, room: str) -> None:
        self.kind, self._room = kind, room
        self._pieces: dict[str, type[T]] = {}

    def register(self, piece: type[T]) -> type[T]:
        """Class decorator: make ``piece`` known under its own name (case does not matter)."""
        self._pieces[piece.__name__.lower()] = piece
        return piece

    def __getitem__(self, name: str) -> type[T]:
        import_module(self._room)
        key = name.lower().replace("-", "").replace("_", "")
        if key not in self._pieces:
            near = difflib.get_close_matches(key, self._pieces, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            known = ", ".join(self._pieces)
            raise ValueError(f"{self.kind} {name!r} is not known.{hint} Known: {known}.")
        return self._pieces[key]

    def __iter__(self) -> Iterator[type[T]]:
        import_module(self._room)
        return iter(tuple(self._pieces.values()))


PENALTIES: Registry = Registry("penalty", "gossamer.penalties")
# penalties whose units share something, and that are made in ways of their own
JOINT_PENALTIES: Registry = Registry("joint penalty", "gossamer.penalties")
LOSSES: Registry = Registry("loss", "gossamer.losses")
STRUCTURES: Registry = Registry("structure", "gossamer.structures")
SOLVERS: Registry = Registry("solver", "gossamer.solvers")
