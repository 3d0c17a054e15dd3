"""What penalties share whose units are not charged one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from gossamer.core.penalty import Penalty
from gossamer.core.structure import Structure
from gossamer.core.units import Units
from gossamer.core.validation import float_array
from gossamer.structures import Elements


@dataclass(frozen=True, repr=False)
class JointPenalty(Penalty):
    """A penalty on the units of a structure together: its prox does not split by unit."""

    on: Structure = field(default_factory=Elements, kw_only=True)
    weights: Any = field(default=None, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)

    convex = True

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        name = type(self).__name__
        weights = float_array(self.weights, f"{name}: weights")
        if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(
                f"{name}: weights must be a 1-D sequence of finite numbers >= 0, one a "
                "unit; zero leaves a unit unpenalised."
            )
        object.__setattr__(self, "weights", tuple(weights.tolist()))

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))  # type: ignore[call-arg]

    def resolve(self, feature_names: Sequence[str] | None) -> Self:
        structure = self.on.resolve(feature_names)
        return self if structure is self.on else replace(self, on=structure)

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return self._weighted_units(np.shape(w))[0].norms(w)

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: the units interact. Raises when weights do not fit them."""
        self._weighted_units(shape)

    def _weighted_units(self, shape: tuple[int, ...]) -> tuple[Units, np.ndarray]:
        """The units and their (n_units,) weights."""
        units = self.on.units(shape)
        if self.weights is None:
            return units, np.ones(units.count)
        if len(self.weights) != units.count:
            raise ValueError(
                f"{type(self).__name__}: weights has {len(self.weights)} entries, but there are "
                f"{units.count} units in coefficients of shape {shape}."
            )
        return units, np.array(self.weights)

    def __repr__(self) -> str:
        # what a user gives first is said first, defaults are not said
        own = [f for f in fields(self) if not f.kw_only]
        parts = [f"{f.name}={getattr(self, f.name)!r}" for f in own]
        parts += [f"on={self.on!r}"] if type(self.on).__name__ != "Elements" else []
        parts += ["weights=..."] if self.weights is not None else []
        parts += ["nonnegative=True"] if self.nonnegative else []
        return f"{type(self).__name__}({', '.join(parts)})"
