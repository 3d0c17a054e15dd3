"""Packed n:m: of every m neighbouring inputs, each row has at most n values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from gossamer.kernels.slices import LANES, TILE, add_n_of_m, equal_start, same_row
from gossamer.runtime.checks import check_array, refuse
from gossamer.runtime.layout import LAYOUTS, Layout, checked_weight, named_options
from gossamer.runtime.product import Product
from gossamer.runtime.slice_products import slice_products


@LAYOUTS.register
@dataclass(frozen=True, eq=False)
class PackedNofM(Layout):
    """Values and their positions within each m: of 2 bits for m up to 4, else of 4 bits.

    Values lie in slices of 16 rows, which a vector takes at once: all of a step come from the same
    m inputs, which one register holds, and each row picks its own. n:m patterns whose 16 rows share
    their positions (grouped n:m) are faster still as ``BlockRows`` of 16 x 1.

    A weight has at least 16 inputs; m is at most 16 and divides them. Where fewer than n values are
    not zero, zeros are stored. If n is not given, it is what the fullest m has: the weight is
    refused when more than half of what were stored would be zeros.

    References
    ----------
    Ivanov, Dryden, Ben-Nun, Ashkboos and Hoefler (2023), STen: Productive and efficient sparsity in
    PyTorch.

    Examples
    --------
    >>> weight = np.zeros((1, 16), np.float32)
    >>> weight[0, [1, 2, 4, 7]] = 1, 2, 3, 4
    >>> layout = PackedNofM.build(weight, n=2, m=4)
    >>> layout.values.reshape(-1, 16)[:4, 0], layout.nbytes
    (array([1., 2., 3., 4.], dtype=float32), 544)
    """

    name: ClassVar[str] = "n:m"
    n: int
    m: int
    values: np.ndarray
    places: np.ndarray

    @classmethod
    @named_options
    def build(cls, weight: np.ndarray, *, n: int | None = None, m: int = 4) -> Self:
        rows, inputs = checked_weight(weight).shape
        _check_sides(inputs, 1 if n is None else n, m)
        tiles = np.zeros((rows + -rows % LANES, inputs // m, m), np.float32)
        tiles[:rows] = weight.reshape(rows, inputs // m, m)
        there = tiles != 0
        counts = there.sum(2)
        most = int(counts.max(initial=0))
        if n is None:
            n = max(most, 1)
            if counts.size * n > 2 * counts.sum():
                raise ValueError(
                    f"weight has up to {most} values among {m} neighbours, but on average "
                    f"{counts.mean():.2g}: use SlicedRows, or give n."
                )
        if most > n:
            raise ValueError(f"weight has {most} values among {m} neighbours, more than n = {n}.")
        # those that are there come first, in their order
        places = np.sort(np.argsort(~there, axis=2, kind="stable")[:, :, :n], axis=2)
        values = np.take_along_axis(tiles, places, 2)
        return cls(rows, inputs, n, m, *(_sliced(values), _packed(_sliced(places), _bits(m))))

    def check(self) -> None:
        super().check()
        _check_sides(self.inputs, self.n, self.m)
        count = -(-self.rows // LANES) * LANES * self.inputs // self.m * self.n
        check_array(self, "values", (count,), (np.float32,))
        check_array(self, "places", (count * _bits(self.m) // 8,), (np.uint8,))
        if (most := int(self._unpacked().max(initial=0))) >= self.m:
            refuse(self, "places", f"must be below m = {self.m}, got {most}")

    def dense(self) -> np.ndarray:
        tiles, places = self.inputs // self.m, self._unpacked().astype(np.int64)
        weight = np.zeros((self.rows + -self.rows % LANES, tiles, self.m), np.float32)
        places, values = (
            a.reshape(-1, tiles, self.n, LANES).transpose(0, 3, 1, 2).reshape(-1, tiles, self.n)
            for a in (places, self.values)
        )
        np.put_along_axis(weight, places, values, 2)
        return weight.reshape(-1, self.inputs)[: self.rows]

    def products(self) -> Sequence[Product]:
        return slice_products(
            equal_start, same_row, add_n_of_m, N=self.n, M=self.m, BITS=_bits(self.m)
        )

    def similar(self, rows: int, inputs: int, keep: float, random: np.random.Generator) -> Self:
        """Random values at random places, ``n`` of each ``m`` whatever ``keep`` says."""
        inputs -= inputs % self.m
        places = random.random((rows, inputs // self.m, self.m)).argsort(axis=2)
        weight = np.where(places < self.n, random.uniform(0.5, 1.0, places.shape), 0.0)
        return self.build(weight.reshape(rows, inputs).astype(np.float32), n=self.n, m=self.m)

    def _unpacked(self) -> np.ndarray:
        """(bytes, places in each)"""
        bits = _bits(self.m)
        return self.places[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & (1 << bits) - 1

    @cached_property
    def starts(self) -> np.ndarray:
        """What ``equal_start`` reads: steps of each slice."""
        return np.array([self.inputs // self.m * self.n])

    @property
    def order(self) -> np.ndarray:
        """Rows lie in their own order: nothing is read."""
        return self.starts


def _check_sides(inputs: int, n: int, m: int) -> None:
    if not 1 <= n <= m <= TILE or inputs % m or inputs < TILE:
        raise ValueError(
            f"n = {n} of m = {m}: 1 <= n <= m <= {TILE} must hold, and the {inputs} inputs of "
            f"the weight must be {TILE} or more, and a multiple of m."
        )


def _bits(m: int) -> int:
    return 2 if m <= 4 else 4


def _sliced(tiles: np.ndarray) -> np.ndarray:
    """(rows, tiles, n) as slices of LANES rows, flat: of each slice all first values, and so on."""
    _, count, n = tiles.shape
    return tiles.reshape(-1, LANES, count * n).transpose(0, 2, 1).ravel()


def _packed(places: np.ndarray, bits: int) -> np.ndarray:
    """Whole numbers of so few bits, several in a byte, the first one lowest."""
    shifts = np.arange(0, 8, bits)
    packed: np.ndarray = (places.reshape(-1, 8 // bits) << shifts).sum(1).astype(np.uint8)
    return packed
