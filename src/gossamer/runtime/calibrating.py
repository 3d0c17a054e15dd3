"""Calibrating ahead: the products of all usual layouts are compiled and measured at once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import numpy as np

from gossamer.runtime.calibration import this_machine
from gossamer.runtime.cost import learn
from gossamer.runtime.layout import Layout
from gossamer.runtime.layouts import (
    CSR,
    BlockRows,
    Condensed,
    Dense,
    PackedNofM,
    Shrunk,
    SlicedRows,
    TiledCSR,
)
from gossamer.runtime.product import Product

# Kinds of layouts that models are compiled to, with the options that are tried first.
_USUAL: tuple[tuple[type[Layout], dict[str, int]], ...] = (
    (CSR, {}),
    (TiledCSR, {"width": 32}),
    (SlicedRows, {}),
    (Condensed, {}),
    (BlockRows, {"height": 16, "width": 1}),
    (BlockRows, {"height": 8, "width": 1}),
    (BlockRows, {"height": 4, "width": 4}),
    (PackedNofM, {"n": 2, "m": 4}),
    (Dense, {}),
    (Shrunk, {}),
)


def calibrate(progress: bool = False) -> Mapping[str, Mapping[str, float]]:
    """Compile and measure the products of all usual layouts, so that no first call waits for it.

    Each product is measured when it is first needed anyway, and once on a machine: this does it
    ahead, in about a second for each that has not been compiled before.

    Parameters
    ----------
    progress : bool
        Whether to say on standard error what is measured.

    Returns
    -------
    mapping
        Of each product with the types that it reads, the nanoseconds of each kind of work.
    """
    for layout, product in usual_products():
        if progress:
            sys.stderr.write(f"{product.name}\n")
        learn([product], layout)
    return this_machine().speeds


def usual_products() -> Iterator[tuple[Layout, Product]]:
    """Products that compiled models choose from, each with a layout for it."""
    weight = np.zeros((64, 64), np.float32)
    weight[:, :2] = 1.0  # two neighbours: it fits all kinds
    for kind, options in _USUAL:
        layout = kind.build(weight, **options)
        for product in layout.products():
            yield layout, product


def described() -> str:
    """How many products have been measured on this machine, and where that is kept."""
    machine = this_machine()
    return f"{len(machine.speeds)} products measured, {machine.path}"
