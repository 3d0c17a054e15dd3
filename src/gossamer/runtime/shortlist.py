"""Shortlist: the layouts in which a weight should multiply fastest, by the cost model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from gossamer.runtime.layout import LAYOUTS, Layout, options_of
from gossamer.runtime.planning import remembered_plan

if TYPE_CHECKING:
    from gossamer.runtime.candidates import Options

LENGTH = 3
# Share of non-zero weights above which only blocks of so many rows have won against dense products.
DENSEST, HIGHEST = 0.9, 8
WASTE = 2  # blocks hold at most so many times the values that are not zero

# Layouts that take options, and what is tried; those that are not named take none.
VARIANTS: dict[str, tuple[Mapping[str, int], ...]] = {
    "blocks": tuple(
        {"height": height, "width": width}
        for height, width in ((16, 1), (8, 1), (4, 1), (4, 4), (1, 4))
    ),
    "sliced": ({"window": 16}, {"window": 32}),
    "n:m": ({"m": 4}, {"m": 8}, {"m": 16}),
}

# Layouts that are fast where inputs are zero, which one example does not tell of others.
OF_INPUTS = {"columns"}

# Layouts that round, and so need leave; those that do when asked to.
ROUNDED, ROUNDED_ON_REQUEST = {"bfloat16"}, {"blocks", "sliced"}


def shortlist(weight: np.ndarray, samples: int, options: Options) -> list[Layout]:
    """The ``LENGTH`` most promising layouts that hold the weight, the best one first.

    The best of each precision is among them, as less precise ones may be beyond the tolerance.

    Parameters
    ----------
    weight : (rows, inputs) array, float32
    samples : int
        That come at once.
    options : Options
        With the objective ``"memory"``, layouts of fewer bytes are the promising ones.

    Examples
    --------
    >>> from gossamer.runtime.candidates import Options
    >>> weight = np.kron(np.eye(4), np.ones((16, 4))).astype(np.float32)
    >>> shortlist(weight, 1, Options())[0].name
    'blocks'
    """
    if options.like is not None:
        return _like(options.like, weight)
    found = list(_fitting(np.ascontiguousarray(weight), options.precisions))
    if options.objective == "memory":
        found.sort(key=lambda layout: layout.nbytes)
    else:
        found.sort(key=lambda layout: remembered_plan(layout, samples)[0])
    precisions = [layout.precision for layout in found]
    best = [precisions.index(precision) for precision in set(precisions)]
    return [layout for place, layout in enumerate(found) if place < LENGTH or place in best]


def _like(layout: Layout, weight: np.ndarray) -> list[Layout]:
    """The layout of that kind, with the same options; none where the zeros do not fit."""
    options = options_of(type(layout))
    with suppress(ValueError):
        return [
            type(layout).build(
                weight, **{n: v for n, v in layout.numbers().items() if n in options}
            )
        ]
    return []


def _fitting(weight: np.ndarray, precisions: Sequence[str]) -> Iterator[Layout]:
    nonzeros = np.count_nonzero(weight)
    left_out = OF_INPUTS if "bfloat16" in precisions else OF_INPUTS | ROUNDED
    dense = nonzeros > DENSEST * weight.size
    for kind in LAYOUTS:
        if kind.name in left_out:
            continue
        for variant in _variants(kind, precisions):
            height, width = variant.get("height", 1), variant.get("width", 1)
            if dense and height < HIGHEST and kind.name not in ROUNDED:
                continue
            if stored(weight, height, width) > WASTE * nonzeros:
                continue
            with suppress(ValueError):  # zeros of another pattern
                yield kind.build(weight, **variant)


def _variants(kind: type[Layout], precisions: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    rounded = precisions[1:] if kind.name in ROUNDED_ON_REQUEST else ()
    for variant in VARIANTS.get(kind.name, ({},)):
        yield variant
        for precision in rounded:
            yield {**variant, "precision": precision}


def stored(weight: np.ndarray, height: int, width: int) -> int:
    """How many values the blocks that are not zero hold; more than all where they do not fit."""
    rows, inputs = weight.shape
    if rows % height or inputs % width:
        return 2 * weight.size + 1
    tiles = weight.reshape(rows // height, height, inputs // width, width)
    return int((tiles != 0).any((1, 3)).sum()) * height * width
