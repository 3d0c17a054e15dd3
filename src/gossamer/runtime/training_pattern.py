"""Pattern: where the values of a sparse layer lie; of a mask, or drawn without ever being dense."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from gossamer.runtime.checks import check_blocks
from gossamer.runtime.layout import Layout
from gossamer.runtime.layouts import CSR, BlockRows, Condensed

LOAD = "load files and state_dicts as they were saved"


@dataclass(frozen=True, eq=False)
class Pattern:
    """Blocks of ``height`` x ``width`` in a weight (rows, inputs).

    Attributes
    ----------
    columns : (n_blocks,) block columns, block row by block row
    starts : (rows / height + 1,) where those of each block row begin; (1,) how many each has, where
        that is the same number

    Both are int32 or int64: neither pickles of torch nor its processes that train together take all
    narrower types.
    """

    rows: int
    inputs: int
    height: int
    width: int
    columns: np.ndarray
    starts: np.ndarray
    equal: bool = False

    @classmethod
    def of_mask(cls, mask: np.ndarray, height: int = 1, width: int = 1) -> Self:
        """The blocks that a mask (rows, inputs) touches."""
        rows, inputs = mask.shape
        check_blocks(rows, inputs, height, width)
        there = mask.reshape(rows // height, height, inputs // width, width).any((1, 3))
        return cls._made(rows, inputs, height, width, there.sum(1), np.nonzero(there)[1])

    @classmethod
    def random(
        cls,
        rows: int,
        inputs: int,
        rng: np.random.Generator,
        *,
        keep: float | None = None,
        fan_in: int | None = None,
        height: int = 1,
        width: int = 1,
    ) -> Self:
        """A share of all blocks, each as likely, or the same number of inputs for each row."""
        check_blocks(rows, inputs, height, width)
        tall, wide = rows // height, inputs // width
        if fan_in is None:
            assert keep is not None
            places = draw(rng, np.array([round(keep * tall * wide)]), tall * wide)
            counts = np.bincount(places // wide, minlength=tall) if wide else np.zeros(tall, int)
            columns = places % wide if wide else places
        else:
            counts = np.full(tall, fan_in // width)
            columns = draw(rng, counts, wide)
        return cls._made(rows, inputs, height, width, counts, columns)

    @classmethod
    def _made(
        cls,
        rows: int,
        inputs: int,
        height: int,
        width: int,
        counts: np.ndarray,
        columns: np.ndarray,
    ) -> Self:
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(rows, inputs, height, width, whole(columns, inputs), whole(starts, starts[-1]))

    @property
    def stored(self) -> int:
        """How many values there are."""
        return self.columns.size * self.height * self.width

    def condensed(self) -> Self:
        """The same pattern, of rows with as many values each, without starts."""
        counts = self.counts()
        if counts.size and counts.min() != counts.max():
            raise ValueError(
                f"the layout 'condensed' has as many weights in each row, these rows have "
                f"{counts.min()} to {counts.max()}: take layout='csr', or prune on gs.FanIn()."
            )
        fan_in = counts[:1] if counts.size else np.zeros(1)
        return replace(self, starts=whole(fan_in, self.inputs), equal=True)

    def fan_in(self) -> np.ndarray:
        """(rows,) how many inputs each row has."""
        return np.repeat(self.counts() * self.width, self.height)

    def counts(self) -> np.ndarray:
        """(rows / height,) how many blocks each block row has."""
        starts = self.starts.astype(np.int64)
        if self.equal:
            return np.repeat(starts, self.rows)
        return starts[1:] - starts[:-1]

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each value: block by block, the columns of each one after the other."""
        block_rows = np.repeat(np.arange(self.rows // self.height), self.counts())
        within = np.arange(self.height * self.width)
        rows = block_rows[:, None] * self.height + within % self.height
        columns = self.columns.astype(np.int64)[:, None] * self.width + within // self.height
        return rows.ravel(), columns.ravel()

    def rewired(
        self, sizes: np.ndarray, share: float, rng: np.random.Generator
    ) -> tuple[Self, np.ndarray, np.ndarray]:
        """A share of each row's blocks, the smallest, at random places of the same row.

        Parameters
        ----------
        sizes : (n_blocks,)

        Returns
        -------
        pattern, kept, places
            The blocks ``kept`` of this pattern are those at ``places`` of the new one.
        """
        counts, wide = self.counts(), self.inputs // self.width
        rows = np.repeat(np.arange(counts.size), counts)
        order = np.lexsort((sizes, rows))  # row by row, the smallest first
        rank = np.arange(sizes.size) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = np.sort(order[rank >= (share * counts).astype(np.int64)[rows]])
        keys = rows[kept] * wide + self.columns[kept].astype(np.int64)
        found = fill(rng, counts, wide, np.sort(keys))
        columns = (found % max(wide, 1)).astype(self.columns.dtype)
        return replace(self, columns=columns), kept, np.searchsorted(found, keys)

    def layout(self, values: np.ndarray) -> Layout:
        """The layout that has these values, on their memory."""
        for name in ("columns", "starts"):
            if getattr(self, name).dtype not in (np.int32, np.int64):
                raise ValueError(
                    f"{name} must be int32 or int64, got {getattr(self, name).dtype}: {LOAD}."
                )
        if self.equal and self.starts.shape != (1,):
            raise ValueError(f"starts must be one number, got {self.starts.shape}: {LOAD}.")
        # layouts count without signs, and so do the kernels that are compiled for them
        columns, starts = (a.view(f"u{a.itemsize}") for a in (self.columns, self.starts))
        if self.equal:
            return Condensed(self.rows, self.inputs, int(self.starts[0]), values, columns)
        if self.height == self.width == 1:
            return CSR(self.rows, self.inputs, values, columns, starts)
        sides = self.rows, self.inputs, self.height, self.width
        return BlockRows(*sides, values, columns, starts)


def whole(numbers: np.ndarray, most: int) -> np.ndarray:
    """Numbers up to ``most`` as int32 if they fit."""
    return numbers.astype(np.int32 if most < 1 << 31 else np.int64)


def draw(rng: np.random.Generator, counts: np.ndarray, among: int) -> np.ndarray:
    """For each count, so many different numbers below ``among``, in order, one after the other.

    Takes memory in proportion to what is drawn. What is drawn twice is drawn again: every set of
    numbers is as likely.
    """
    if counts.sum() * 2 > counts.size * among:  # the others are fewer
        there = np.ones((counts.size, among), bool)
        rest = among - counts
        there[np.repeat(np.arange(counts.size), rest), draw(rng, rest, among)] = False
        return np.nonzero(there)[1]
    return fill(rng, counts, among, np.empty(0, np.int64)) % max(among, 1)


def fill(rng: np.random.Generator, counts: np.ndarray, among: int, keys: np.ndarray) -> np.ndarray:
    """Draw until there are so many different numbers in each set, in order.

    Parameters
    ----------
    keys : (n_there,) those that are there already: ``set * among + number``
    """
    missing = counts - np.bincount(keys // max(among, 1), minlength=counts.size)
    while missing.any():
        sets = np.repeat(np.arange(counts.size), missing)
        keys = np.sort(np.concatenate([keys, sets * among + rng.integers(among, size=sets.size)]))
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        missing = counts - np.bincount(keys // among, minlength=counts.size)
    return keys
