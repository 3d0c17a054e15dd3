"""L0: the price of a unit, whatever its size."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class L0(UnitPenalty):
    r"""``strength * sum_u weight_u ([w_u != 0] + ridge / 2 |w_u|^2)``: a price per unit.

    Its prox is the hard threshold. With ``ridge`` it is L0 + L2, which a weak signal needs: there
    the best subset alone overfits. ``L1(0.1) + L0(0.2)`` is L0 + L1.

    Parameters
    ----------
    strength : float >= 0
        What a unit costs, in the unit of the objective: a unit enters that lowers the loss by
        more. To ask for a number of units use :class:`AtMost`.
    ridge : float >= 0, default 0.0
        Ridge in proportion to the price of a unit.
    on, weights, nonnegative
        As for :class:`L1`.

    Notes
    -----
    Zero is always stationary, as for :class:`Lq`: a certificate speaks of what no single unit, or
    no exchange of two, can improve.

    References
    ----------
    Hazimeh and Mazumder (2020), Fast best subset selection: coordinate descent and local
    combinatorial optimization algorithms, equations 2 and 15.

    Examples
    --------
    >>> import numpy as np
    >>> L0(1.0).prox(np.array([3.0, 1.0, -1.5]), step=1.0)
    array([ 3. ,  0. , -1.5])
    """

    ridge: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ridge < 0:
            raise ValueError(f"L0: ridge must be >= 0, got {self.ridge}.")

    @staticmethod
    def shape_value(t, par):
        strength, ridge = par
        return strength * (np.where(t != 0, 1.0, 0.0) + 0.5 * ridge * t * t)

    @staticmethod
    def shape_prox(v, step, par):
        strength, ridge = par
        size = np.abs(v)
        bend = 1.0 + step * strength * ridge
        # what the unit gains over zero, size^2 / (2 step bend), must exceed its price
        return np.sign(v) * np.where(size * size > 2.0 * step * strength * bend, size / bend, 0.0)

    @staticmethod
    def shape_dist(t, g, par):
        strength, ridge = par
        return np.where(t == 0, 0.0, np.abs(g + strength * ridge * t))
