"""Fused lasso: total variation of the coefficients along a chain or a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.validation import finite_number
from gossamer.penalties.variation import Graph

# slack on the border of the dual ball, whose size is found by iteration
_SLACK = 1e-9
_MAX_STEPS = 100


@JOINT_PENALTIES.register
@dataclass(frozen=True, eq=False)
class Fused(Penalty):
    r"""Total variation: neighbours are pulled to one value.

    .. math:: \Omega(w) = \text{strength} \sum_{(i, j) \in E} |w_i - w_j|
              \; + \; \text{sparsity} \sum_i |w_i|

    Neighbours are consecutive coefficients, or what ``edges`` says. Adding an L1 makes it the
    sparse fused lasso: ``L1(0.1) + Fused(0.2)``. Every output of several has its own.

    On a chain the prox takes time linear in the number of coefficients, and a least-squares or
    other problem is solved as a lasso on the steps. On a graph the prox is a sequence of maximum
    flows. A constant (on each connected part) costs nothing unless there is an L1.

    Parameters
    ----------
    strength : float >= 0
    edges : (m, 2) array of int, default None
        Pairs of positions of neighbours; one that comes twice counts twice.
    sparsity : float >= 0, default 0
        Strength of the L1. ``with_strength`` keeps its proportion to ``strength``.

    Raises
    ------
    ValueError
        When edges are no pairs of two different positions, or exceed the coefficients.

    References
    ----------
    Tibshirani, Saunders, Rosset, Zhu and Knight (2005), Sparsity and smoothness via the fused
    lasso.
    Friedman, Hastie, Hofling and Tibshirani (2007), Pathwise coordinate optimization: the L1
    after the total variation.
    Johnson (2013), A dynamic programming algorithm for the fused lasso.
    Hochbaum (2001), An efficient algorithm for image segmentation, Markov random fields and
    related problems: levels by cuts.

    Examples
    --------
    >>> Fused(1.0).prox(np.array([1.0, 1.5, 5.0, 5.5]), step=0.5)
    array([1.5, 1.5, 5. , 5. ])
    >>> Fused(1.0, edges=[[0, 2], [1, 3]]).value(np.array([1.0, 0.0, 1.0, 3.0]))
    3.0
    """

    strength: float
    edges: Any = field(default=None, kw_only=True)
    sparsity: float = field(default=0.0, kw_only=True)

    convex = True

    def __post_init__(self) -> None:
        finite_number(self.strength, "Fused: strength", 0.0)
        finite_number(self.sparsity, "Fused: sparsity", 0.0)
        if self.edges is not None:
            edges = _checked_edges(self.edges)
            edges.flags.writeable = False
            object.__setattr__(self, "edges", edges)

    def with_strength(self, strength: float) -> Fused:
        """The sparsity keeps its proportion; from zero strength it becomes zero too."""
        ratio = self.sparsity / self.strength if self.strength > 0 else 0.0
        return replace(self, strength=float(strength), sparsity=float(strength) * ratio)

    def plus(self, inner: UnitPenalty) -> Fused | None:
        if inner.weights is not None or inner.nonnegative:
            return None
        return replace(self, sparsity=self.sparsity + inner.strength)

    # -- the penalty -------------------------------------------------------------------------------
    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        jumps = np.abs(self._graph(w.shape).differences(w)).sum()
        total = self.strength * jumps if jumps else 0.0
        return float(total + self.sparsity * np.abs(w).sum() if self.sparsity else total)

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        v = np.asarray(v, dtype=float)
        steps = np.unique(step)
        if steps.size != 1:
            raise ValueError("Fused: step must be one number, neighbours share the edges.")
        fused = self._graph(v.shape).prox(v, self.strength * steps[0])
        return _soft(fused, self.sparsity * steps[0]) + 0.0

    # -- optimality and duality --------------------------------------------------------------------
    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """Exact: edges within a level are free up to the strength, and the rest of minus the
        gradient after projection is a prox along them."""
        w, pull = np.asarray(w, dtype=float), -np.asarray(grad, dtype=float)
        graph = self._graph(w.shape)
        pull = pull - self.sparsity * np.sign(w)
        rest = graph.rest(w, pull, self.strength)
        rest = np.where(w == 0, _soft(rest, self.sparsity), rest)
        return np.abs(rest).ravel()

    def conjugate(self, z: np.ndarray) -> float:
        z = np.asarray(z, dtype=float)
        return 0.0 if self._dual_norm(z) <= 1 + _SLACK else np.inf

    def dual_scale(self, z: np.ndarray) -> float:
        return 1.0 / max(self._dual_norm(np.asarray(z, dtype=float)), 1.0)

    def strength_max(self, grad0: np.ndarray) -> float:
        """The strength for which all neighbours are equal (and, with an L1, zero)."""
        unit = replace(self, strength=1.0, sparsity=self._ratio)
        z = np.asarray(grad0, dtype=float)
        if not unit.sparsity:
            z = z - self._graph(z.shape).means(z)
        return unit._dual_norm(z)

    def _dual_norm(self, z: np.ndarray) -> float:
        """The largest <z, w> among the w of value one, by Dinkelbach's iteration on the prox.

        What the prox keeps of z is an ascent direction; none is kept from the norm on.
        """
        graph = self._graph(z.shape)
        if not self.sparsity:
            level = graph.means(z)
            if np.abs(level).max(initial=0.0) > _SLACK * np.abs(z).max(initial=0.0):
                return np.inf
            z = z - level
        if not z.any():
            return 0.0
        if self.strength == 0.0 and not self.sparsity:
            return np.inf
        if graph.is_chain and not self.sparsity:
            return float(np.abs(np.cumsum(z, axis=0)).max() / self.strength)
        size, p = 0.0, z
        for _ in range(_MAX_STEPS):
            cost = self.value(p)
            new = float((z * p).sum()) / cost if cost > 0 else 0.0
            if not new > size * (1 + 1e-13):
                break
            size, p = new, self.prox(z, new)
        return size

    def flat(self, shape: tuple[int, ...]) -> np.ndarray | None:
        return None if self.sparsity else self._graph(shape).constants()

    # -- manners -----------------------------------------------------------------------------------
    def resolve(self, feature_names: Sequence[str] | None) -> Fused:
        return self

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: neighbours share edges. Raises when there are fewer coefficients than ends."""
        self._graph(shape)

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.strength == 0 and self.sparsity == 0)

    @property
    def _ratio(self) -> float:
        return self.sparsity / self.strength if self.strength > 0 else 0.0

    def _graph(self, shape: tuple[int, ...]) -> Graph:
        known = self.__dict__.get("_known")
        if known is None or known.n_nodes != shape[0]:
            if self.edges is not None and self.edges.max(initial=-1) >= shape[0]:
                raise ValueError(
                    f"Fused: edges reach position {self.edges.max()}, but there are {shape[0]} "
                    "features, counted from 0."
                )
            known = Graph(shape[0], self.edges)
            object.__setattr__(self, "_known", known)
        return known

    @cached_property
    def _key(self) -> tuple:
        edges = None if self.edges is None else self.edges.tobytes()
        return self.strength, self.sparsity, edges

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Fused) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        parts = [f"strength={self.strength!r}"]
        parts += [] if self.edges is None else [f"edges=<{len(self.edges)} pairs>"]
        parts += [f"sparsity={self.sparsity!r}"] if self.sparsity else []
        return f"Fused({', '.join(parts)})"


def _soft(v: np.ndarray, threshold: float) -> np.ndarray:
    return np.sign(v) * np.maximum(np.abs(v) - threshold, 0.0) if threshold else v


def _checked_edges(edges: Any) -> np.ndarray:
    pairs = np.array(edges)
    if pairs.size == 0:
        pairs = np.empty((0, 2), dtype=np.intp)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise ValueError(
            f"Fused: edges must be pairs of whole positions, shape (m, 2), got shape {pairs.shape} "
            f"of {pairs.dtype}."
        )
    if (pairs < 0).any():
        raise ValueError(f"Fused: edges has the negative position {pairs.min()}.")
    loops = pairs[pairs[:, 0] == pairs[:, 1]]
    if len(loops):
        raise ValueError(f"Fused: edges joins {loops[0, 0]} to itself: drop such pairs.")
    return pairs.astype(np.intp)
