"""The sum of an L1 on elements and any unit-wise penalty: sparse-group penalties and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.factorisation import Factorisation
from gossamer.core.loss import ROUNDING
from gossamer.core.penalty import Penalty, UnitPenalty
from gossamer.core.unit_form import HUGE, UnitForm, distance_of_form, prox_of_form

_BISECTIONS = 60


@dataclass(frozen=True, repr=False)
class SumPenalty(Penalty):
    """``inner + outer``: an L1 on elements plus any shape on units.

    Built by adding two penalties: ``L1(0.1) + L1(0.2, on=Groups(groups))`` is the sparse-group
    lasso, ``L1(0.1) + MCP(0.2, on=Groups(groups))`` its non-convex cousin.

    References
    ----------
    Simon, Friedman, Hastie and Tibshirani (2013), A sparse-group lasso.
    Yu (2013), On decomposing the proximal map, theorem 4: the prox of the sum is the prox of
    the outer part after the prox of the inner one, as the inner one is positively homogeneous.
    """

    inner: UnitPenalty
    outer: UnitPenalty

    @property
    def convex(self) -> bool:  # type: ignore[override]
        return self.outer.convex

    @property
    def strength(self) -> float:  # type: ignore[override]
        """Sum of the two strengths; :meth:`with_strength` keeps their proportion."""
        return self.inner.strength + self.outer.strength

    def with_strength(self, strength: float) -> SumPenalty:
        total = self.strength
        share = self.inner.strength / total if total > 0 else 0.5
        return SumPenalty(
            self.inner.with_strength(strength * share),
            self.outer.with_strength(strength * (1 - share)),
        )

    def resolve(self, feature_names: Sequence[str] | None) -> SumPenalty:
        return SumPenalty(self.inner.resolve(feature_names), self.outer.resolve(feature_names))

    def unit_form(self, shape: tuple[int, ...]) -> UnitForm:
        inner, outer = self.inner.form(shape), self.outer.form(shape)
        return replace(
            outer,
            inner=self.inner.strength * inner.weights,
            nonnegative=inner.nonnegative or outer.nonnegative,
            elementwise=False,
        )

    def prox(self, v: np.ndarray, step: float | np.ndarray) -> np.ndarray:
        v = np.asarray(v, dtype=float)
        return prox_of_form(self.unit_form(v.shape), v, step)

    def subdiff_distance(self, w: np.ndarray, grad: np.ndarray) -> np.ndarray:
        w = np.asarray(w, dtype=float)
        return distance_of_form(self.unit_form(w.shape), w, np.asarray(grad, dtype=float))

    def sizes(self, w: np.ndarray) -> np.ndarray:
        return self.outer.sizes(w)

    def value(self, w: np.ndarray) -> float:
        return self.inner.value(w) + self.outer.value(w)

    def conjugate(self, z: np.ndarray) -> float:
        form, z = self._signed(z)
        assert form.inner is not None
        # the slack of rounding size that L1's own conjugate has
        return self.outer.conjugate(_soft(z, form.inner * (1 + ROUNDING)))

    def dual_scale(self, z: np.ndarray) -> float:
        form, z = self._signed(z)
        assert form.inner is not None
        limit = self.outer.shape_dist(np.full(1, HUGE), 0.0, self.outer.par)
        radius = form.weights * limit
        low, high = np.zeros(len(radius)), np.ones(len(radius))
        inside = form.units.norms(_soft(z, form.inner)) <= radius
        low[inside] = 1.0
        for _ in range(_BISECTIONS if not inside.all() else 0):
            middle = (low + high) / 2
            scaled = form.units.spread(middle).reshape(z.shape) * z
            fits = form.units.norms(_soft(scaled, form.inner)) <= radius
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return float(low.min(initial=1.0))

    def strength_max(self, grad0: np.ndarray) -> float:
        grad0 = np.asarray(grad0, dtype=float)
        zero = np.zeros_like(grad0)
        penalised = ~self.free(grad0.shape)
        grad0 = np.where(penalised, grad0, 0.0)

        def is_optimal(strength: float) -> bool:
            scaled = self.with_strength(strength)
            if self.outer.is_steep:  # zero is always stationary: as in UnitPenalty.strength_max
                return not scaled.prox(-grad0, 1.0).any()
            return not scaled.subdiff_distance(zero, grad0).any()

        high = float(np.abs(grad0).max(initial=0.0))
        if high == 0.0:
            return 0.0
        while not is_optimal(high):
            high *= 2
        low = 0.0
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            low, high = (low, middle) if is_optimal(middle) else (middle, high)
        return high

    def free(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.inner.free(shape) & self.outer.free(shape)

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation | None:
        from gossamer.factorisations import Harmonic
        from gossamer.factorisations.cells import cells_of

        total = self.strength
        parts = (self.inner, self.outer)
        signed = any(part.nonnegative for part in parts)
        if form != "auto" or signed or total == 0 or not self.outer.homogeneous:
            return None
        levels = tuple(cells_of(part.on, shape) for part in parts)
        weights = tuple(
            part.strength / total * (np.ones(cells.count) if part.weights is None else part.weights)
            for part, cells in zip(parts, levels, strict=True)
        )
        return Harmonic(total, levels, weights)

    def _signed(self, z: np.ndarray) -> tuple[UnitForm, np.ndarray]:
        z = np.asarray(z, dtype=float)
        form = self.unit_form(z.shape)
        return form, np.maximum(z, 0.0) if form.nonnegative else z

    def __repr__(self) -> str:
        return f"{self.inner!r} + {self.outer!r}"


def _soft(z: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    return np.sign(z) * np.maximum(np.abs(z) - threshold.reshape(z.shape), 0.0)


def add(first: Penalty, second: Any) -> Penalty:
    """The sum of two penalties, one of which is an L1 on elements."""
    if not isinstance(second, Penalty):
        raise TypeError(f"a penalty can be added to a penalty only, got {second!r}.")
    for inner, outer in ((first, second), (second, first)):
        if isinstance(inner, UnitPenalty) and _is_inner(inner):
            joint = outer.plus(inner)
            if joint is not None:
                return joint
        if not (isinstance(inner, UnitPenalty) and isinstance(outer, UnitPenalty)):
            continue
        if _is_inner(inner) and not outer.on.is_spectral:
            return SumPenalty(inner, outer)
    raise UnsupportedProblem(
        f"{first!r} + {second!r} has no joint prox: one of the two must be an L1 on Elements, the "
        "other a single unit-wise penalty."
    )


def _is_inner(penalty: UnitPenalty) -> bool:
    return penalty.homogeneous and type(penalty.on).__name__ == "Elements"
