"""What is multiplied: shapes, batches, sparsities and patterns of zeros, made deterministically."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

SHAPES = ((768, 768), (3072, 768), (4096, 4096), (1000, 1536))  # rows, inputs
BATCHES = (1, 3, 8, 17, 64, 512)
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)
THREADS = (1, 2)

# Values kept of so many in a row, the nearest to each sparsity that the inputs are multiples of.
N_OF_M = {0.5: (2, 4), 0.8: (3, 16), 0.9: (2, 16), 0.95: (1, 16)}

Mask = Callable[[np.random.Generator, int, int, float], np.ndarray]


@dataclass(frozen=True, order=True)
class Case:
    """A product ``y = x W'``: W (rows, inputs), x (batch, inputs)."""

    threads: int
    rows: int
    inputs: int
    batch: int
    sparsity: float

    as_dict = asdict

    @property
    def shape(self) -> str:
        return f"{self.rows}x{self.inputs}"

    def samples(self) -> np.ndarray:
        """x, the same for all sparsities."""
        generator = np.random.default_rng([self.batch, self.inputs])
        return generator.standard_normal((self.batch, self.inputs), np.float32)

    def weight(self, pattern: str) -> np.ndarray | None:
        """W with zeros in this pattern, or None where the pattern has no such sparsity."""
        return _weight(self.rows, self.inputs, self.sparsity, pattern)

    def expected(self, pattern: str) -> np.ndarray:
        """The first samples' results, in double precision."""
        return _expected(self, pattern)


@lru_cache(maxsize=8)  # the batches of a shape share them
def _weight(rows: int, inputs: int, sparsity: float, pattern: str) -> np.ndarray | None:
    generator = np.random.default_rng([rows, inputs])
    dense = generator.standard_normal((rows, inputs), np.float32) / np.float32(inputs**0.5)
    if pattern == "dense":
        return dense
    if pattern == "n-of-m" and sparsity not in N_OF_M:
        return None
    return np.where(PATTERNS[pattern](generator, rows, inputs, sparsity), dense, np.float32(0))


@lru_cache(maxsize=8)
def _expected(case: Case, pattern: str) -> np.ndarray:
    weight = case.weight(pattern)
    assert weight is not None
    return case.samples()[:8].astype(np.float64) @ weight.T.astype(np.float64)


def cases(
    shapes: Any = SHAPES, batches: Any = BATCHES, sparsities: Any = SPARSITIES, threads: Any = (1,)
) -> Iterator[Case]:
    for count in threads:
        for rows, inputs in shapes:
            for sparsity in sparsities:
                for batch in batches:
                    yield Case(count, rows, inputs, batch, sparsity)


def _chosen(generator: np.random.Generator, size: int, sparsity: float) -> np.ndarray:
    """(size,) flags: the share ``1 - sparsity`` of them, at random."""
    flags = np.arange(size) < round((1 - sparsity) * size)
    return generator.permutation(flags)


def _blocks(
    generator: np.random.Generator, rows: int, inputs: int, sparsity: float, height: int, width: int
) -> np.ndarray:
    """Blocks of height x width; the last ones are cut where they do not fit."""
    down, across = -(-rows // height), -(-inputs // width)
    flags = _chosen(generator, down * across, sparsity).reshape(down, across)
    return flags.repeat(height, 0).repeat(width, 1)[:rows, :inputs]


def _fan_in(generator: np.random.Generator, rows: int, inputs: int, sparsity: float) -> np.ndarray:
    """As many inputs for every row."""
    flags = np.tile(np.arange(inputs) < round((1 - sparsity) * inputs), (rows, 1))
    return generator.permuted(flags, axis=1)


def _n_of_m(generator: np.random.Generator, rows: int, inputs: int, sparsity: float) -> np.ndarray:
    """n inputs of each m in a row."""
    n, m = N_OF_M[sparsity]
    flags = np.tile(np.arange(m) < n, (rows * inputs // m, 1))
    return generator.permuted(flags, axis=1).reshape(rows, inputs)


PATTERNS: dict[str, Mask] = {
    "unstructured": partial(_blocks, height=1, width=1),
    "fan-in": _fan_in,
    "16x1": partial(_blocks, height=16, width=1),
    "8x1": partial(_blocks, height=8, width=1),
    "4x4": partial(_blocks, height=4, width=4),
    "n-of-m": _n_of_m,
}
TITLES = {
    "unstructured": "any zeros",
    "fan-in": "as many in every row",
    "16x1": "blocks 16x1",
    "8x1": "blocks 8x1",
    "4x4": "blocks 4x4",
    "n-of-m": "N:M",
}
