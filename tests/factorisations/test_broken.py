"""The laws catch mistakes: each broken form is refused by the law it breaks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from gossamer.factorisations import Difference, MatrixProduct, Product, factorise_power
from gossamer.penalties import L1
from gossamer.structures import Elements, Groups
from gossamer.testing import check_factorisation, check_penalty

LASSO = factorise_power(0.7, 1.0, Elements(), (6,))
GROUPS = Groups([[0, 3], [1, 2, 5], [4]])


@dataclass(frozen=True, eq=False)
class Broken(Product):
    """A lasso's product whose methods the cases below spoil."""

    @classmethod
    def make(cls) -> Broken:
        return cls(LASSO.strength, LASSO.levels)


class CheaperValue(Broken):
    def value(self, w):
        return 0.99 * super().value(w)


class DearerValue(Broken):
    """Consistent with its own balanced factors, which are not the cheapest ones."""

    def balanced(self, w):
        u, v = super().balanced(w)
        return 1.1 * u, v / 1.1

    def value(self, w):
        return float(self.penalty(self.balanced(w)))


class LostSign(Broken):
    def balanced(self, w):
        u, v = super().balanced(w)
        return np.abs(u), v


class DeadStart(Broken):
    def start(self, w, spread=None):
        return self.balanced(w)


class StuckStrength(Broken):
    def with_strength(self, strength):
        return self


class NoRidgeOnGates(Broken):
    """Large gates make everything cheap."""

    def penalty(self, factors):
        u, _ = self.as_factors(factors)
        return self.strength * (u * u).sum()


class InPlace(Broken):
    def start(self, w, spread=None):
        factors = super().start(w, spread)
        np.asarray(w)[...] *= 1
        return factors


class AnyShape(Broken):
    def as_weight(self, w):
        return np.resize(w, self.shape)


class Quartic(Broken):
    """The right value at balance, and no ridge to decay by elsewhere."""

    def penalty(self, factors):
        u, v = self.as_factors(factors)
        return self.strength * (np.abs(u * v) + 1e-3 * np.square(u * u - v * v)).sum()


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (CheaperValue, "balanced_factors_attain_the_value"),
        (DearerValue, "search_ends_at_the_value"),
        (LostSign, "factors_make_the_weight"),
        (DeadStart, "start_is_alive"),
        (StuckStrength, "strength_is_a_factor"),
        (NoRidgeOnGates, "no_factors_are_cheaper"),
        (InPlace, "inputs_stay"),
        (AnyShape, "wrong_shapes_are_refused"),
        (Quartic, "descent_balances"),
    ],
)
def test_broken_forms(kind, law):
    with pytest.raises(AssertionError, match=f"breaks the law {law} "):
        check_factorisation(kind.make())


@dataclass(frozen=True, repr=False, eq=False)
class WrongConstant(L1):
    """Ridge without its half: twice the penalty."""

    def factorise(self, shape, form="auto"):
        found = super().factorise(shape, form)
        return found.with_strength(2 * self.strength)


@dataclass(frozen=True, repr=False, eq=False)
class WrongUnits(L1):
    """Elements, whatever the structure."""

    def factorise(self, shape, form="auto"):
        return factorise_power(self.strength, 1.0, Elements(), shape, form=form)


@pytest.mark.parametrize("penalty", [WrongConstant(0.7), WrongUnits(0.7, on=GROUPS)], ids=repr)
def test_forms_of_another_penalty(penalty):
    with pytest.raises(AssertionError, match="breaks the law smooth_forms_induce_the_penalty"):
        check_penalty(penalty)


def test_the_forms_themselves_pass():
    for form in (LASSO, Broken.make(), replace(LASSO, strength=0.1)):
        check_factorisation(form)
    for form in (Difference(0.0, (6,)), MatrixProduct(0.3, (3, 2))):
        check_factorisation(form)


def test_check_wants_a_form():
    with pytest.raises(TypeError, match="Factorisation is needed"):
        check_factorisation(L1(0.1))  # type: ignore[arg-type]
