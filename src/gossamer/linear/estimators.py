"""The estimators: a family at a given strength, or with the strength chosen."""

from __future__ import annotations

from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin

from gossamer.linear import families
from gossamer.linear.base import SparseLinearModel
from gossamer.linear.cv import CrossValidated
from gossamer.linear.docstrings import estimator as _estimator
from gossamer.linear.fixed import FixedStrength


class _Regressor(RegressorMixin, MultiOutputMixin):
    """A regressor that takes targets of several columns."""

    score = SparseLinearModel.score


class _Classifier(ClassifierMixin, families.Probabilities):
    """A classifier with probabilities."""

    score = SparseLinearModel.score


@_estimator
class Lasso(_Regressor, families.LassoFamily, FixedStrength):
    r"""Least squares with an L1 penalty.

    .. math:: \min_w \frac{1}{2n} \|y - Xw - b\|^2 + \alpha \|w\|_1

    Parameters
    ----------
    alpha : float >= 0, default 1.0

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    >>> model = gs.Lasso(alpha=0.1).fit(X, [2.0, 0.0, 2.0, 0.0])
    >>> model.coef_.round(3)
    array([1.6, 0. ])
    >>> model.certificate_.holds
    True
    """

    alpha: float = 1.0


@_estimator
class LassoCV(_Regressor, families.LassoFamily, CrossValidated):
    """:class:`Lasso` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 100))
    >>> y = 2 * X[:, 5] + 0.1 * rng.standard_normal(60)
    >>> np.flatnonzero(gs.LassoCV(selection="1se").fit(X, y).coef_)
    array([5])
    """


@_estimator
class ElasticNet(_Regressor, families.ElasticNetFamily, FixedStrength):
    r"""Least squares with L1 mixed with ridge.

    .. math:: \min_w \frac{1}{2n} \|y - Xw - b\|^2
        + \alpha \left(\rho \|w\|_1 + \frac{1 - \rho}{2} \|w\|_2^2\right)

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    l1_ratio : float in [0, 1], default 0.5
        The mixture :math:`\rho`.
    """

    alpha: float = 1.0


@_estimator
class ElasticNetCV(_Regressor, families.ElasticNetFamily, CrossValidated):
    """:class:`ElasticNet` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    l1_ratio : float in (0, 1], default 0.5
    """


@_estimator
class MCPRegressor(_Regressor, families.MCPFamily, FixedStrength):
    r"""Least squares with the minimax concave penalty.

    .. math:: \min_w \frac{1}{2n} \|y - Xw - b\|^2 + \sum_j \mathrm{MCP}_{\alpha,\gamma}(w_j)

    Non-convex: the optimum found continues the null model's branch of the path, and
    ``certificate_.kind`` says what is proven about it.

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    gamma : float > 0, default 3.0
        Concavity; meant for columns of unit variance, see ``standardise``.
    """

    alpha: float = 1.0


@_estimator
class MCPRegressorCV(_Regressor, families.MCPFamily, CrossValidated):
    """:class:`MCPRegressor` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    gamma : float > 0, default 3.0
    """


@_estimator
class SCADRegressor(_Regressor, families.SCADFamily, FixedStrength):
    """Least squares with the smoothly clipped absolute deviation penalty.

    Non-convex, see :class:`MCPRegressor`.

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    gamma : float > 2, default 3.7
    """

    alpha: float = 1.0


@_estimator
class SCADRegressorCV(_Regressor, families.SCADFamily, CrossValidated):
    """:class:`SCADRegressor` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    gamma : float > 2, default 3.7
    """


@_estimator
class GroupLasso(_Regressor, families.GroupFamily, FixedStrength):
    r"""Least squares with groups of features kept or dropped together.

    .. math:: \min_w \frac{1}{2n} \|y - Xw - b\|^2 + \alpha \sum_g \omega_g \|w_g\|_2

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    groups : labels, or lists of positions or column names, default None
        As for :class:`gossamer.Groups`; by default every feature is a group of its own. With
        ``weights``, the factors :math:`\omega_g` in the order of the groups.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((50, 6))
    >>> model = gs.GroupLasso(alpha=0.5, groups=["a", "a", "b", "b", "c", "c"])
    >>> np.flatnonzero(model.fit(X, 3 * X[:, 2] + X[:, 3]).coef_)
    array([2, 3])
    """

    alpha: float = 1.0


@_estimator
class GroupLassoCV(_Regressor, families.GroupFamily, CrossValidated):
    """:class:`GroupLasso` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    groups : labels, or lists of positions or column names, default None
    """


@_estimator
class SparseGroupLasso(_Regressor, families.SparseGroupFamily, FixedStrength):
    r"""Groups dropped as a whole, and features inside the groups that stay.

    .. math:: \min_w \frac{1}{2n} \|y - Xw - b\|^2
        + \alpha \left(\rho \|w\|_1 + (1 - \rho) \sum_g \omega_g \|w_g\|_2\right)

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    groups : labels, or lists of positions or column names, default None
    l1_ratio : float in [0, 1], default 0.5
        The mixture :math:`\rho`: 0 is the group lasso, 1 the lasso.
    """

    alpha: float = 1.0


