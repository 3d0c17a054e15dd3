"""What runs a compiled kernel on one part of a product, or on several at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from gossamer.kernels import bind, sharing


def compiled(
    kernel: Callable, stored: Callable[[Any], tuple], *after: int, **bound: Callable | int
) -> tuple[Callable[..., None], Callable[..., None]]:
    """``run`` and ``together`` of a :class:`Product`, compiled when they are first called.

    Parameters
    ----------
    kernel : function
        Takes the arrays that ``stored`` names, x, bias, low, high, y, inputs, rows, ``after``, and
        first, last, top, bottom.
    stored : layout -> tuple of arrays
    *after : int
        Constants.
    **bound
        Formulas and sizes: see :func:`gossamer.kernels.bind`.
    """

    @cache
    def alone() -> Callable:
        return bind(kernel, **bound)

    @cache
    def shared() -> Callable:
        return bind(sharing.together, piece=kernel, **bound)

    def run(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        sides = layout.inputs, layout.rows, *after
        alone()(*stored(layout), x, bias, low, high, y, *sides, first, last, top, bottom)

    def together(parallel: int, parts, layout: Any, x, bias, low, high, y) -> None:  # type: ignore[no-untyped-def]
        sides = layout.inputs, layout.rows, *after
        if shared()(parallel, parts, *stored(layout), x, bias, low, high, y, *sides):
            raise MemoryError("no memory left for the panels of a product.")

    return run, together
