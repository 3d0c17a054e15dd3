"""Log-sum: a concave penalty whose slope decays like one over the coefficient."""

from dataclasses import dataclass

import numpy as np

from gossamer.core.penalty import UnitPenalty
from gossamer.core.registry import PENALTIES


@PENALTIES.register
@dataclass(frozen=True, repr=False, eq=False)
class LogSum(UnitPenalty):
    r"""``strength * sum_u weight_u log(1 + |w_u| / epsilon)``, the limit of reweighted L1.

    Parameters
    ----------
    strength : float >= 0
    epsilon : float > 0, default 1e-2
        In the unit of a coefficient: sizes well above it are barely shrunk.
    on, weights, nonnegative
        As for :class:`L1`.

    References
    ----------
    Candes, Wakin and Boyd (2008), Enhancing sparsity by reweighted l1 minimization.
    Prater-Bennette, Shen and Tripp (2022), The proximity operator of the log-sum penalty.

    Examples
    --------
    >>> import numpy as np
    >>> LogSum(1.0, epsilon=1.0).prox(np.array([3.0, 0.5]), step=1.0).round(4)
    array([2.7321, 0.    ])
    """

    epsilon: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epsilon <= 0:
            raise ValueError(f"LogSum: epsilon must be > 0, got {self.epsilon}.")

    @staticmethod
    def shape_value(t, par):
        strength, epsilon = par
        return strength * np.log1p(np.abs(t) / epsilon)

    @staticmethod
    def shape_prox(v, step, par):
        strength, epsilon = par
        size = np.abs(v)
        # stationary points solve (t - size)(epsilon + t) + step strength = 0; the larger root
        # is the only local minimum above zero, and is compared with zero
        total = size + epsilon
        discriminant = total * total - 4.0 * step * strength
        root = 0.5 * (size - epsilon + np.sqrt(np.maximum(discriminant, 0.0)))
        root = np.where(discriminant >= 0, np.maximum(root, 0.0), 0.0)
        gain = 0.5 * (root - size) * (root - size) - 0.5 * size * size
        better = gain + step * strength * np.log1p(root / epsilon) < 0
        return np.sign(v) * np.where(better, root, 0.0)

    @staticmethod
    def shape_dist(t, g, par):
        strength, epsilon = par
        slope = strength / (epsilon + np.abs(t))
        at_zero = np.maximum(np.abs(g) - strength / epsilon, 0.0)
        return np.where(t == 0, at_zero, np.abs(g + slope * np.sign(t)))