@_estimator
class SparseGroupLassoCV(_Regressor, families.SparseGroupFamily, CrossValidated):
    """:class:`SparseGroupLasso` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    groups : labels, or lists of positions or column names, default None
    l1_ratio : float in [0, 1], default 0.5
    """


@_estimator
class MultiTaskLasso(_Regressor, families.MultiTaskFamily, FixedStrength):
    r"""Several targets that share their features.

    .. math:: \min_W \frac{1}{2n} \|Y - XW - b\|_F^2 + \alpha \sum_j \|W_{j\cdot}\|_2

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    on : Structure, default Rows()
        What the targets share: features, or with ``Spectrum()`` a few directions of them, the
        penalty then being the nuclear norm :math:`\|W\|_*`.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 8))
    >>> Y = X @ np.outer(np.ones(8), [1.0, -1.0, 0.5]) + 0.1 * rng.standard_normal((60, 3))
    >>> model = gs.MultiTaskLasso(alpha=0.2, on=gs.Spectrum()).fit(X, Y)
    >>> int(np.linalg.matrix_rank(model.coef_)), model.certificate_.holds
    (1, True)
    """

    alpha: float = 1.0


@_estimator
class MultiTaskLassoCV(_Regressor, families.MultiTaskFamily, CrossValidated):
    """:class:`MultiTaskLasso` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    on : Structure, default Rows()
    """


@_estimator
class SparseLogistic(_Classifier, families.LogisticFamily, FixedStrength):
    r"""Logistic regression, of two classes or more, that selects features.

    .. math:: \min_{w, b} \frac{1}{n} \sum_i \ell(x_i^\top w + b, y_i) + \Omega_\alpha(w)

    with the logistic loss for two classes and the multinomial one, with a coefficient vector for
    each class, for more.

    Parameters
    ----------
    alpha : float >= 0, default 0.01
    penalty : str or Penalty, default "l1"
        "l1", "elasticnet", "mcp", "scad", "lq", "logsum", or a penalty object, whose strength is
        replaced by ``alpha``: ``L1(1.0, on=Rows())`` selects features for all classes at once.
    penalty_params : dict, default None
        Further parameters of a named penalty, for example ``{"l1_ratio": 0.9}``.
    groups : labels, or lists of positions or column names, default None

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 50))
    >>> y = np.where(X[:, 4] > 0, "yes", "no")
    >>> model = gs.SparseLogistic(alpha=0.1).fit(X, y)
    >>> int(np.abs(model.coef_).argmax()), model.certificate_.holds
    (4, True)
    """

    alpha: float = 0.01


@_estimator
class SparseLogisticCV(_Classifier, families.LogisticFamily, CrossValidated):
    """:class:`SparseLogistic` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.
    """


@_estimator
class SparsePoisson(RegressorMixin, families.PoissonFamily, FixedStrength):
    r"""Regression of counts, with a logarithmic link, that selects features.

    .. math:: \min_{w, b} \frac{1}{n} \sum_i \left(e^{z_i} - y_i z_i\right) + \Omega_\alpha(w),
        \quad z_i = x_i^\top w + b + o_i

    Parameters
    ----------
    alpha : float >= 0, default 0.01
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.
    """

    alpha: float = 0.01

    score = SparseLinearModel.score


@_estimator
class SparsePoissonCV(RegressorMixin, families.PoissonFamily, CrossValidated):
    """:class:`SparsePoisson` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.
    """

    score = SparseLinearModel.score


@_estimator
class SparseModel(families.GeneralFamily, FixedStrength):
    r"""Any loss with any penalty on any structure.

    .. math:: \min_{w, b} \sum_i s_i \ell(x_i^\top w + b + o_i, y_i) + \Omega(w)

    A regressor, or a classifier where the loss takes labels. The strength is the penalty's own.

    Parameters
    ----------
    loss : Loss or its name, default Quadratic()
    penalty : Penalty, default L1(0.1)
        Brings its own ``weights`` and ``nonnegative``.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 30))
    >>> y = rng.poisson(np.exp(X[:, 3]))
    >>> model = gs.SparseModel(gs.losses.Poisson(), gs.MCP(0.3)).fit(X, y)
    >>> np.flatnonzero(model.coef_), model.certificate_.kind
    (array([3]), 'coordinate-wise')
    """

    def _strength(self) -> float:
        return self._given_penalty().level


@_estimator
class SparseModelCV(families.GeneralFamily, CrossValidated):
    """:class:`SparseModel` with the strength chosen by cross-validation or a criterion.

    Parameters
    ----------
    loss : Loss or its name, default Quadratic()
    penalty : Penalty, default L1(0.1)
        Its strength is replaced by the one chosen.
    """
