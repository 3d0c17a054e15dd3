"""The units of a working set, and their coordinates as kernels see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gossamer.core.unit_form import UnitForm
from gossamer.core.units import Units
from gossamer.solvers.working_columns import WorkingColumns


@dataclass(frozen=True, eq=False)
class WorkingUnits:
    """A few units of a problem: their coordinates, penalty and place in (p, K).

    An explicit intercept is one unpenalised coordinate an output, after all others, on slot 0 of
    the working columns.
    """

    form: UnitForm
    flat: np.ndarray  # (m,) position of each coordinate in the flattened (p, K) coefficients
    starts: np.ndarray  # (n_units + 1,) where each unit begins
    feature: np.ndarray  # (m,) slot of the working columns for each coordinate
    output: np.ndarray  # (m,)
    weights: np.ndarray  # (n_units,)
    inner: np.ndarray  # (m,)
    n_intercepts: int

    @classmethod
    def choose(
        cls, form: UnitForm, chosen: np.ndarray, n_outputs: int, columns: WorkingColumns
    ) -> WorkingUnits:
        """The units numbered ``chosen``; their columns are taken in where they are missing."""
        flat, starts = form.units.positions(chosen)
        columns.extend(flat // n_outputs)
        inner = np.zeros(len(flat)) if form.inner is None else form.inner[flat]
        extra = n_outputs if columns.has_intercept else 0
        return cls(
            form, flat, np.concatenate([starts, starts[-1] + 1 + np.arange(extra)]),
            np.concatenate([columns.slot_of[flat // n_outputs], np.zeros(extra, np.int32)]),
            np.concatenate([flat % n_outputs, np.arange(extra)]).astype(np.int32),
            np.concatenate([form.weights[chosen], np.zeros(extra)]),
            np.concatenate([inner, np.zeros(extra)]), extra,
        )  # fmt: skip

    @property
    def size(self) -> int:
        return len(self.feature)

    @cached_property
    def units(self) -> Units:
        return Units(np.arange(self.size), self.starts)

    @cached_property
    def lower(self) -> np.ndarray:
        """(m,) lower bound of each coordinate."""
        bound = np.full(self.size, 0.0 if self.form.nonnegative else -np.inf)
        bound[self.size - self.n_intercepts :] = -np.inf
        return bound

    @cached_property
    def has_kink(self) -> np.ndarray:
        """(m,) whether the penalty bends at zero of the coordinate itself, inside its unit."""
        return (self.inner > 0) | (self.lower == 0)

    @cached_property
    def is_single(self) -> bool:
        """Whether every unit is one coordinate, without an inner part."""
        return bool((self.units.lengths == 1).all()) and not self.inner.any()

    def gather(self, w: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Local coefficients of the global ``w`` (p, K) and ``b`` (K,)."""
        return np.concatenate([w.ravel()[self.flat], b[: self.n_intercepts]])

    def split(self, local: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Local coefficients without the intercept's, and those."""
        at = self.size - self.n_intercepts
        return local[:at], local[at:]

    def penalty(self, w: np.ndarray) -> float:
        """Penalty of the local coefficients."""
        shapes = self.form.value(self.units.norms(w), self.form.par)
        return float(self.weights @ shapes + self.inner @ np.abs(w))
