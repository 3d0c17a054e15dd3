"""Tree: groups nested in groups, each of which may be dropped with all it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.loss import ROUNDING
from gossamer.core.penalty import Penalty
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.validation import finite_number
from gossamer.factorisations import factorise_overlaps
from gossamer.factorisations.cells import unit_weights
from gossamer.penalties.group_lists import Members, by_position, group_lists, has_names

_BISECTIONS = 60


@JOINT_PENALTIES.register
@dataclass(frozen=True, repr=False)
class Tree(Penalty):
    r"""The sum of the norms of groups of which any two are nested or apart.

    .. math:: \Omega(w) = \text{strength} \sum_g \text{weight}_g \|w_g\|_2

    A group that is zero takes all groups inside it along, so that a feature lives only if every
    group around it does: interactions only beside their main effects, genes only in pathways,
    a curve only where there is a line. The prox is exact: one pass of group soft thresholds from
    the leaves to the root. With K outputs a group holds all rows of its features.

    Parameters
    ----------
    strength : float >= 0
    groups : sequence of lists of column positions or names, or mapping of these
        Lone features may be groups; those that are in none are free.
    weights : (n_groups,) sequence of numbers >= 0, default None
        In the order of the groups; ``None`` means ones.
    nonnegative : bool, default False

    Raises
    ------
    ValueError
        When two groups overlap and neither holds the other, with their numbers; when a group is
        empty, repeats a member or names an unknown column.

    References
    ----------
    Zhao, Rocha and Yu (2009), The composite absolute penalties family for grouped and hierarchical
    variable selection.
    Jenatton, Mairal, Obozinski and Bach (2011), Proximal methods for hierarchical sparse coding.

    Examples
    --------
    >>> import numpy as np
    >>> penalty = Tree(1.0, [[0], [1], [0, 1, 2]])
    >>> penalty.value(np.array([3.0, 0.0, 4.0]))
    8.0
    >>> penalty.prox(np.array([4.0, 0.5, 4.0]), step=1.0)
    array([2.4, 0. , 3.2])
    """

    strength: float
    groups: Any
    weights: Any = field(default=None, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)

    convex = True

    def __post_init__(self) -> None:
        finite_number(self.strength, "Tree: strength", 0.0)
        members = group_lists(self.groups, "Tree")
        object.__setattr__(self, "groups", members)
        if self.weights is not None:
            weights = unit_weights(self.weights, len(members), "Tree")
            object.__setattr__(self, "weights", tuple(weights.tolist()))
        if not has_names(members):
            _heights(members)

    # -- the penalty -----------------------------------------------------------------------------
    def __repr__(self) -> str:
        parts = [f"strength={self.strength!r}", f"groups=<{len(self.groups)} groups>"]
        parts += [] if self.weights is None else [f"weights=<{len(self.weights)} values>"]
        parts += ["nonnegative=True"] if self.nonnegative else []
        return f"Tree({', '.join(parts)})"

    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        if self.nonnegative and (w < 0).any():
            return np.inf
        return float(self._prices @ self._norms(w))

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return np.abs(np.ravel(w))

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """The minimiser; ``step`` is one number."""
        v = np.asarray(v, dtype=float)
        if self.nonnegative:
            v = np.maximum(v, 0.0)
        return self._shrunk(v, float(step) * self._prices) + 0.0

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """(n_coefficients,) entries of what ``-grad`` is away from the subdifferential.

        Groups that live have a gradient; below those that do not, the distance to the ball of
        their dual norm is what the prox at their strengths leaves.
        """
        w, grad = np.asarray(w, dtype=float), np.asarray(grad, dtype=float)
        norms = self._norms(w)
        slopes = np.divide(self._prices, norms, out=np.zeros_like(norms), where=norms > 0)
        pull = np.zeros(w.shape)
        for labels in self._levels(w.shape):
            pull += np.where(labels >= 0, slopes[labels], 0.0).reshape(w.shape)
        rest = -grad - pull * w
        if self.nonnegative:
            rest = np.where(w > 0, rest, np.maximum(rest, 0.0))
        return np.abs(self._shrunk(rest, np.where(norms > 0, 0.0, self._prices))).ravel()

    # -- duality ---------------------------------------------------------------------------------
    def conjugate(self, z: np.ndarray) -> float:
        free, norm = self._dual_norm(z)
        return 0.0 if not free and norm <= self.strength * (1 + ROUNDING) else np.inf

    def dual_scale(self, z: np.ndarray) -> float:
        free, norm = self._dual_norm(z)
        return 0.0 if free else min(1.0, self.strength / norm) if norm > 0 else 1.0

    def strength_max(self, grad0: np.ndarray) -> float:
        return self._dual_norm(-np.asarray(grad0, dtype=float))[1]

    def _dual_norm(self, z: np.ndarray) -> tuple[bool, float]:
        """Whether something free is not zero, and the least strength that the rest of ``z`` is a
        subgradient for at zero: that at which the prox of it is zero, by bisection from above."""
        z = np.asarray(z, dtype=float)
        signed = np.maximum(z, 0.0) if self.nonnegative else z
        priced = self._charged(z.shape, self._weights)
        inside = np.where(priced, signed, 0.0)
        largest = float(np.abs(inside).max(initial=0.0))
        free = bool(self.strength == 0 and largest > 0) or bool(np.where(priced, 0.0, signed).any())
        if largest == 0:
            return free, 0.0
        inside = inside / largest
        low, high = 0.0, 1.0
        while self._shrunk(inside, high * self._weights).any():
            low, high = high, 2 * high
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            left = self._shrunk(inside, middle * self._weights).any()
            low, high = (middle, high) if left else (low, middle)
        return free, high * largest

    # -- manners ---------------------------------------------------------------------------------
    def with_strength(self, strength: float) -> Tree:
        return replace(self, strength=float(strength))

    def resolve(self, feature_names: Sequence[str] | None) -> Tree:
        if not has_names(self.groups):
            return self
        return replace(self, groups=by_position(self.groups, feature_names, "Tree"))

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: the groups are nested. Raises when they do not fit the coefficients."""
        self._levels(shape)

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        return ~self._charged(shape, self._prices)

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation | None:
        if form != "auto" or self.nonnegative:
            return None
        at = np.arange(np.prod(shape)).reshape(shape)
        groups = [at[list(group)].ravel() for group in self.groups]
        return factorise_overlaps(self.strength, groups, shape, self._weights)

    # -- pieces ----------------------------------------------------------------------------------
    @cached_property
    def _weights(self) -> np.ndarray:
        return np.ones(len(self.groups)) if self.weights is None else np.array(self.weights)

    @property
    def _prices(self) -> np.ndarray:
        return self.strength * self._weights

    @cached_property
    def _known(self) -> dict[tuple[int, ...], list[np.ndarray]]:
        return {}

    def _levels(self, shape: tuple[int, ...]) -> list[np.ndarray]:
        """The groups by their height: for each level the (size,) group of every coefficient, -1
        where it is in none."""
        if shape not in self._known:
            if has_names(self.groups):
                raise ValueError("Tree: groups name columns: pass X as a DataFrame.")
            last = max(map(max, self.groups))
            if last >= shape[0]:
                raise ValueError(f"Tree: groups list column {last}, but X has {shape[0]} columns.")
            heights = _heights(self.groups)
            levels = [np.full(shape[0], -1) for _ in range(max(heights) + 1)]
            for number, (height, group) in enumerate(zip(heights, self.groups, strict=True)):
                levels[height][list(group)] = number
            n_outputs = int(np.prod(shape[1:]))
            self._known[shape] = [np.repeat(level, n_outputs) for level in levels]
        return self._known[shape]

    def _charged(self, shape: tuple[int, ...], prices: np.ndarray) -> np.ndarray:
        levels = self._levels(shape)
        charged = [(labels >= 0) & (prices[labels] > 0) for labels in levels]
        return np.any(charged, axis=0).reshape(shape)

    def _norms(self, w: np.ndarray) -> np.ndarray:
        """(n_groups,) norms."""
        norms = np.zeros(len(self.groups))
        for labels in self._levels(w.shape):
            norms += _norms_of_level(np.ravel(w), labels, len(norms))
        return norms

    def _shrunk(self, v: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """Group soft thresholds from the leaves to the root."""
        flat = np.ravel(v).copy()
        for labels in self._levels(v.shape):
            norms = _norms_of_level(flat, labels, len(thresholds))
            left = np.maximum(norms - thresholds, 0.0)
            factors = np.divide(left, norms, out=np.zeros_like(norms), where=norms > 0)
            flat *= np.where(labels >= 0, factors[labels], 1.0)
        return flat.reshape(v.shape)


def _norms_of_level(flat: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """(count,) norms of the groups of one level, zero for others."""
    inside = np.flatnonzero(labels >= 0)
    # as shares of the largest: the squares of others may not be numbers
    largest = float(np.abs(flat).max(initial=0.0)) or 1.0
    return largest * np.sqrt(np.bincount(labels[inside], (flat[inside] / largest) ** 2, count))


def _heights(groups: Members) -> list[int]:
    """The height of each group over the lone leaves below it; refuses what is no tree.

    From the smallest group up, each takes in whole groups that nothing has taken in so far.
    """
    top = np.full(max(map(max, groups)) + 1, -1)
    heights = [0] * len(groups)
    for number in sorted(range(len(groups)), key=lambda g: len(groups[g])):
        members = list(groups[number])
        inside, counts = np.unique(top[members], return_counts=True)
        for child, count in zip(inside.tolist(), counts.tolist(), strict=True):
            if child >= 0 and count < len(groups[child]):
                raise ValueError(
                    f"Tree: groups {min(child, number)} and {max(child, number)} overlap and "
                    "neither holds the other, which is no tree. Take members out of one, or use "
                    "Overlaps(..., latent=True)."
                )
            if child >= 0:
                heights[number] = max(heights[number], heights[child] + 1)
        top[members] = number
    return heights
