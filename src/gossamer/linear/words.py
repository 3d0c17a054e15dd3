"""Words that the messages about tables share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def listing(names: Iterable[Any], limit: int = 5) -> str:
    """Quoted names for a message, the first few and how many more."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(repr(name) for name in names[:limit]) + more
