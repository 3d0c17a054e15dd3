"""Bounds: an interval for every coefficient, with an L1 or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.validation import finite_number, float_array


@JOINT_PENALTIES.register
@dataclass(frozen=True, eq=False)
class Bounds(Penalty):
    r"""Coefficients within bounds that hold zero: ``low <= w <= high``.

    .. math:: \Omega(w) = \text{strength} \sum_j \omega_j |w_j|, \qquad
              \text{low}_j \le w_j \le \text{high}_j, \quad \text{low}_j \le 0 \le \text{high}_j

    Added to an L1 it bounds the lasso: ``L1(0.1) + Bounds(0, 1)``; infinite bounds leave a side
    open, so that signs can be asked of some coefficients only.

    Parameters
    ----------
    low, high : number, or (p,) sequence of numbers, default -inf and inf
        In the unit of the coefficients; with ``standardise=True`` those of the scaled columns.
    strength : float >= 0, default 0
        Of an L1 beside the bounds, kept by ``+``.
    weights : (p,) sequence of numbers >= 0, default None
        Of the L1.

    Raises
    ------
    ValueError
        When zero is outside of the bounds, or their number does not fit.

    References
    ----------
    Friedman, Hastie and Tibshirani (2010), Regularization paths for generalized linear models via
    coordinate descent: lower and upper limits.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> (gs.L1(0.5) + Bounds(0, [1, 2])).prox(np.array([3.0, 3.0]), step=1.0)
    array([1., 2.])
    """

    low: Any = -np.inf
    high: Any = np.inf
    strength: float = field(default=0.0, kw_only=True)
    weights: Any = field(default=None, kw_only=True)

    convex = True

    def __post_init__(self) -> None:
        finite_number(self.strength, "Bounds: strength", 0.0)
        for name in ("low", "high", "weights"):
            given = getattr(self, name)
            if given is None:
                continue
            values = float_array(given, f"Bounds: {name}")
            if values.ndim > 1 or np.isnan(values).any():
                raise ValueError(f"Bounds: {name} must be a number or a 1-D sequence, without NaN.")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if (self.low > 0).any() or (self.high < 0).any():
            raise ValueError(
                "Bounds: low must be <= 0 and high >= 0: a coefficient that is not selected is "
                "zero. Shift the target by an offset for intervals elsewhere."
            )
        if self.weights is not None and not (self.weights >= 0).all():
            raise ValueError("Bounds: weights must be >= 0.")

    def plus(self, inner: UnitPenalty) -> Bounds | None:
        if self.strength > 0:
            return None
        low = np.maximum(self.low, 0.0) if inner.nonnegative else self.low
        return replace(self, low=low, strength=inner.strength, weights=inner.weights)

    def with_strength(self, strength: float) -> Bounds:
        return replace(self, strength=float(strength))

    def resolve(self, feature_names: Sequence[str] | None) -> Bounds:
        return self

    def limits(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lower and upper bounds and thresholds for coefficients of a shape, one a feature."""
        parts = (self.low, self.high, 1.0 if self.weights is None else self.weights)
        spread = []
        for name, part in zip(("low", "high", "weights"), parts, strict=True):
            values = np.asarray(part, dtype=float)
            if values.ndim and len(values) != shape[0]:
                raise ValueError(
                    f"Bounds: {name} has {len(values)} entries, but there are {shape[0]} features."
                )
            column = values.reshape(-1, *(1 for _ in shape[1:])) if values.ndim else values
            spread.append(np.broadcast_to(column, shape))
        low, high, weights = spread
        return low, high, self.strength * weights

    # -- the penalty -------------------------------------------------------------------------------
    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        low, high, threshold = self.limits(w.shape)
        if (w < low).any() or (w > high).any():
            return np.inf
        return float((threshold * np.abs(w)).sum())

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        v = np.asarray(v, dtype=float)
        low, high, threshold = self.limits(v.shape)
        step = np.reshape(step, v.shape) if np.ndim(step) else step
        soft = np.sign(v) * np.maximum(np.abs(v) - step * threshold, 0.0)
        return np.clip(soft, low, high) + 0.0

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        w, pull = np.asarray(w, dtype=float), -np.asarray(grad, dtype=float)
        low, high, threshold = self.limits(w.shape)
        # the interval of subgradients, open towards a bound that is reached
        least = np.where(w <= low, -np.inf, np.where(w > 0, threshold, -threshold))
        most = np.where(w >= high, np.inf, np.where(w < 0, -threshold, threshold))
        return np.maximum(np.maximum(least - pull, pull - most), 0.0).ravel()

    def conjugate(self, z: np.ndarray) -> float:
        up, down, high, low = self._beyond(z)
        return float(up[up > 0] @ high[up > 0] + down[down > 0] @ low[down > 0])

    def dual_scale(self, z: np.ndarray) -> float:
        z = np.asarray(z, dtype=float)
        up, down, high, low = self._beyond(z)
        open_ended = ((up > 0) & np.isinf(high)) | ((down > 0) & np.isinf(low))
        _, _, threshold = self.limits(z.shape)
        ratios = threshold[open_ended] / np.abs(z[open_ended])
        return float(ratios.min(initial=1.0))

    def _beyond(self, z: np.ndarray) -> tuple[np.ndarray, ...]:
        """What a dual point exceeds the L1 by on either side, and how far that side goes."""
        z = np.asarray(z, dtype=float)
        low, high, threshold = self.limits(z.shape)
        slack = threshold * (1 + 1e-12)
        up = np.where(z > slack, z - threshold, 0.0)
        down = np.where(-z > slack, -z - threshold, 0.0)
        return up, down, high, -low

    def strength_max(self, grad0: np.ndarray) -> float:
        z = -np.asarray(grad0, dtype=float)
        low, high, weights = self.with_strength(1.0).limits(z.shape)
        pulled = np.where(((z > 0) & (high > 0)) | ((z < 0) & (low < 0)), np.abs(z), 0.0)
        held = weights > 0
        return float((pulled[held] / weights[held]).max(initial=0.0))

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        low, high, threshold = self.limits(shape)
        return (threshold == 0) & np.isinf(low) & np.isinf(high)

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: shapes are symmetric. Raises when the bounds do not fit the features."""
        low, high, threshold = self.limits(shape)
        # the dual of a half-open coefficient without a penalty has no interior to scale into
        if ((threshold == 0) & (np.isinf(low) != np.isinf(high))).any():
            raise ValueError(
                "Bounds: a coefficient that is not penalised needs both bounds or none: give it "
                "the other one, or a strength (+ L1(...))."
            )

    @cached_property
    def _key(self) -> tuple:
        weights = None if self.weights is None else self.weights.tobytes()
        return self.low.tobytes(), self.high.tobytes(), self.strength, weights

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Bounds) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        low, high = (
            f"{bound:g}" if bound.ndim == 0 else f"<{len(bound)} values>"
            for bound in (self.low, self.high)
        )
        parts = [low, high]
        parts += [f"strength={self.strength!r}"] if self.strength else []
        parts += ["weights=..."] if self.weights is not None else []
        return f"Bounds({', '.join(parts)})"
