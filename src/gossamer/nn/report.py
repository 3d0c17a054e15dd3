"""What sparse weights look like in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from gossamer.nn.budget import Units
from gossamer.nn.factorised import FactorisedWeight, as_array, whole
from gossamer.nn.gradients import weight_gradients
from gossamer.nn.judgement import living
from gossamer.penalties.gated import SmoothPenalty

# share of the penalty that counts as nothing: what `finalise` would cut off
_NOTHING = 1e-3


@dataclass(frozen=True)
class Row:
    """One weight.

    Attributes
    ----------
    name : str
    units, alive : int
        All of them, and those that ``finalise()``, or with a loss ``finalise(loss=loss)``, would
        keep.
    sparsity : float
        Share of the units that it would not.
    penalty : float
        The induced penalty at the present strength.
    imbalance : float
        Excess of the smooth penalty over it, relative: 0 at balance.
    distance : float or None
        Largest distance, over the units, of minus the gradient from the subdifferential; none of a
        penalty that is known by its smooth form alone.
    """

    name: str
    units: int
    alive: int
    sparsity: float
    penalty: float
    imbalance: float
    distance: float | None


@dataclass(frozen=True)
class Report:
    """Rows, one a weight; printed, it is a table."""

    rows: tuple[Row, ...]
    strength: float

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def sparsity(self) -> float:
        """Share of all units that ``finalise()`` would drop."""
        return 1 - sum(row.alive for row in self) / sum(row.units for row in self)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for a log."""
        rows = [asdict(row) for row in self]
        return {"strength": self.strength, "sparsity": self.sparsity, "weights": rows}

    def __str__(self) -> str:
        names = [row.name for row in self]
        width = max(len("weight"), *map(len, names))
        has_distance = any(row.distance is not None for row in self)
        head = f"{'weight':<{width}}  {'units':>9}  {'alive':>9}  sparsity    penalty  imbalance"
        lines = [head + ("   distance" if has_distance else "")]
        for row in self:
            line = f"{row.name:<{width}}  {row.units:>9,}  {row.alive:>9,}  {row.sparsity:>8.2%}"
            line += f"  {row.penalty:>9.3g}  {row.imbalance:>9.1e}"
            lines.append(line + ("" if row.distance is None else f"  {row.distance:>9.1e}"))
        lines.append(
            f"{self.sparsity:.2%} of all units are zero at {self.strength:.3g} times the strength"
        )
        return "\n".join(lines)


def report(
    weights: Sequence[FactorisedWeight],
    strength: float,
    loss: Callable[[], torch.Tensor] | None = None,
) -> Report:
    """A row for each weight."""
    gradients = [None] * len(weights) if loss is None else weight_gradients(weights, loss)
    units = Units.of(weights)
    alive = units.split(living(weights, units, _NOTHING, loss, strength))
    values = [float(part.sum(dtype=float)) for part in units.split(units.contributions)]
    rows = []
    for weight, flags, value, gradient in zip(weights, alive, values, gradients, strict=True):
        with torch.no_grad():
            smooth = float(whole(weight.ridge()))
        distance = None
        if gradient is not None and not isinstance(weight.penalty, SmoothPenalty):
            kept = as_array(weight.kept(weight.made(), flags))
            distance = _distance(weight, kept, as_array(gradient), strength)
        rows.append(
            Row(
                weight.name, len(flags), int(flags.sum()), 1 - float(flags.mean()),
                strength * value, max(0.0, smooth / value - 1) if value > 0 else 0.0, distance,
            )
        )  # fmt: skip
    return Report(tuple(rows), strength)


def _distance(
    weight: FactorisedWeight, w: np.ndarray, gradient: np.ndarray, strength: float
) -> float:
    total = weight.penalty.strength * weight.scale * strength
    penalty = weight.penalty.with_strength(total)
    distances = penalty.subdiff_distance(np.atleast_1d(w), np.atleast_1d(gradient))
    return float(distances.max(initial=0.0))
