"""What runs a compiled kernel on one part of a product, or on several at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from gossamer.kernels import bind, scaling, sharing


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

    Where the layout has ``scales``, the inputs are multiplied by these first.
    """

    @cache
    def alone(scaled: bool = False) -> Callable:
        return bind(scaling.scaled, product=kernel, **bound) if scaled else bind(kernel, **bound)

    @cache
    def shared(scaled: bool = False) -> Callable:
        pieces = {"piece": scaling.scaled, "product": kernel} if scaled else {"piece": kernel}
        return bind(sharing.together, **pieces, **bound)

    def run(layout: Any, x, bias, low, high, y, first, last, top, bottom) -> None:  # type: ignore[no-untyped-def]
        flat = x, bias, low, high, y
        sides = layout.inputs, layout.rows, *after
        if layout.scales is None:
            alone()(*stored(layout), *flat, *sides, first, last, top, bottom)
        else:
            given = layout.scales, stored(layout)
            alone(True)(*given, *flat, sides, first, last, top, bottom)

    def together(parallel: int, parts, layout: Any, x, bias, low, high, y) -> None:  # type: ignore[no-untyped-def]
        flat = x, bias, low, high, y
        sides = layout.inputs, layout.rows, *after
        if layout.scales is None:
            failed = shared()(parallel, parts, *stored(layout), *flat, *sides)
        else:
            failed = shared(True)(parallel, parts, layout.scales, stored(layout), *flat, sides)
        if failed:
            raise MemoryError("no memory left for the panels of a product.")

    return run, together
