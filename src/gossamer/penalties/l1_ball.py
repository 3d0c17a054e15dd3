"""L1 ball: a budget for the sum of the sizes of all units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from gossamer.core.loss import ROUNDING
from gossamer.core.penalty import Penalty
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.structure import Structure
from gossamer.penalties.l1 import L1
from gossamer.structures import Elements

# a sum of sizes so near the radius is on the boundary
_NEAR = 1e-9


@JOINT_PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class L1Ball(Penalty):
    r"""The sum of all sizes is at most ``radius``: a budget instead of a price.

    .. math:: \Omega(w) = 0 \text{ where } \sum_u \text{weight}_u \|w_u\| \le \text{radius},
              \quad \infty \text{ elsewhere}

    On elements the constrained form of the lasso, on :class:`~gossamer.structures.Groups` and
    :class:`~gossamer.structures.Rows` of the group and multi-task lasso, on
    :class:`~gossamer.structures.Spectrum` the trace-norm constraint. Its prox is the projection,
    its conjugate ``radius`` times the dual norm, so that the duality gap of a constrained problem
    is what Frank and Wolfe's method reports.

    Parameters
    ----------
    radius : float > 0
        In the unit of coefficients; infinity constrains nothing.
    on : Structure, default Elements()
    weights : (n_units,) array of numbers >= 0, default None
    nonnegative : bool, default False

    Attributes
    ----------
    strength : float
        ``1 / radius``: paths of decreasing strength go from the tightest budget to the widest.

    Raises
    ------
    ValueError
        When the radius is not a positive number.

    References
    ----------
    Duchi, Shalev-Shwartz, Singer and Chandra (2008), Efficient projections onto the l1-ball.
    Jaggi (2013), Revisiting Frank-Wolfe: projection-free sparse convex optimization.

    Examples
    --------
    >>> import numpy as np
    >>> L1Ball(3.0).prox(np.array([3.0, -2.0, 0.5]), step=1.0)
    array([ 2., -1.,  0.])
    """

    radius: float
    on: Structure = field(default_factory=Elements, kw_only=True)
    weights: Any = field(default=None, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)

    convex = True

    def __post_init__(self) -> None:
        if not isinstance(self.radius, Real) or not float(self.radius) > 0:
            raise ValueError(f"L1Ball: radius must be a number > 0, got {self.radius!r}.")
        try:
            self.norm(1.0)
        except ValueError as error:
            raise ValueError(str(error).replace("L1:", "L1Ball:", 1)) from error

    def norm(self, strength: float) -> L1:
        """``strength`` times the norm whose ball this is."""
        return L1(strength, on=self.on, weights=self.weights, nonnegative=self.nonnegative)

    @cached_property
    def _unit(self) -> L1:
        return self.norm(1.0)

    @property
    def strength(self) -> float:  # type: ignore[override]
        return 1.0 / self.radius

    def with_strength(self, strength: float) -> L1Ball:
        return replace(self, radius=1.0 / strength if strength > 0 else np.inf)

    def resolve(self, feature_names: Sequence[str] | None) -> L1Ball:
        structure = self.on.resolve(feature_names)
        return self if structure is self.on else replace(self, on=structure)

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return self._unit.sizes(np.asarray(w, dtype=float))

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: the units share the budget. Raises when weights do not fit them."""
        self._unit.form(shape)

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape, dtype=bool) if np.isinf(self.radius) else self._unit.free(shape)

    def value(self, w: np.ndarray) -> float:
        return 0.0 if self._unit.value(w) <= self.radius * (1 + ROUNDING) else np.inf

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """The nearest point of the ball, whatever the step; in the metric of steps, one a unit,
        where those differ. Sorts the sizes once."""
        v = np.asarray(v, dtype=float)
        step = np.asarray(step, dtype=float)
        signed = np.maximum(v, 0.0) if self.nonnegative else v
        if self._unit.value(signed) <= self.radius:
            return signed.copy()
        form = self._unit.form(v.shape)
        slopes = np.broadcast_to(step, form.weights.shape) * form.weights
        price = _price(self._unit.sizes(signed), form.weights, slopes, self.radius)
        projected = self.norm(price).prox(v, step)
        # of numbers far beyond the radius, rounding leaves more than it
        excess = self._unit.value(projected) / self.radius
        free = self._unit.free(v.shape)
        return np.where(free, projected, projected / max(excess, 1.0))

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """Distances to the normal cone at the price that the budget would have if ``w`` were
        optimal; zero exactly where it is."""
        w, grad = np.asarray(w, dtype=float), np.asarray(grad, dtype=float)
        bound = self._unit.value(w) >= self.radius * (1 - _NEAR)
        spent = np.where(self.free(w.shape), 0.0, w)
        price = max(-float((spent * grad).sum()), 0.0) / self.radius if bound else 0.0
        return self.norm(price).subdiff_distance(w, grad)

    def conjugate(self, z: np.ndarray) -> float:
        """``radius`` times the largest size over its weight, the dual norm."""
        if self.dual_scale(z) == 0:
            return np.inf
        dual_norm = self._unit.strength_max(-np.asarray(z, dtype=float))
        return self.radius * dual_norm if dual_norm > 0 else 0.0

    def dual_scale(self, z: np.ndarray) -> float:
        z = np.asarray(z, dtype=float)
        outside = z[self.free(z.shape)]
        signed = np.maximum(outside, 0.0) if self.nonnegative else outside
        return 0.0 if signed.any() else 1.0

    def strength_max(self, grad0: np.ndarray) -> float:
        """Infinite unless the gradient is zero: any budget is spent."""
        return np.inf if self._unit.strength_max(grad0) > 0 else 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, L1Ball):
            return NotImplemented
        return self.radius == other.radius and self._unit == other._unit

    def __hash__(self) -> int:
        return hash((self.radius, self._unit))

    def __repr__(self) -> str:
        return repr(self._unit).replace("L1(strength=1.0", f"L1Ball(radius={self.radius!r}")


def _price(sizes: np.ndarray, weights: np.ndarray, slopes: np.ndarray, radius: float) -> float:
    """The price with ``sum_u weight_u max(size_u - price slope_u, 0) = radius``.

    Linear between the prices at which units run out of size: of the units sorted by those, the
    first ones are kept up to where the price they would make exceeds their own.
    """
    charged = np.flatnonzero((slopes > 0) & (sizes > 0))
    ends = sizes[charged] / slopes[charged]
    order = np.argsort(-ends)
    charged, ends = charged[order], ends[order]
    cost = np.cumsum(weights[charged] * sizes[charged])
    prices = (cost - radius) / np.cumsum(weights[charged] * slopes[charged])
    kept = np.flatnonzero(ends > prices)
    return float(prices[kept[-1]]) if kept.size else float(ends.max())
