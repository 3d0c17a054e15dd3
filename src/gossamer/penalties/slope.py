"""SLOPE: the sorted L1 norm, whose larger strengths meet the larger units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from gossamer.core.loss import ROUNDING
from gossamer.core.penalty import Penalty
from gossamer.core.registry import JOINT_PENALTIES
from gossamer.core.structure import Structure
from gossamer.core.units import Units
from gossamer.core.validation import finite_number, float_array
from gossamer.structures import Elements


@JOINT_PENALTIES.register
@dataclass(frozen=True, eq=False)
class SLOPE(Penalty):
    r"""Sorted L1: the largest unit is charged the first strength, the next one the second, ...

    .. math:: \Omega(w) = \sum_{i=1}^{m} \lambda_i\, t_{(i)}, \qquad
              t_{(1)} \ge t_{(2)} \ge \ldots \text{ the sizes of the } m \text{ units}, \quad
              \lambda_1 \ge \lambda_2 \ge \ldots \ge 0

    Units of similar strength are tied to one size, which makes SLOPE find clusters of correlated
    features; with the strengths of :meth:`bh` it controls the false discovery rate of orthogonal
    designs. Equal strengths are L1, linearly falling ones OSCAR, the first alone the largest
    size.

    Parameters
    ----------
    strengths : (n_units,) sequence of numbers >= 0, none larger than the one before
        In the unit of the loss per unit of coefficient.
    on : Structure, default Elements()
        What is sparse together; :class:`Groups` makes group SLOPE.
    nonnegative : bool, default False
        Allow coefficients >= 0 only.

    Raises
    ------
    ValueError
        When the strengths increase, are negative or not finite, or are not as many as the units.

    References
    ----------
    Bogdan, van den Berg, Sabatti, Su and Candes (2015), SLOPE: adaptive variable selection via
    convex optimization; the prox is its algorithm 3.
    Brzyski, Gossmann, Su and Bogdan (2019), Group SLOPE.

    Examples
    --------
    >>> SLOPE([3.0, 2.0, 1.0]).prox(np.array([5.0, -4.5, 0.5]), step=1.0)
    array([ 2.25, -2.25,  0.  ])
    """

    strengths: Any
    on: Structure = field(default_factory=Elements, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)

    convex = True

    def __post_init__(self) -> None:
        strengths = float_array(self.strengths, "SLOPE: strengths")
        if strengths.ndim != 1 or not strengths.size:
            raise ValueError(
                f"SLOPE: strengths must be a sequence, one number a unit, got {self.strengths!r}. "
                "SLOPE.bh(p) makes the usual one."
            )
        if not np.isfinite(strengths).all() or (strengths < 0).any():
            raise ValueError("SLOPE: strengths must be finite numbers >= 0.")
        rising = np.flatnonzero(np.diff(strengths) > 0)
        if rising.size:
            at = rising[0]
            raise ValueError(
                f"SLOPE: strengths must not increase, got {strengths[at]:g} before "
                f"{strengths[at + 1]:g} at position {at + 1}: sort them, largest first."
            )
        if self.on.is_spectral:
            raise ValueError(f"SLOPE: {self.on!r} has no units to sort; use L1 on it.")
        strengths.flags.writeable = False
        object.__setattr__(self, "strengths", strengths)

    # -- sequences of strengths --------------------------------------------------------------------
    @classmethod
    def bh(
        cls, n_units: int, *, q: float = 0.1, strength: float = 1.0,
        n_samples: int | None = None, on: Structure | None = None, nonnegative: bool = False,
    ) -> SLOPE:  # fmt: skip
        r"""The strengths of the Benjamini-Hochberg procedure, Gaussian quantiles.

        .. math:: \lambda_i = \text{strength} \cdot \Phi^{-1}\left(1 - \frac{i q}{2 m}\right)

        Parameters
        ----------
        n_units : int
            The number m of units.
        q : float in (0, 1), default 0.1
            Aimed false discovery rate.
        strength : float, default 1.0
            Multiplies the quantiles. The noise of a standardised column's gradient, which is
            sigma / sqrt(n) for the quadratic loss, controls the rate at ``q``.
        n_samples : int, default None
            Correct for the noise that shrinkage adds on a Gaussian design of so many samples
            (section 3.2.2 of the reference of the class).

        Examples
        --------
        >>> SLOPE.bh(4, q=0.2).strengths.round(3)
        array([1.96 , 1.645, 1.44 , 1.282])
        """
        if not isinstance(n_units, (int, np.integer)) or n_units < 1:
            raise ValueError(f"SLOPE: n_units must be a whole number >= 1, got {n_units!r}.")
        if not 0 < q < 1:
            raise ValueError(f"SLOPE: q must be between 0 and 1, got {q!r}.")
        quantiles = -ndtri(np.arange(1, n_units + 1) * (q / (2 * n_units)))
        if n_samples is not None:
            quantiles = _corrected(quantiles, int(n_samples))
        strengths = finite_number(strength, "SLOPE: strength", 0.0) * quantiles
        return cls(strengths, on=Elements() if on is None else on, nonnegative=nonnegative)

    @property
    def strength(self) -> float:  # type: ignore[override]
        """The largest strength; :meth:`with_strength` keeps the proportions."""
        return float(self.strengths[0])

    def with_strength(self, strength: float) -> SLOPE:
        return replace(self, strengths=strength * self._profile)

    @property
    def _profile(self) -> np.ndarray:
        """The strengths relative to the first; equal where all are zero."""
        first = self.strengths[0]
        return self.strengths / first if first > 0 else np.ones(len(self.strengths))

    # -- the penalty -------------------------------------------------------------------------------
    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        if self.nonnegative and (w < 0).any():
            return np.inf
        sizes = np.sort(self.sizes(w))[::-1]
        alive = np.flatnonzero(sizes)
        return float(self.strengths[alive] @ sizes[alive])

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """The minimiser, in O(m log m): sort, subtract, average what is out of order, unsort."""
        v = np.asarray(v, dtype=float)
        steps = np.unique(step)
        if steps.size != 1:
            raise ValueError("SLOPE: step must be one number, units share the strengths.")
        if self.nonnegative:
            v = np.maximum(v, 0.0)
        units = self._units(v.shape)
        sizes = units.norms(v)
        kept = _shrunk(sizes, steps[0] * self.strengths)
        if units.are_single:
            return np.sign(v) * kept.reshape(v.shape)
        factors = np.divide(kept, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        return v * units.spread(factors).reshape(v.shape)

    # -- optimality and duality --------------------------------------------------------------------
    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """Exact: units of one size share their strengths as a permutahedron, those at zero as
        the dual ball; the rest of minus the gradient after projection is isotonic."""
        w, pull = np.asarray(w, dtype=float), -np.asarray(grad, dtype=float)
        units = self._units(w.shape)
        sizes = units.norms(w)
        alive = units.spread(sizes > 0).reshape(w.shape)
        if self.nonnegative:
            pull = np.where(w > 0, pull, np.maximum(pull, 0.0))
        direction = np.divide(
            w, units.spread(sizes).reshape(w.shape), out=np.zeros_like(w), where=alive
        )
        along = np.bincount(units.labels, (direction * pull).ravel(), units.count)
        shared = direction * units.spread(along).reshape(w.shape)
        across = units.norms(np.where(alive, pull - shared, 0.0))
        pulls = np.where(sizes > 0, along, units.norms(pull))
        return np.hypot(_rest_of_face(sizes, pulls, self.strengths), across)

    def conjugate(self, z: np.ndarray) -> float:
        drawn, allowed = self._sums(z)
        return 0.0 if (drawn <= allowed * (1 + ROUNDING)).all() else np.inf

    def dual_scale(self, z: np.ndarray) -> float:
        drawn, allowed = self._sums(z)
        ratios = np.divide(allowed, drawn, out=np.ones_like(drawn), where=drawn > allowed)
        return float(ratios.min())

    def strength_max(self, grad0: np.ndarray) -> float:
        drawn, _ = self._sums(-np.asarray(grad0, dtype=float))
        return float((drawn / np.cumsum(self._profile)).max())

    def _sums(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the k largest sizes of a dual point, and of the k first strengths."""
        z = np.asarray(z, dtype=float)
        sizes = self.sizes(np.maximum(z, 0.0) if self.nonnegative else z)
        return np.cumsum(np.sort(sizes)[::-1]), np.cumsum(self.strengths)

    # -- manners -----------------------------------------------------------------------------------
    def resolve(self, feature_names: Sequence[str] | None) -> SLOPE:
        structure = self.on.resolve(feature_names)
        return self if structure is self.on else replace(self, on=structure)

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return self._units(np.shape(w)).norms(w)

    def unit_form(self, shape: tuple[int, ...]) -> None:
        """``None``: the units share the strengths. Raises when these are not as many."""
        self._units(shape)

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(shape, self.strength == 0)

    def _units(self, shape: tuple[int, ...]) -> Units:
        units = self.on.units(shape)
        if len(self.strengths) != units.count:
            raise ValueError(
                f"SLOPE: strengths has {len(self.strengths)} entries, but there are {units.count} "
                f"units in coefficients of shape {shape}."
            )
        return units

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SLOPE):
            return NotImplemented
        same = (self.on, self.nonnegative) == (other.on, other.nonnegative)
        return same and np.array_equal(self.strengths, other.strengths)

    def __hash__(self) -> int:
        return hash((SLOPE, self.strengths.tobytes(), self.on, self.nonnegative))

    def __repr__(self) -> str:
        first, last = self.strengths[0], self.strengths[-1]
        parts = [f"{len(self.strengths)} strengths from {first:.4g} to {last:.4g}"]
        parts += [] if type(self.on) is Elements else [f"on={self.on!r}"]
        parts += ["nonnegative=True"] if self.nonnegative else []
        return f"SLOPE({', '.join(parts)})"


