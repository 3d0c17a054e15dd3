"""SCAD: the smoothly clipped absolute deviation."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class SCAD(UnitPenalty):
    r"""L1 up to ``strength``, then bending to a constant at ``gamma strength``.

    ``shape'(t) = strength`` for ``t <= strength``, then
    ``max(gamma strength - t, 0) / (gamma - 1)``.

    Parameters
    ----------
    strength : float >= 0
    gamma : float > 2, default 3.7
        Where the penalty becomes flat; 3.7 is the authors' Bayesian choice.
    on, weights, nonnegative
        As for :class:`L1`.

    References
    ----------
    Fan and Li (2001), Variable selection via nonconcave penalized likelihood.

    Examples
    --------
    >>> import numpy as np
    >>> SCAD(1.0).prox(np.array([5.0, 1.5, -0.5]), step=1.0)
    array([5. , 0.5, 0. ])
    """

    gamma: float = 3.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma <= 2:
            raise ValueError(f"SCAD: gamma must be > 2, got {self.gamma}.")

    @staticmethod
    def shape_value(t, par):
        strength, gamma = par
        size = np.minimum(np.abs(t), gamma * strength)
        bend = np.maximum(size - strength, 0.0)
        return strength * size - bend * bend / (2.0 * (gamma - 1.0))

    @staticmethod
    def shape_prox(v, step, par):
        strength, gamma = par
        size = np.abs(v)
        # one candidate per piece of the shape, each clipped to its piece: the best one wins,
        # which stays right where a long step makes the middle piece concave
        linear = np.minimum(np.maximum(size - strength * step, 0.0), strength)
        curved = gamma - 1.0 - step
        inside = ((gamma - 1.0) * size - gamma * strength * step) / np.where(
            curved == 0, 1.0, curved
        )
        middle = np.minimum(np.maximum(inside, strength), gamma * strength)
        middle = np.where(curved > 0, middle, linear)
        flat = np.maximum(size, gamma * strength)

        def cost(t):
            capped = np.minimum(t, gamma * strength)
            bend = np.maximum(capped - strength, 0.0)
            shape = strength * capped - bend * bend / (2.0 * (gamma - 1.0))
            return (t - size) * (t - size) + 2.0 * step * shape

        best = np.where(cost(middle) < cost(linear), middle, linear)
        best = np.where(cost(flat) < cost(best), flat, best)
        return np.sign(v) * best

    @staticmethod
    def shape_dist(t, g, par):
        strength, gamma = par
        size = np.abs(t)
        falling = np.maximum(gamma * strength - size, 0.0) / (gamma - 1.0)
        slope = np.where(size <= strength, strength, falling)
        at_zero = np.maximum(np.abs(g) - strength, 0.0)
        return np.where(t == 0, at_zero, np.abs(g + slope * np.sign(t)))
