"""Penalty: a scalar shape of every unit's size.

A :class:`UnitPenalty` is one dataclass with four plain formulas of one number, the *shape*:

    Omega(w) = sum_u  weight_u * shape(size of w_u)

Everything else (groups, rows, weights, signs, prox, certificates, kernels) follows from the
formulas and the structure, so that N shapes and M structures give N x M penalties.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from gossamer.core import spectral
from gossamer.core.factorisation import Factorisation
from gossamer.core.registry import STRUCTURES
from gossamer.core.structure import Structure
from gossamer.core.unit_form import HUGE, TINY, UnitForm, distance_of_form, prox_of_form
from gossamer.core.validation import finite_number, float_array


class Penalty(ABC):
    """A function of the coefficients that makes them sparse. ``w`` has shape (p,) or (p, K)."""

    convex: bool
    strength: float

    # without annotation, as dataclasses derive from this
    is_budget = False  # a limit on the number of units, ``k``, in place of a strength

    @abstractmethod
    def value(self, w: np.ndarray) -> float:
        """Omega(w)."""

    @abstractmethod
    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        """A global minimiser of ``|w - v|^2 / (2 step) + Omega(w)``."""

    @abstractmethod
    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        """(n_units,) distance from ``-grad`` to the subdifferential of Omega at ``w``."""

    @abstractmethod
    def conjugate(self, z: np.ndarray) -> float:
        """Omega*(z) = sup_w <z, w> - Omega(w), infinite outside its domain (convex only)."""

    @abstractmethod
    def dual_scale(self, z: np.ndarray) -> float:
        """The largest s in [0, 1] with a finite Omega*(s z) (convex only)."""

    @abstractmethod
    def strength_max(self, grad0: np.ndarray) -> float:
        """The smallest strength for which ``w = 0`` is optimal, given the gradient at zero."""

    @abstractmethod
    def with_strength(self, strength: float) -> Self:
        """The same penalty with another strength."""

    @property
    def level(self) -> float:
        """What paths vary: the strength, or the number of units of a budget."""
        return self.strength

    def at_level(self, level: float) -> Self:
        """The same penalty at another level."""
        return self.with_strength(level)

    @abstractmethod
    def resolve(self, feature_names: Sequence[str] | None) -> Penalty:
        """The same penalty with column names replaced by positions."""

    def unit_form(self, shape: tuple[int, ...]) -> UnitForm | None:
        """The form block solvers use; ``None`` when the prox does not split by unit."""
        return None

    def sizes(self, w: np.ndarray) -> np.ndarray:
        """(n_units,) sizes of what is penalised together, zero for what is not selected."""
        return np.abs(np.ravel(w))

    def dimension(self, w: np.ndarray) -> int:
        """Of the coefficients near ``w`` with the same zeros, ties and ranks."""
        return int(np.count_nonzero(w))

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        """Mask of the coefficients without any penalty (their sign may be constrained)."""
        return np.zeros(shape, dtype=bool)

    def flat(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """(p, r) orthonormal directions of each output along which Omega is constant, beside the
        free coefficients; ``None`` for none."""
        return None

    def plus(self, inner: UnitPenalty) -> Penalty | None:
        """The sum with an L1 on elements; ``None`` when it has no prox of its own."""
        return None

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation | None:
        """The smooth form for a weight of ``shape``; ``None`` when there is none.

        ``form`` names one of several, see :func:`gossamer.factorisations.factorise_power`.
        """
        return None

    def __getstate__(self) -> dict[str, Any]:
        """What it was made of: what it has computed since is not part of it."""
        made_of = {f.name for f in fields(self)} if is_dataclass(self) else set(vars(self))
        return {name: value for name, value in vars(self).items() if name in made_of}

    def __add__(self, other: Penalty) -> Penalty:
        from gossamer.core.sum_penalty import add

        return add(self, other)


@dataclass(frozen=True, eq=False)
class UnitPenalty(Penalty):
    """A scalar shape on the units of a structure. Subclasses are frozen dataclasses.

    A subclass declares its parameters (``strength`` first) as fields and writes the formulas
    ``shape_value``, ``shape_prox``, ``shape_dist`` and, when convex, ``shape_conjugate``:
    static, plain numpy, free of branches. ``par`` is the tuple of the parameters in order.
    """

    strength: float
    on: Structure = field(default_factory=lambda: STRUCTURES["elements"](), kw_only=True)
    weights: Any = field(default=None, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)

    # without annotations: these are facts of a class, not fields of the dataclass
    convex = False
    homogeneous = False  # shape(c t) = c shape(t): may be added to another penalty

    # -- the formulas of a subclass ------------------------------------------------------------
    @staticmethod
    def shape_value(t, par):
        """The shape at t >= 0."""
        raise NotImplementedError

    @staticmethod
    def shape_prox(v, step, par):
        """A global minimiser over t of ``(t - v)^2 / (2 step) + shape(|t|)``."""
        raise NotImplementedError

    @staticmethod
    def shape_dist(t, g, par):
        """Distance from ``-g`` to the subdifferential of ``shape(|.|)`` at t."""
        raise NotImplementedError

    @staticmethod
    def shape_conjugate(s, par):
        """Conjugate of ``shape(|.|)`` at s >= 0, infinite outside its domain (convex only)."""
        raise NotImplementedError

    # -- construction --------------------------------------------------------------------------
    def __post_init__(self) -> None:
        name = type(self).__name__
        for parameter in self._parameters():
            minimum = 0.0 if parameter == "strength" else -np.inf
            finite_number(getattr(self, parameter), f"{name}: {parameter}", minimum)
        if self.weights is not None:
            weights = float_array(self.weights, f"{name}: weights")
            if weights.ndim != 1 or not np.isfinite(weights).all() or (weights < 0).any():
                raise ValueError(
                    f"{name}: weights must be a 1-D array of finite numbers >= 0, one a unit; "
                    "zero leaves a unit unpenalised."
                )
            object.__setattr__(self, "weights", weights)
        if self.on.is_spectral and (self.nonnegative or self.weights is not None):
            raise ValueError(
                f"{name}: weights and nonnegative do not apply on {self.on!r}: singular values "
                "have no place in the coefficients, and no sign."
            )

    @classmethod
    def _parameters(cls) -> list[str]:
        shared = {"on", "weights", "nonnegative"}
        return [f.name for f in fields(cls) if f.name not in shared]

    @cached_property
    def par(self) -> tuple[float, ...]:
        """The parameters as the formulas take them."""
        return tuple(float(getattr(self, name)) for name in self._parameters())

    def with_strength(self, strength: float) -> Self:
        return replace(self, strength=float(strength))

    def resolve(self, feature_names: Sequence[str] | None) -> Self:
        structure = self.on.resolve(feature_names)
        return self if structure is self.on else replace(self, on=structure)

    def unit_form(self, shape: tuple[int, ...]) -> UnitForm | None:
        return None if self.on.is_spectral else self.form(shape)

    def form(self, shape: tuple[int, ...]) -> UnitForm:
        """The shape on the sizes of the units, or on singular values as if those were units."""
        known: tuple | None = self.__dict__.get("_form")
        if known is None or known[0] != shape:
            known = (shape, self._make_form(shape))
            object.__setattr__(self, "_form", known)
        return known[1]

    def _make_form(self, shape: tuple[int, ...]) -> UnitForm:
        units = spectral.units(shape) if self.on.is_spectral else self.on.units(shape)
        if self.weights is None:
            weights = np.ones(units.count)
        elif len(self.weights) == units.count:
            weights = self.weights
        else:
            raise ValueError(
                f"{type(self).__name__}: weights has {len(self.weights)} entries, but there are "
                f"{units.count} units in coefficients of shape {shape}."
            )
        return UnitForm(
            units, weights, None, self.nonnegative, self.shape_value, self.shape_prox,
            self.shape_dist, self.par, elementwise=units.are_single,
        )  # fmt: skip

    # -- what follows from the formulas ----------------------------------------------------------
    def sizes(self, w: np.ndarray) -> np.ndarray:
        if self.on.is_spectral:
            return self.on.sizes(w)
        return self.form(w.shape).units.norms(w)

    def value(self, w: np.ndarray) -> float:
        w = np.asarray(w, dtype=float)
        if self.nonnegative and (w < 0).any():
            return np.inf
        sizes = self.sizes(w)
        alive = np.flatnonzero(sizes)
        return float(self.form(w.shape).weights[alive] @ self.shape_value(sizes[alive], self.par))

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        v = np.asarray(v, dtype=float)
        prox = spectral.prox if self.on.is_spectral else prox_of_form
        return prox(self.form(v.shape), v, step)

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        w = np.asarray(w, dtype=float)
        distance = spectral.distance if self.on.is_spectral else distance_of_form
        return distance(self.form(w.shape), w, np.asarray(grad, dtype=float))

    def conjugate(self, z: np.ndarray) -> float:
        form, sizes = self._dual_sizes(z)
        slopes = form.per_weight(sizes)
        if form.has_free and np.isinf(slopes).any():
            return np.inf
        return float(form.weights @ self.shape_conjugate(slopes, self.par))

    def dual_scale(self, z: np.ndarray) -> float:
        form, sizes = self._dual_sizes(z)
        steepest = form.per_weight(sizes).max(initial=0.0)
        limit = float(self.shape_dist(np.full(1, HUGE), 0.0, self.par)[0])
        return limit / float(steepest) if steepest > limit else 1.0

    def strength_max(self, grad0: np.ndarray) -> float:
        form, sizes = self._dual_sizes(-np.asarray(grad0, dtype=float))
        pulled = (form.weights > 0) & (sizes > 0)
        sizes, weights = sizes[pulled], form.weights[pulled]
        if sizes.size == 0:
            return 0.0
        if self.is_steep:
            return self._strength_of_threshold(sizes, weights)
        unit = self.with_strength(1.0)
        slope = float(unit.shape_dist(np.full(1, TINY), 0.0, unit.par)[0])
        # a shape that is flat at zero (ridge) never holds a coefficient there
        return float((sizes / weights).max() / slope) if slope > np.sqrt(TINY) else np.inf

    @property
    def is_steep(self) -> bool:
        """Whether the slope at zero is infinite: zero is stationary whatever the gradient."""
        par = self.with_strength(1.0).par
        return bool(self.shape_dist(np.zeros(1), HUGE, par)[0] == 0)

    def _strength_of_threshold(self, sizes: np.ndarray, weights: np.ndarray) -> float:
        """The strength at which the prox with unit step starts to keep one of ``sizes``.

        For shapes with infinite slope at zero (Lq, L0) zero is always stationary; what ends at a
        finite strength is zero being the *global* minimiser along a unit of unit curvature.
        Found by bisection.
        """

        def keeps(strength: float) -> bool:
            par = self.with_strength(strength).par
            return bool(self.shape_prox(sizes, weights, par).any())

        low, high = 0.0, 1.0
        while keeps(high):
            low, high = high, 2 * high
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if keeps(middle) else (low, middle)
        return high

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        form = self.form(shape)
        at_one = self.shape_value(np.ones(1), self.par)[0]
        if at_one > 0 and not form.has_free:
            return np.zeros(shape, dtype=bool)
        if self.on.is_spectral:
            return np.ones(shape, dtype=bool)
        return form.units.spread((form.weights == 0) | (at_one == 0)).reshape(shape)

    def _dual_sizes(self, z: np.ndarray) -> tuple[UnitForm, np.ndarray]:
        z = np.asarray(z, dtype=float)
        return self.form(z.shape), self.sizes(np.maximum(z, 0.0) if self.nonnegative else z)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, UnitPenalty)
        same = (self.par, self.on, self.nonnegative) == (other.par, other.on, other.nonnegative)
        if self.weights is None or other.weights is None:
            return same and self.weights is other.weights
        return same and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((type(self), self.par, self.on, self.nonnegative))

    def __repr__(self) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in self._parameters()]
        if type(self.on).__name__ != "Elements":
            parts.append(f"on={self.on!r}")
        parts += ["weights=..."] if self.weights is not None else []
        parts += ["nonnegative=True"] if self.nonnegative else []
        return f"{type(self).__name__}({', '.join(parts)})"