def _shrunk(sizes: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Prox of the sorted L1 norm at sizes >= 0."""
    kept = np.zeros_like(sizes)
    order = np.argsort(-sizes, kind="stable")
    level = isotonic_regression(sizes[order] - strengths, increasing=False).x
    kept[order] = np.maximum(level, 0.0)
    return kept


def _rest_of_face(sizes: np.ndarray, pulls: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """(n_units,) moduli of what is left of ``pulls`` beyond the face of the dual ball at ``sizes``.

    Where sizes are equal the face holds what is majorised by their strengths; the rest of a
    projection on it is the isotonic regression of ``sorted pulls - strengths``.
    """
    order = np.lexsort((-pulls, -sizes))
    ranked = sizes[order]
    # sizes of one cluster that were computed apart differ by rounding
    breaks = np.flatnonzero(ranked[:-1] - ranked[1:] > 1e-12 * ranked[:-1]) + 1
    rest = pulls[order] - strengths
    for start, stop in zip(np.r_[0, breaks], np.r_[breaks, len(rest)], strict=True):
        if stop - start > 1:
            # rounding of the sizes must not decide the order within a cluster
            members = order[start:stop]
            order[start:stop] = members[np.argsort(-pulls[members], kind="stable")]
            within = pulls[order[start:stop]] - strengths[start:stop]
            rest[start:stop] = isotonic_regression(within, increasing=False).x
        if ranked[start] == 0:
            rest[start:stop] = np.maximum(rest[start:stop], 0.0)
    distances = np.empty_like(rest)
    distances[order] = np.abs(rest)
    return distances


def _corrected(quantiles: np.ndarray, n_samples: int) -> np.ndarray:
    """Strengths for a Gaussian design: each is raised by the noise of those before it, until they
    would rise."""
    strengths = quantiles.copy()
    squares = 0.0
    for i in range(1, len(strengths)):
        squares += strengths[i - 1] ** 2
        left = n_samples - i - 1
        raised = quantiles[i] * np.sqrt(1 + squares / left) if left > 0 else np.inf
        if raised > strengths[i - 1]:
            strengths[i:] = strengths[i - 1]
            break
        strengths[i] = raised
    return strengths
