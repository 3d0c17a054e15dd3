"""Elastic net: L1 mixed with ridge."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES
from gossamer.factorisations import Ridged, factorise_power
from gossamer.factorisations.cells import cells_of


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class ElasticNet(UnitPenalty):
    r"""``strength * sum_u weight_u (l1_ratio |w_u| + (1 - l1_ratio) / 2 |w_u|^2)``.

    The ridge part keeps correlated units together. For the estimator of the same name see
    ``gossamer.linear.ElasticNet``.

    Parameters
    ----------
    strength : float >= 0
    l1_ratio : float in [0, 1], default 0.5
        1 is :class:`L1`, 0 is ridge.
    on, weights, nonnegative
        As for :class:`L1`.

    References
    ----------
    Zou and Hastie (2005), Regularization and variable selection via the elastic net.

    Examples
    --------
    >>> import numpy as np
    >>> ElasticNet(1.0, l1_ratio=0.5).prox(np.array([3.5, -0.5]), step=1.0)
    array([2., 0.])
    """

    l1_ratio: float = 0.5

    convex = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"ElasticNet: l1_ratio must be in [0, 1], got {self.l1_ratio}.")

    @staticmethod
    def shape_value(t, par):
        strength, l1_ratio = par
        return strength * (l1_ratio * np.abs(t) + 0.5 * (1.0 - l1_ratio) * t * t)

    @staticmethod
    def shape_prox(v, step, par):
        strength, l1_ratio = par
        shrunk = np.maximum(np.abs(v) - strength * l1_ratio * step, 0.0)
        return np.sign(v) * shrunk / (1.0 + strength * (1.0 - l1_ratio) * step)

    @staticmethod
    def shape_dist(t, g, par):
        strength, l1_ratio = par
        at_zero = np.maximum(np.abs(g) - strength * l1_ratio, 0.0)
        slope = strength * (l1_ratio * np.sign(t) + (1.0 - l1_ratio) * t)
        return np.where(t == 0, at_zero, np.abs(g + slope))

    @staticmethod
    def shape_conjugate(s, par):
        strength, l1_ratio = par
        ridge = strength * (1.0 - l1_ratio)
        beyond = np.maximum(np.abs(s) - strength * l1_ratio, 0.0)
        # without ridge the conjugate is the indicator of |s| <= strength, up to rounding
        infinite = np.where(beyond > 1e-12 * strength, np.inf, 0.0)
        smooth = beyond * beyond / (2.0 * np.where(ridge > 0, ridge, 1.0))
        return np.where(ridge > 0, smooth, infinite)

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation | None:
        if self.l1_ratio == 0:
            return None
        base = factorise_power(
            self.strength * self.l1_ratio, 1.0, self.on, shape,
            weights=self.weights, nonnegative=self.nonnegative, form=form,
        )  # fmt: skip
        if base is None:
            return None
        weights = None if self.weights is None else cells_of(self.on, shape).spread(self.weights)
        return Ridged(base, (1 - self.l1_ratio) / self.l1_ratio, weights)
