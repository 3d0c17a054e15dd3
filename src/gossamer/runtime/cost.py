"""The cost model: what a product takes on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossamer.runtime.product import Product

if TYPE_CHECKING:
    from gossamer.runtime.layout import Layout

# Nanoseconds of each kind of work where the machine has not been measured.
TYPICAL = {"call": 1500.0, "block": 4.0, "row": 5.0, "moved": 1.0, "bytes": 0.01}


def seconds(product: Product, layout: Layout, samples: int) -> float:
    """Seconds that a product should take for so many samples, on one thread."""
    work = product.work(layout, product.steps(samples))
    return 1e-9 * sum(TYPICAL[what] * amount for what, amount in work.items())
