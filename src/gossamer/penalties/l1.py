"""L1: the convex shape that sets coefficients to zero."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.factorisation import Factorisation
from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES
from gossamer.factorisations import factorise_power


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class L1(UnitPenalty):
    r"""Sum of sizes: ``strength * sum_u weight_u |w_u|``.

    The lasso on :class:`Elements`, the group lasso on :class:`Groups`, the multi-task lasso on
    :class:`Rows`.

    Parameters
    ----------
    strength : float >= 0
        In the unit of the loss per unit of coefficient.
    on : Structure, default Elements()
        What is sparse together.
    weights : (n_units,) array of numbers >= 0, default None
        Multiply the penalty of each unit; zero leaves a unit unpenalised, ``None`` means ones.
    nonnegative : bool, default False
        Allow coefficients >= 0 only.

    References
    ----------
    Tibshirani (1996), Regression shrinkage and selection via the lasso.
    Parikh and Boyd (2014), Proximal algorithms, section 6.5.

    Examples
    --------
    >>> import numpy as np
    >>> L1(1.0).prox(np.array([3.0, -0.5]), step=1.0)
    array([2., 0.])
    """

    convex = True
    homogeneous = True

    @staticmethod
    def shape_value(t, par):
        (strength,) = par
        return strength * np.abs(t)

    @staticmethod
    def shape_prox(v, step, par):
        (strength,) = par
        return np.sign(v) * np.maximum(np.abs(v) - strength * step, 0.0)

    @staticmethod
    def shape_dist(t, g, par):
        (strength,) = par
        at_zero = np.maximum(np.abs(g) - strength, 0.0)
        return np.where(t == 0, at_zero, np.abs(g + strength * np.sign(t)))

    @staticmethod
    def shape_conjugate(s, par):
        (strength,) = par
        # a relative slack of rounding size keeps a dual point scaled to the boundary feasible
        return np.where(np.abs(s) <= strength * (1 + 1e-12), 0.0, np.inf)

    def factorise(self, shape: tuple[int, ...], form: str = "auto") -> Factorisation | None:
        return factorise_power(
            self.strength, 1.0, self.on, shape,
            weights=self.weights, nonnegative=self.nonnegative, form=form,
        )  # fmt: skip
