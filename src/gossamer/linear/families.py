"""Which loss and which penalty: one mixin a family, shared by its fixed and its chosen strength."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.metaestimators import available_if

from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.registry import LOSSES, PENALTIES
from gossamer.core.structure import Structure
from gossamer.linear.base import SparseLinearModel
from gossamer.losses import Cox, Logistic, Multinomial, Ordinal, Poisson, Quadratic
from gossamer.penalties import L1, MCP, SCAD, AtMost, ElasticNet
from gossamer.structures import Elements, Groups, Rows


def refuse_beside(model: SparseLinearModel, names: tuple[str, ...]) -> None:
    """Refuse arguments that a penalty given as an object would leave without effect."""
    for name in names:
        value = getattr(model, name)
        if value is not None and value is not False:
            raise ValueError(
                f"{name} has no effect beside a penalty object, got {value!r}: give it to the "
                "penalty, for example L1(0.1, on=Groups(groups), weights=..., nonnegative=True)."
            )


class Probabilities:
    """Class probabilities of classifiers."""

    def decision_function(self, X: Any, offset: Any = None) -> np.ndarray:
        """Linear prediction: (n,) for two classes, (n, K) for more."""
        z = self._linear_prediction(X, offset)  # type: ignore[attr-defined]
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_proba(self, X: Any, offset: Any = None) -> np.ndarray:
        """(n, K) class probabilities, in the order of ``classes_``."""
        chance = self._loss(self._n_classes()).mean(self._linear_prediction(X, offset))  # type: ignore[attr-defined]
        return np.hstack([1 - chance, chance]) if chance.shape[1] == 1 else chance

    def predict_log_proba(self, X: Any, offset: Any = None) -> np.ndarray:
        """Logarithm of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, offset))


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
    on: Any = field(default=None, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        structure = Rows() if self.on is None else self.on
        if not isinstance(structure, Structure):
            raise TypeError(f"on must be a Structure such as Spectrum(), got {self.on!r}.")
        return L1(strength, on=structure, **self._shared())

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
        if not (isinstance(self.l1_ratio, Real) and 0 <= float(self.l1_ratio) <= 1):
            raise ValueError(f"l1_ratio must be a number in [0, 1], got {self.l1_ratio!r}.")
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
            refuse_beside(self, ("penalty_params", "groups", "weights", "nonnegative"))
            return self.penalty.with_strength(strength)
        if not isinstance(self.penalty, str):
            raise TypeError(
                f'penalty must be a name such as "l1" or a Penalty such as L1(0.1), got '
                f"{self.penalty!r}."
            )
        kind = PENALTIES[self.penalty]
        parameters = dict(self.penalty_params or {})
        known = [f.name for f in fields(kind) if not f.kw_only and f.name != "strength"]
        unknown = [name for name in parameters if name not in known]
        if unknown:
            raise ValueError(
                f"penalty_params has {unknown}, but {self.penalty!r} takes {known or 'none'}."
            )
        structure = Elements() if self.groups is None else Groups(self.groups)
        return kind(
            strength, **parameters, on=structure, weights=self.weights,
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


@dataclass(eq=False, repr=False)
class AnyLossFamily(Probabilities, SparseLinearModel):
    """Any loss; a classifier where it takes labels."""

    loss: Loss | None = field(default=None, kw_only=True)

    def _loss(self, n_classes: int) -> Loss:
        loss = Quadratic() if self.loss is None else self.loss
        if isinstance(loss, str):
            loss = LOSSES[loss]()
        if not isinstance(loss, Loss):
            raise TypeError(
                f'loss must be a name such as "huber" or a Loss, losses.Huber(), got {loss!r}.'
            )
        if isinstance(loss, Ordinal):
            raise TypeError("the ordinal loss needs its thresholds to predict: use SparseOrdinal.")
        if isinstance(loss, Cox):
            raise TypeError("the Cox loss takes times and events for y: use SparseCox.")
        return loss

    def _classifies(self) -> bool:
        return self._loss(2).classifies

    def _has_probabilities(self) -> bool:
        return self._classifies() and self._loss(2).is_likelihood

    decision_function = available_if(_classifies)(Probabilities.decision_function)
    predict_proba = available_if(_has_probabilities)(Probabilities.predict_proba)
    predict_log_proba = available_if(_has_probabilities)(Probabilities.predict_log_proba)


@dataclass(eq=False, repr=False)
class GeneralFamily(AnyLossFamily):
    """Any loss and any penalty."""

    loss: Loss | None = None
    penalty: Penalty | None = None

    def _given_penalty(self) -> Penalty:
        refuse_beside(self, ("weights", "nonnegative"))
        penalty = L1(0.1) if self.penalty is None else self.penalty
        if not isinstance(penalty, Penalty):
            raise TypeError(f"penalty must be a Penalty such as L1(0.1), got {penalty!r}.")
        return penalty

    def _penalty(self, strength: float) -> Penalty:
        return self._given_penalty().at_level(strength)


@dataclass(eq=False, repr=False)
class SubsetFamily(AnyLossFamily):
    """Any loss with a budget of features, for all outputs together, or of groups."""

    groups: Any = field(default=None, kw_only=True)
    ridge: float = field(default=0.0, kw_only=True)

    def _penalty(self, strength: float) -> Penalty:
        if self.weights is not None:
            raise ValueError(
                f"weights has no effect on a budget, got {self.weights!r}: every unit takes one "
                "place. For units of different price use SparseModel(penalty=L0(...))."
            )
        on = Rows() if self.groups is None else Groups(self.groups)
        return AtMost(int(strength), on=on, ridge=self.ridge, nonnegative=self.nonnegative)
