"""Planning: which products compute which samples, and which threads share them."""

from __future__ import annotations

from functools import cache
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gossamer.runtime.cost import cheapest_handover, learn, seconds
from gossamer.runtime.product import Bounds, Product
from gossamer.runtime.threads import Part, cut, run_parts

if TYPE_CHECKING:
    from gossamer.runtime.layout import Layout

REMEMBERED = 64  # plans of a layout: more numbers of samples than that begin anew


class Piece(NamedTuple):
    """A product, and which samples and rows of it each thread computes."""

    product: Product
    parts: tuple[Part, ...]
    table: np.ndarray  # the same parts, for kernels
    crew: str  # whose threads: see `threads.handover`


class Plan(NamedTuple):
    """The seconds that it should take, and its pieces, one after the other."""

    seconds: float
    pieces: tuple[Piece, ...]


def plan(layout: Layout, samples: int, threads: int = 1) -> Plan:
    """The fastest way to compute ``samples``.

    One product computes as many samples as come in its steps; for those left over the same question
    is asked again. Products that take part in it are measured if they have not been: what has not
    been is taken to be faster than it is, so that nothing fast is overlooked.
    """
    while True:
        found = _cheapest(layout, samples, threads)
        if not learn({piece.product for piece in found.pieces}, layout):
            return found


def _cheapest(layout: Layout, samples: int, threads: int) -> Plan:
    products = tuple(layout.products())

    @cache
    def best(first: int) -> Plan:
        found = Plan(inf, ())
        left = samples - first
        for product in products:
            whole = left - left % product.step
            for count in {whole, left} if not product.whole else {whole}:
                if count == 0:
                    continue
                rest = best(first + count) if count < left else Plan(0.0, ())
                cost, piece = _shared(product, layout, first, first + count, threads)
                if cost + rest.seconds < found.seconds:
                    found = Plan(cost + rest.seconds, (piece, *rest.pieces))
        return found

    return best(0) if samples else Plan(0.0, ())


def _shared(
    product: Product, layout: Layout, first: int, last: int, threads: int
) -> tuple[float, Piece]:
    """Seconds and the piece of a product that as many threads share as is fastest: all, or one."""
    rows = layout.rows
    best, shares, crew = seconds(product, layout, last - first), [(first, last, 0, rows)], ""
    if threads > 1 and rows and not product.threaded:
        lost, other = cheapest_handover(product, threads)
        by_samples = [(a, b, 0, rows) for a, b in cut(first, last, product.step, threads)]
        by_rows = [(first, last, a, b) for a, b in cut(0, rows, product.group, threads)]
        for parts in (by_samples, by_rows):
            cost = lost + max(
                seconds(product, layout, b - a, (bottom - top) / rows)
                for a, b, top, bottom in parts
            )
            if len(parts) > 1 and cost < best:
                best, shares, crew = cost, parts, other
    return best, Piece(product, tuple(shares), np.array(shares, np.intp), crew)


def run_plan(
    layout: Layout,
    x: np.ndarray,
    bias: np.ndarray,
    bounds: Bounds,
    y: np.ndarray,
    samples: int,
    threads: int,
) -> None:
    """Compute all samples: flat x and y."""
    low, high = bounds.limits
    for product, parts, table, crew in remembered_plan(layout, samples, threads).pieces:
        if len(parts) == 1:
            product.run(layout, x, bias, low, high, y, *parts[0])
        else:
            run_parts(crew, product, table, layout, x, bias, low, high, y)


def remembered_plan(layout: Layout, samples: int, threads: int = 1) -> Plan:
    """:func:`plan`, made once for each layout, number of samples and number of threads."""
    key = samples, threads
    try:
        found: Plan = layout.__dict__["_plans"][key]
    except KeyError:
        found = plan(layout, samples, threads)
        plans = layout.__dict__.setdefault("_plans", {})
        if len(plans) >= REMEMBERED:
            plans.clear()
        plans[key] = found
    return found
