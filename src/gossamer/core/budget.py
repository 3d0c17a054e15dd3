"""Budget: a limit on the number of units in use, where other penalties have a price."""

from __future__ import annotations

from abc import abstractmethod
from typing import NoReturn, Self

import numpy as np

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.penalty import Penalty
from gossamer.core.units import Units


class Budget(Penalty):
    """A penalty that is a ridge where at most ``k`` units are in use, and infinite elsewhere.

    It has no strength: paths run over ``k``.
    """

    k: int
    ridge: float
    nonnegative: bool

    convex = False
    is_budget = True

    @abstractmethod
    def with_k(self, k: int) -> Self:
        """The same budget for another number of units."""

    @abstractmethod
    def units(self, shape: tuple[int, ...]) -> Units:
        """The units of coefficients of ``shape``."""

    @property
    def level(self) -> float:
        return float(self.k)

    def at_level(self, level: float) -> Self:
        return self.with_k(int(level))

    def with_strength(self, strength: float) -> NoReturn:
        self._refuse()

    def strength_max(self, grad0: np.ndarray) -> NoReturn:
        self._refuse()

    @property
    def strength(self) -> float:  # type: ignore[override]
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise UnsupportedProblem(
            f"{self!r} has no strength: vary its number of units with with_k(), or take L0, the "
            "price of a unit."
        )

    def conjugate(self, z: np.ndarray) -> NoReturn:
        raise NotImplementedError("a budget is not convex.")

    dual_scale = conjugate
