"""Planning: which products compute which samples, and which threads share them."""

from __future__ import annotations

from functools import cache
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from gossamer.runtime.cost import seconds
from gossamer.runtime.product import Bounds, Product
from gossamer.runtime.threads import share

if TYPE_CHECKING:
    from gossamer.runtime.layout import Layout

GROUP = 16  # rows that stay together when threads share them


# Seconds that it should take, and pieces: which product computes samples [first, last).
Plan = tuple[float, tuple[tuple[Product, int, int], ...]]


def plan(layout: Layout, samples: int) -> Plan:
    """The fastest way to compute ``samples``: seconds it should take, and (product, first, last).

    One product computes as many samples as come in its steps; for those left over the same question
    is asked again.
    """
    products = tuple(layout.products())

    @cache
    def best(first: int) -> Plan:
        found: Plan = (inf, ())
        left = samples - first
        for product in products:
            whole = left - left % product.step
            for last in {whole, left} if not product.whole else {whole}:
                if last == 0:
                    continue
                rest, pieces = best(first + last) if last < left else (0.0, ())
                cost = rest + seconds(product, layout, last)
                if cost < found[0]:
                    found = (cost, ((product, first, first + last), *pieces))
        return found

    return best(0) if samples else (0.0, ())


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
    low, high = np.float32(bounds.low), np.float32(bounds.high)
    for product, first, last in remembered_plan(layout, samples)[1]:

        def piece(first: int, last: int, top: int, bottom: int, product: Product = product) -> None:
            product.run(layout, x, bias, low, high, y, first, last, top, bottom)

        if threads == 1:
            piece(first, last, 0, layout.rows)
        else:
            share(piece, first, last, product.step, layout.rows, GROUP, threads)


def remembered_plan(layout: Layout, samples: int) -> Plan:
    """:func:`plan`, made once for each layout and number of samples."""
    plans = layout.__dict__.setdefault("_plans", {})
    if samples not in plans:
        plans[samples] = plan(layout, samples)
    found: Plan = plans[samples]
    return found
