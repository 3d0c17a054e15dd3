"""Quantile regression with a selected few features."""

from __future__ import annotations

from dataclasses import dataclass, field

from sklearn.base import MultiOutputMixin, RegressorMixin

from gossamer.core.loss import Loss
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.cv import CrossValidated
from gossamer.linear.docstrings import estimator
from gossamer.linear.families import NamedPenaltyFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.losses import Quantile


@dataclass(eq=False, repr=False)
class QuantileFamily(NamedPenaltyFamily):
    """The pinball loss."""

    level: float = field(default=0.5, kw_only=True)

    def _loss(self, n_classes: int) -> Loss:
        return Quantile(self.level)


@estimator
class SparseQuantile(RegressorMixin, MultiOutputMixin, QuantileFamily, FixedStrength):
    r"""A quantile of the target given the features, with few features.

    .. math:: \min_{w, b} \frac{1}{n} \sum_i \rho_\tau(y_i - x_i^\top w - b) + \Omega_\alpha(w),
        \quad \rho_\tau(r) = \max(\tau r, (\tau - 1) r)

    scikit-learn's ``QuantileRegressor`` with L1, for sparse and for many features too. The score
    is the explained share of the loss of the plain quantile (Koenker and Machado 1999).

    Parameters
    ----------
    alpha : float >= 0, default 0.01
    level : float in (0, 1), default 0.5
        The quantile :math:`\tau`: 0.5 is the median, which outliers leave where it is.
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.

    References
    ----------
    Belloni and Chernozhukov (2011), L1-penalized quantile regression in high-dimensional sparse
    models.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 50))
    >>> y = X[:, 3] + rng.standard_cauchy(200)
    >>> model = gs.SparseQuantile(alpha=0.1).fit(X, y)
    >>> np.flatnonzero(model.coef_), model.certificate_.holds
    (array([3]), True)
    """

    alpha: float = 0.01

    score = SparseLinearModel.score


@estimator
class SparseQuantileCV(RegressorMixin, MultiOutputMixin, QuantileFamily, CrossValidated):
    """:class:`SparseQuantile` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    level : float in (0, 1), default 0.5
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.
    """

    score = SparseLinearModel.score
