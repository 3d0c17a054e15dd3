"""Structure: which coefficients live or die together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from gossamer.core.units import Units


class Structure(ABC):
    """Partitions a coefficient array of shape (p,) or (p, K) into units.

    A subclass says how in :meth:`partition`; sizes, scaling and masks follow.
    """

    @abstractmethod
    def partition(self, shape: tuple[int, int]) -> Units:
        """The units of a coefficient array of ``shape`` = (p features, K outputs)."""

    def resolve(self, feature_names: Sequence[str] | None) -> Structure:
        """This structure with column names replaced by positions; itself when it has none."""
        return self

    def units(self, shape: tuple[int, ...]) -> Units:
        """The units of a coefficient array of ``shape`` (p,) or (p, K)."""
        if len(shape) not in (1, 2):
            raise ValueError(f"coefficients must have shape (p,) or (p, K), got {shape}.")
        return self.partition((shape[0], shape[1] if len(shape) == 2 else 1))

    def sizes(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) Euclidean size of every unit."""
        return self.units(w.shape).norms(w)

    def scale(self, w: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """``w`` with every unit multiplied by its factor; ``factors`` has shape (n_units,)."""
        return w * self.units(w.shape).spread(np.asarray(factors)).reshape(w.shape)

    def top_k(self, w: np.ndarray, k: int) -> np.ndarray:
        """Mask of the shape of ``w``, true on its ``k`` largest units (first ones win ties)."""
        units = self.units(w.shape)
        if not 0 <= k <= units.count:
            raise ValueError(f"k must be between 0 and the {units.count} units, got {k}.")
        kept = np.zeros(units.count, dtype=bool)
        kept[np.argsort(-units.norms(w), kind="stable")[:k]] = True
        return units.spread(kept).reshape(w.shape)
