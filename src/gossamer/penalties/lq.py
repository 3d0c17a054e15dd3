"""Lq: bridge penalties, sparser than L1."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES
from gossamer.factorisations import factorise_power


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class Lq(UnitPenalty):
    r"""``strength * sum_u weight_u |w_u|^q`` with 0 < q < 1.

    Parameters
    ----------
    strength : float >= 0
    q : float in (0, 1), default 2/3
        1/2 and 2/3 are the classical choices; for q = 1 use :class:`L1`.
    on, weights, nonnegative
        As for :class:`L1`.

    Notes
    -----
    The slope at zero is infinite, so that zero is always stationary: a certificate of an Lq
    problem speaks of the coordinate-wise optimum, and the start matters.

    References
    ----------
    Xu, Chang, Xu and Zhang (2012), L1/2 regularization: a thresholding representation theory.
    Cao, Sun and Xu (2013), Fast image deconvolution using closed-form thresholding formulas.

    Examples
    --------
    >>> import numpy as np
    >>> Lq(1.0, q=1/2).prox(np.array([3.0, 1.0]), step=1.0).round(4)
    array([2.6955, 0.    ])
    """

    q: float = 2 / 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.q < 1:
            raise ValueError(f"Lq: q must be strictly between 0 and 1, got {self.q}; q = 1 is L1.")

    @staticmethod
    def shape_value(t, par):
        strength, q = par
        return strength * np.abs(t) ** q

    @staticmethod
    def shape_prox(v, step, par):
        strength, q = par
        size = np.abs(v)
        scale = step * strength
        # below the threshold zero is the global minimiser; above it, the larger root of
        # t - size + scale q t^(q-1), a convex function that Newton meets from the right
        jump = (2.0 * scale * (1.0 - q)) ** (1.0 / (2.0 - q))
        threshold = jump * (2.0 - q) / (2.0 - 2.0 * q)
        alive = size > threshold
        # the iteration of what is zero must stay harmless: any scale could divide by zero there
        scale = np.where(alive, scale, 0.0)
        t = np.where(alive, size, 1.0)
        for _ in range(8):
            pull = scale * q * t ** (q - 1.0)
            t = t - (t - size + pull) / (1.0 + (q - 1.0) * pull / t)
            t = np.where(alive, np.maximum(t, jump), 1.0)
        return np.sign(v) * np.where(alive, t, 0.0)

    @staticmethod
    def shape_dist(t, g, par):
        strength, q = par
        size = np.maximum(np.abs(t), 1e-290)
        slope = strength * q * size ** (q - 1.0)
        return np.where(t == 0, 0.0, np.abs(g + slope * np.sign(t)))

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation | None:
        return factorise_power(
            self.strength, self.q, self.on, shape,
            weights=self.weights, nonnegative=self.nonnegative, form=form,
        )  # fmt: skip
