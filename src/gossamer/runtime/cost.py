"""The cost model: what a product takes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from gossamer.kernels.machine import compiles
from gossamer.runtime.calibration import GRID, Speeds, measure, name_of, this_machine
from gossamer.runtime.product import Product
from gossamer.runtime.threads import handover, openmp

if TYPE_CHECKING:
    from gossamer.runtime.layout import Layout

# Nanoseconds of each kind of work that has not been measured: less than on most machines, so that
# what might be fastest gets measured, and what cannot be does not.
TYPICAL = {"call": 500.0, "block": 0.3, "fused": 0.1, "row": 1.0, "written": 0.1}
TYPICAL_HANDOVER = {"openmp": 3e-6, "pool": 6e-5}
# Work that each thread does for itself where they share the rows.
REPEATED = {"call", "packed"}
_learning = RLock()


def seconds(product: Product, layout: Layout, samples: int, share: float = 1.0) -> float:
    """Seconds that a product should take for so many samples and a share of the rows."""
    work = product.work(layout, product.steps(samples))
    speeds = _known(product, layout, work) or TYPICAL
    return 1e-9 * sum(
        speeds.get(what, 0.1) * amount * (1.0 if what in REPEATED else share)
        for what, amount in work.items()
    )


def cheapest_handover(product: Product, threads: int) -> tuple[float, str]:
    """Seconds that sharing a product among threads adds, and whose threads they best are."""
    kinds = ("openmp", "pool") if product.together and openmp() else ("pool",)
    return min((seconds_to_share(kind, threads), kind) for kind in kinds)


def seconds_to_share(crew: str, threads: int) -> float:
    """Seconds that it takes a crew, "openmp" or "pool", to begin and to end together."""
    return handover(crew, threads) if calibrating() else TYPICAL_HANDOVER[crew]


def calibrating() -> bool:
    """Whether speeds are measured: not with ``GOSSAMER_CALIBRATE=0``, nor without a compiler."""
    return os.environ.get("GOSSAMER_CALIBRATE") != "0" and compiles()


def learn(products: Iterable[Product], layout: Layout) -> bool:
    """Measure those products that have not been yet; whether there were any."""
    if not calibrating():
        return False
    with _learning:
        new = [p for p in products if _known(p, layout, p.work(layout, 1)) is None]
        examples = _examples(layout) if new else []
        for product in new:
            speeds = measure(product, examples) if examples else {}
            # what was not done in any example, or could not be tried, takes its typical time
            kinds = dict.fromkeys(product.work(layout, 1), 1.0)
            this_machine().remember(name_of(product, layout), kinds | TYPICAL | speeds)
    return bool(new)


def _known(product: Product, layout: Layout, work: Mapping[str, float]) -> Speeds | None:
    """Remembered speeds; None where there are none of all that the product does."""
    speeds = this_machine().speeds.get(name_of(product, layout))
    return speeds if speeds and speeds.keys() >= work.keys() else None


def _examples(layout: Layout) -> list[Layout]:
    """Layouts of the same kind, large and small, full and nearly empty."""
    random, found = np.random.default_rng(0), []
    for rows, inputs, keep in GRID:
        with suppress(ValueError):  # not every kind exists with every pattern
            found.append(layout.similar(rows, inputs, keep, random))
    return found
