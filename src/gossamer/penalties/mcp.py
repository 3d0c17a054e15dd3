"""MCP: the minimax concave penalty, nearly unbiased for large coefficients."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class MCP(UnitPenalty):
    r"""Minimax concave penalty: slope ``strength`` at zero, falling linearly to zero.

    ``shape(t) = strength t - t^2 / (2 gamma)`` up to ``t = gamma strength``, constant beyond.

    Parameters
    ----------
    strength : float >= 0
    gamma : float > 0, default 3.0
        Concavity is ``1 / gamma``; large values approach :class:`L1`, small ones :class:`L0`.
        3 is the customary value for standardised columns.
    on, weights, nonnegative
        As for :class:`L1`.

    References
    ----------
    Zhang (2010), Nearly unbiased variable selection under minimax concave penalty.

    Examples
    --------
    >>> import numpy as np
    >>> MCP(1.0, gamma=3.0).prox(np.array([4.0, 2.0, -0.5]), step=1.0)
    array([4. , 1.5, 0. ])
    """

    gamma: float = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gamma <= 0:
            raise ValueError(f"MCP: gamma must be > 0, got {self.gamma}.")

    @staticmethod
    def shape_value(t, par):
        strength, gamma = par
        size = np.minimum(np.abs(t), gamma * strength)
        return strength * size - size * size / (2.0 * gamma)

    @staticmethod
    def shape_prox(v, step, par):
        strength, gamma = par
        size = np.abs(v)
        # firm threshold while (t - v)^2 / (2 step) outweighs the concavity, hard threshold beyond
        curved = gamma - step
        firm = gamma * np.maximum(size - strength * step, 0.0) / np.where(curved > 0, curved, 1.0)
        firm = np.where(size <= gamma * strength, firm, size)
        hard = np.where(size * size <= gamma * step * strength * strength, 0.0, size)
        return np.sign(v) * np.where(curved > 0, np.minimum(firm, size), hard)

    @staticmethod
    def shape_dist(t, g, par):
        strength, gamma = par
        slope = np.maximum(strength - np.abs(t) / gamma, 0.0)
        at_zero = np.maximum(np.abs(g) - strength, 0.0)
        return np.where(t == 0, at_zero, np.abs(g + slope * np.sign(t)))
