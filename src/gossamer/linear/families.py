"""Which loss and which penalty: one mixin a family, shared by its fixed and its chosen strength."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.registry import PENALTIES
from gossamer.linear.base import SparseLinearModel
from gossamer.losses import Logistic, Multinomial, Poisson, Quadratic
from gossamer.penalties import L1, MCP, SCAD, ElasticNet
from gossamer.structures import Elements, Groups, Rows


@dataclass(eq=False, repr=False)
class QuadraticFamily(SparseLinearModel):
    """Least squares."""

    def _loss(self, n_classes: int) -> Loss:
        return Quadratic()

    def _shared(self) -> dict[str, Any]:
        """Arguments every penalty takes."""
        return {"weights": self.weights, "nonnegative": self.nonnegative}


@dataclass(eq=False, repr=False)
class LassoFamily(QuadraticFamily):
    def _penalty(self, strength: float) -> Penalty:
        return L1(strength, **self._shared())


@dataclass(eq=False, repr=False)
class ElasticNetFamily(QuadraticFamily):
    l1_ratio: float = field(default=0.5, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        return ElasticNet(strength, l1_ratio=self.l1_ratio, **self._shared())


@dataclass(eq=False, repr=False)
class MCPFamily(QuadraticFamily):
    gamma: float = field(default=3.0, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        return MCP(strength, gamma=self.gamma, **self._shared())


@dataclass(eq=False, repr=False)
class SCADFamily(QuadraticFamily):
    gamma: float = field(default=3.7, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        return SCAD(strength, gamma=self.gamma, **self._shared())


@dataclass(eq=False, repr=False)
class MultiTaskFamily(QuadraticFamily):
    def _penalty(self, strength: float) -> Penalty:
        return L1(strength, on=Rows(), **self._shared())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        return tags

    def _target(self, y: Any) -> Any:
        if y.ndim == 1:
            raise ValueError(
                "y must have shape (n, K) for a multi-task model; for one target use Lasso."
            )
        return super()._target(y)


@dataclass(eq=False, repr=False)
class GroupFamily(QuadraticFamily):
    groups: Any = field(default=None, kw_only=True)

    def _structure(self) -> Any:
        return Elements() if self.groups is None else Groups(self.groups)

    def _penalty(self, strength: float) -> Penalty:
        return L1(strength, on=self._structure(), **self._shared())


@dataclass(eq=False, repr=False)
class SparseGroupFamily(GroupFamily):
    l1_ratio: float = field(default=0.5, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio must be in [0, 1], got {self.l1_ratio}.")
        inner = L1(strength * self.l1_ratio, nonnegative=self.nonnegative)
        outer = L1(strength * (1 - self.l1_ratio), on=self._structure(), **self._shared())
        return inner + outer


@dataclass(eq=False, repr=False)
class NamedPenaltyFamily(SparseLinearModel):
    """A penalty by name (with its own parameters), or as an object whose strength is replaced."""

    penalty: Any = field(default="l1", kw_only=True)
    penalty_params: Any = field(default=None, kw_only=True)
    groups: Any = field(default=None, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        if isinstance(self.penalty, Penalty):
            return self.penalty.with_strength(strength)
        structure = Elements() if self.groups is None else Groups(self.groups)
        return PENALTIES[self.penalty](
            strength, **(self.penalty_params or {}), on=structure, weights=self.weights,
            nonnegative=self.nonnegative,
        )  # fmt: skip


@dataclass(eq=False, repr=False)
class LogisticFamily(NamedPenaltyFamily):
    def _loss(self, n_classes: int) -> Loss:
        return Logistic() if n_classes <= 2 else Multinomial()


@dataclass(eq=False, repr=False)
class PoissonFamily(NamedPenaltyFamily):
    def _loss(self, n_classes: int) -> Loss:
        return Poisson()
