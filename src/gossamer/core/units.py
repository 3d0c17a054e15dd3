"""Units: a partition of the coefficients into those that live or die together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np


@dataclass(frozen=True, eq=False)
class Units:
    """A partition of the ``size`` entries of a coefficient array (C order) into units.

    order : (size,) flat positions, unit after unit.
    starts : (n_units + 1,) where each unit begins in ``order``.
    """

    order: np.ndarray
    starts: np.ndarray

    @staticmethod
    @lru_cache(maxsize=8)
    def singletons(size: int) -> Units:
        """Every coefficient a unit of its own."""
        return Units(np.arange(size), np.arange(size + 1))

    @classmethod
    def of_labels(cls, labels: np.ndarray, n_units: int) -> Units:
        """From the unit number (0 .. n_units - 1) of every coefficient."""
        counts = np.bincount(labels, minlength=n_units)
        return cls(np.argsort(labels, kind="stable"), np.concatenate([[0], np.cumsum(counts)]))

    @property
    def count(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n_units,) number of coefficients in each unit."""
        return np.diff(self.starts)

    @cached_property
    def are_single(self) -> bool:
        """Whether every unit is one coefficient, in place."""
        size = len(self.order)
        return self.count == size and bool((self.order == np.arange(size)).all())

    @cached_property
    def labels(self) -> np.ndarray:
        """(size,) the unit of every coefficient."""
        labels = np.empty(len(self.order), dtype=np.intp)
        labels[self.order] = np.repeat(np.arange(self.count), self.lengths)
        return labels

    @cached_property
    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_units, m) positions of each unit's coefficients, padded, and which are real."""
        places = np.arange(self.lengths.max(initial=0))
        real = places < self.lengths[:, None]
        return self.order[self.starts[:-1, None] + np.where(real, places, 0)], real

    def norms(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) Euclidean size of each unit of ``w``; the modulus where units are single."""
        flat = np.ravel(w)
        if self.are_single:
            return np.abs(flat)
        sizes = np.abs(flat)
        smallest, largest = sizes.min(where=sizes > 0, initial=1.0), sizes.max(initial=1.0)
        # squares of single precision leave its range at another place
        low, high = (1e-150, 1e150) if sizes.dtype == np.float64 else (1e-15, 1e15)
        if smallest > low and largest < high:
            return np.sqrt(np.bincount(self.labels, sizes * sizes, self.count))
        return self._careful_norms(sizes[self.order])

    def _careful_norms(self, sizes: np.ndarray) -> np.ndarray:
        """Norms of units whose squares would overflow or underflow; ``sizes`` unit after unit."""
        largest = np.maximum.reduceat(sizes, self.starts[:-1])
        usual = (largest > 0) & np.isfinite(largest)
        shares = sizes / np.repeat(np.where(usual, largest, 1.0), self.lengths)
        sums = np.add.reduceat(shares * shares, self.starts[:-1])
        return np.where(usual, largest * np.sqrt(sums), largest)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(size,) one value a unit, repeated for each of its coefficients."""
        return values if self.are_single else values[self.labels]

    def positions(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat positions of the chosen units, unit after unit, and where each begins."""
        if self.are_single:
            return self.order[chosen], np.arange(len(chosen) + 1)
        lengths = self.lengths[chosen]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        offsets = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return self.order[np.repeat(self.starts[chosen], lengths) + offsets], starts
