"""Group envelope: the convex envelope of half the squared norm on at most k units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.units import Units
from gossamer.core.validation import finite_number
from gossamer.penalties.joint import JointPenalty


@JOINT_PENALTIES.register
@dataclass(frozen=True, repr=False)
class GroupEnvelope(JointPenalty):
    r"""``strength`` times the largest convex function below the ridge on at most ``k`` units.

    .. math:: \Omega(w) = \text{strength} \cdot \tfrac12 \min_\eta \sum_u
              \frac{\text{weight}_u \|w_u\|^2}{\eta_u}, \qquad
              0 \le \eta_u \le 1, \quad \sum_u \eta_u \le k

    Ridge alone as long as ``k`` units or fewer are in use; further ones are charged in proportion
    to their size, as by a group lasso. So ``k`` says how many units to keep and ``strength`` how
    hard: weak strengths keep more than ``k``, strong ones mostly exactly ``k`` (units that can
    replace each other may share a place). On elements it is half the squared k-support norm.

    Differentiable wherever no unit is zero, and wherever fewer than ``k`` units are not; see
    :meth:`gradient`. A network can be trained on the gradient (units become small, not zero)
    or, to get zeros, by :meth:`prox` after each optimiser's step. The problem over
    ``(w, eta)`` is jointly convex, and smooth away from gates of zero: :meth:`gates` has the
    optimal gates of given coefficients.

    Parameters
    ----------
    strength : float >= 0
    k : int >= 1
        Number of units that cost no more than their ridge.
    on : Structure, default Elements()
    weights : sequence of float >= 0, default None
        A factor for each unit's square. Zero leaves a unit unpenalised, and it takes none of the
        ``k`` places.
    nonnegative : bool, default False

    Raises
    ------
    ValueError
        When ``k`` is no whole number from one on, or weights do not fit the units.

    References
    ----------
    Refael, Arbel and Huleihel (2024), Learning k-level structured sparse neural networks using
    group envelope regularization.
    Beck and Refael (2022), Sparse regularization via bidualization.
    Argyriou, Foygel and Srebro (2012), Sparse prediction with the k-support norm.

    Examples
    --------
    >>> penalty = GroupEnvelope(1.0, k=2)
    >>> penalty.value(np.array([3.0, 4.0, 0.0]))
    12.5
    >>> penalty.prox(np.array([3.0, 4.0, 0.5]), step=1.0)
    array([1.5, 2. , 0. ])
    """

    strength: float
    k: int

    def __post_init__(self) -> None:
        finite_number(self.strength, "GroupEnvelope: strength", 0.0)
        if not isinstance(self.k, (int, np.integer)) or self.k < 1:
            raise ValueError(f"GroupEnvelope: k must be a whole number >= 1, got {self.k!r}.")
        super().__post_init__()

    # -- the penalty and its gates ---------------------------------------------------------------
    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        if self.nonnegative and (w < 0).any():
            return np.inf
        pulls, level = self._levels(w)[2:]
        return self.strength / 2 * float(pulls @ np.maximum(pulls, level))

    def gates(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) the optimal gates eta: one for units in use, below one for those in excess.

        With gates held fixed the penalty is a weighted ridge, with the gradient of :meth:`gradient`
        (the gates are optimal, so that moving them changes nothing to first order).
        """
        pulls, level = self._levels(np.asarray(w, dtype=float))[2:]
        return pulls / np.where(pulls > 0, np.maximum(pulls, level), 1.0)

    def gradient(self, w: np.ndarray) -> np.ndarray:
        """The gradient, of the shape of ``w``; at units of zero size the smallest subgradient."""
        w = np.asarray(w, dtype=float)
        units, roots, pulls, level = self._levels(w)
        slopes = roots**2 * np.maximum(1.0, level / np.where(pulls > 0, pulls, np.inf))
        return self.strength * units.spread(slopes).reshape(w.shape) * w

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """The minimiser; ``step`` is one number or one a unit. Sorts the units once.

        Given the gates a unit is divided by ``1 + step strength weight / eta``; with the optimal
        ones this is a soft threshold, common to all units, or the ridge's shrinkage if that keeps
        less.
        """
        v = np.asarray(v, dtype=float)
        if self.nonnegative:
            v = np.maximum(v, 0.0)
        units, roots = self._units(v.shape)
        steps = np.broadcast_to(np.asarray(step, dtype=float), roots.shape)
        sizes, bends = units.norms(v), self.strength * steps * roots**2
        kept = sizes / (1 + bends)
        charged = np.flatnonzero((sizes > 0) & (bends > 0))
        if len(charged) > self.k:
            scales = steps[charged] * roots[charged]
            pulls = sizes[charged] / scales
            level = _level_of_prox(pulls, bends[charged], self.k)
            soft = np.where(pulls > level, sizes[charged] - scales * level, 0.0)
            kept[charged] = np.minimum(soft, kept[charged])
        factors = np.divide(kept, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        return v * units.spread(factors).reshape(v.shape)

    # -- optimality and duality ------------------------------------------------------------------
    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        w = np.asarray(w, dtype=float)
        units, roots, _, level = self._levels(w)
        rest = np.asarray(grad, dtype=float) + self.gradient(w)
        if self.nonnegative:
            rest = np.where(w > 0, rest, np.minimum(rest, 0.0))
        slack = np.where(units.norms(w) > 0, 0.0, self.strength * roots * level)
        return np.maximum(units.norms(rest) - slack, 0.0)

    def conjugate(self, z: np.ndarray) -> float:
        """Half the sum of the ``k`` largest squared sizes, each over strength times weight."""
        sizes, curvatures = self._dual(z)
        if sizes[curvatures == 0].any():
            return np.inf
        steep = curvatures > 0
        squares = sizes[steep] ** 2 / curvatures[steep]
        return (
            float(np.partition(squares, -self.k)[-self.k :].sum() / 2)
            if (len(squares) > self.k)
            else float(squares.sum() / 2)
        )

    def dual_scale(self, z: np.ndarray) -> float:
        sizes, curvatures = self._dual(z)
        return 0.0 if sizes[curvatures == 0].any() else 1.0

    def strength_max(self, grad0: np.ndarray) -> float:
        """Infinite unless the gradient is zero: the ``k`` best units cost nothing near zero."""
        sizes, _ = self._dual(-np.asarray(grad0, dtype=float))
        return np.inf if sizes[self._units(np.shape(grad0))[1] > 0].any() else 0.0

    # -- manners ---------------------------------------------------------------------------------
    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        units, roots = self._units(shape)
        return units.spread(self.strength * roots == 0).reshape(shape)

    # -- pieces ----------------------------------------------------------------------------------
    def _units(self, shape: tuple[int, ...]) -> tuple[Units, np.ndarray]:
        """The units and the (n_units,) square roots of their weights."""
        units, weights = self._weighted_units(shape)
        return units, np.sqrt(weights)

    def _levels(self, w: np.ndarray) -> tuple[Units, np.ndarray, np.ndarray, float]:
        """Units, roots of the weights, weighted sizes, and the level below which they cost more."""
        units, roots = self._units(w.shape)
        pulls = roots * units.norms(w)
        return units, roots, pulls, _level(pulls, self.k)

    def _dual(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sizes of the units of a dual point, and strength times weight."""
        z = np.asarray(z, dtype=float)
        units, roots = self._units(z.shape)
        sizes = units.norms(np.maximum(z, 0.0) if self.nonnegative else z)
        return sizes, self.strength * roots**2


def _level(pulls: np.ndarray, k: int) -> float:
    """The largest ``level`` with ``sum(min(1, pulls / level)) = k``; zero when there is none.

    The j largest pulls have gate one, the sum of the others is ``(k - j) level``; j is the least
    for which no other gate exceeds one.
    """
    if len(pulls) < k:
        return 0.0
    split = np.partition(pulls, len(pulls) - k)
    largest = np.sort(split[len(pulls) - k :])  # ascending: sums from the small end do not cancel
    others = np.cumsum(largest) + split[: len(pulls) - k].sum()
    levels = others / np.arange(1, k + 1)
    return float(levels[np.flatnonzero(largest <= levels)[-1]])


def _level_of_prox(pulls: np.ndarray, bends: np.ndarray, k: int) -> float:
    """The largest ``level`` with ``sum(clip(bends (pulls / level - 1), 0, 1)) = k``.

    The sum is linear in ``1 / level`` between the points where some gate leaves one or reaches
    zero; bisection over those, sorted, and one interpolation find the level without cancellation.
    """
    ends = pulls * (bends / (1 + bends))  # up to there a gate is one

    def places(level: float) -> float:
        gates = np.clip(bends * (pulls / level - 1), 0.0, 1.0)
        return float(np.where(level <= ends, 1.0, gates).sum())

    corners = np.sort(np.concatenate([ends, pulls]))
    low, high = 0, len(corners) - 1  # at the lowest corner all gates are one, at the highest none
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if places(corners[middle]) >= k else (low, middle)
    more, fewer = places(corners[low]), places(corners[high])
    if fewer >= k:  # the highest corner: bends beyond what rounding resolves
        return float(corners[high])
    share = (k - fewer) / (more - fewer)
    return 1.0 / float((1 - share) / corners[high] + share / corners[low])
