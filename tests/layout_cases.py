"""Weights that fit each layout, for the laws that all layouts obey.

A layout that is not named here is tested with any pattern of zeros, no options and no wish for the
weight's shape: add a case where it needs another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gossamer.runtime import LAYOUTS
from gossamer.runtime.layout import Layout
from gossamer.structures import FanIn, NofM

Mask = Callable[[np.random.Generator, tuple[int, int], float], np.ndarray]


def any_pattern(rng: np.random.Generator, shape: tuple[int, int], keep: float) -> np.ndarray:
    """Entries at random; every fifth row and every seventh column are empty."""
    mask = rng.random(shape) < keep
    mask[::5], mask[:, ::7] = False, False
    return mask


def blocks(height: int, width: int) -> Mask:
    def mask(rng: np.random.Generator, shape: tuple[int, int], keep: float) -> np.ndarray:
        rows, inputs = shape
        coarse = any_pattern(rng, (rows // height, inputs // width), keep)
        return np.kron(coarse, np.ones((height, width), bool))

    return mask


def fan_in(rng: np.random.Generator, shape: tuple[int, int], keep: float) -> np.ndarray:
    return FanIn().top_k(rng.random(shape), int(keep * shape[1]) * shape[0])


def n_of_m(n: int, m: int, group: int = 1) -> Mask:
    """``n`` of ``m``; ``group`` rows share their pattern."""

    def mask(rng: np.random.Generator, shape: tuple[int, int], keep: float) -> np.ndarray:
        rows, inputs = shape
        scores = rng.random((rows // group, inputs))
        return np.repeat(NofM(n, m).top_k(scores, scores.size * n // m), group, axis=0)

    return mask


@dataclass(frozen=True)
class Case:
    """One layout, with options, and the weights that fit it.

    ``unit``: rows and inputs are whole numbers of it. ``exact``: it stores the weight as it is.
    ``tolerance``: of a product, against the sum of its absolute terms.
    """

    layout: str
    options: Mapping[str, Any] = field(default_factory=dict)
    unit: tuple[int, int] = (1, 1)
    mask: Mask = any_pattern
    exact: bool = True
    tolerance: float = 1e-6

    def __str__(self) -> str:
        return "-".join([self.layout, *(f"{name}={v}" for name, v in self.options.items())])

    def weight(self, rng: np.random.Generator, rows: int, inputs: int, keep: float) -> np.ndarray:
        """A weight of about that shape, with about that many entries."""
        height, width = self.unit
        shape = -(-rows // height) * height, -(-inputs // width) * width
        return np.where(self.mask(rng, shape, keep), rng.standard_normal(shape), 0).astype("f4")

    def build(self, weight: np.ndarray) -> Layout:
        return LAYOUTS[self.layout].build(weight, **self.options)


def block_case(height: int, width: int) -> Case:
    options = {"height": height, "width": width}
    return Case("BlockRows", options, (height, width), blocks(height, width))


_NAMED = (
    *(block_case(height, width) for height, width in ((16, 1), (8, 1), (4, 4), (1, 3))),
    Case("TiledCSR", {"width": 20}, (1, 24)),
    Case("SlicedRows", {"window": 16}, (1, 16)),
    Case("SlicedRows", {"window": 32}, (1, 32)),
    Case("SlicedRows", {"precision": "bfloat16"}, (1, 16), exact=False),
    Case("BlockRows", {"precision": "bfloat16"}, (16, 1), blocks(16, 1), exact=False),
    Case("SlicedRows", {"window": 32, "precision": "int8"}, (1, 32), exact=False),
    Case("BlockRows", {"precision": "int8"}, (16, 1), blocks(16, 1), exact=False),
    Case("BlockRows", {"height": 4, "width": 4, "precision": "int8"}, (4, 4), blocks(4, 4), False),
    Case("ByColumns"),
    Case("ByColumns", {"precision": "int8"}, exact=False),
    Case("ByColumns", {"precision": "bfloat16"}, exact=False),
    Case("Condensed", mask=fan_in),
    Case("DenseBfloat16", exact=False, tolerance=8e-3),
    Case("PackedNofM", {"n": 2, "m": 4}, (1, 16), n_of_m(2, 4)),
    Case("PackedNofM", {"n": 1, "m": 3}, (1, 18), n_of_m(1, 3)),
    Case("PackedNofM", {"n": 3, "m": 16}, (1, 16), n_of_m(3, 16)),
)
_names = {case.layout.lower() for case in _NAMED}
CASES = (
    *_NAMED,
    *(Case(made.__name__) for made in LAYOUTS if made.__name__.lower() not in _names),
)
