"""Ordered classes: proportional odds with a selected few features."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import ClassifierMixin

from gossamer.core.loss import Loss
from gossamer.core.problem import Problem
from gossamer.linear.base import Rows, SparseLinearModel
from gossamer.linear.cv import CrossValidated
from gossamer.linear.docstrings import estimator
from gossamer.linear.families import NamedPenaltyFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.losses import Ordinal


@dataclass(eq=False, repr=False)
class OrdinalFamily(ClassifierMixin, NamedPenaltyFamily):
    """Proportional odds."""

    order: Any = field(default=None, kw_only=True)

    def _loss(self, n_classes: int) -> Loss:
        return Ordinal()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # on classes in no order, as in scikit-learn's checks
        tags.classifier_tags.poor_score = True
        return tags

    def _rows(self, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool = True) -> Rows:
        categories: Any = getattr(y, "cat", None)
        is_ordered = categories is not None and categories.ordered
        self._order = list(categories.categories) if is_ordered else None
        return super()._rows(X, y, sample_weight, offset, reset=reset)

    def _target(self, y: np.ndarray) -> np.ndarray:
        codes = super()._target(y)
        order = self._order if self.order is None else self.order
        if order is None:
            return codes
        ranks = {label: rank for rank, label in enumerate(order)}
        unknown = [label for label in self.classes_.tolist() if label not in ranks]
        if unknown:
            raise ValueError(f"order lacks {unknown}: give all labels, from the lowest class up.")
        rank = np.array([ranks[label] for label in self.classes_.tolist()])
        self.classes_ = self.classes_[np.argsort(rank)]
        return np.argsort(np.argsort(rank))[codes]

    def _keep(self, problem: Problem, coef: np.ndarray, intercept: Any) -> None:
        super()._keep(problem, coef, intercept)
        assert isinstance(problem.loss, Ordinal)
        self.thresholds_ = problem.loss.thresholds(problem.point(coef, intercept).z, problem.y)

    def predict_proba(self, X: Any, offset: Any = None) -> np.ndarray:
        """(n, K) class probabilities, in the order of ``classes_``."""
        z = self._linear_prediction(X, offset)
        below = expit(self.thresholds_ - z)
        return np.diff(np.hstack([np.zeros_like(z), below, np.ones_like(z)]), axis=1)

    def predict_log_proba(self, X: Any, offset: Any = None) -> np.ndarray:
        """Logarithm of :meth:`predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X, offset))

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """(n,) the most likely class."""
        codes = self.predict_proba(X, offset).argmax(axis=1)
        chosen: np.ndarray = self.classes_[codes]
        return chosen


@estimator
class SparseOrdinal(OrdinalFamily, FixedStrength):
    r"""Ordered classes by proportional odds, with few features.

    .. math:: \min_{w, \theta} -\frac{1}{n} \sum_i \log P(y_i \mid x_i) + \Omega_\alpha(w), \quad
        P(y \le k \mid x) = \frac{1}{1 + e^{x^\top w - \theta_k}}

    A positive coefficient means higher classes. The thresholds take the intercept's part and are
    never penalised: ``fit_intercept`` has no effect. After ``fit``, ``thresholds_`` has them,
    between the classes in ``classes_``, for X as given.

    Parameters
    ----------
    alpha : float >= 0, default 0.01
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.
    order : labels, default None
        From the lowest class to the highest. By default that of an ordered pandas categorical, or
        else numbers by size and texts by the alphabet.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 30))
    >>> latent = 2 * X[:, 4] + rng.logistic(size=200)
    >>> y = np.array(["low", "middle", "high"])[np.digitize(latent, [-1, 1])]
    >>> model = gs.SparseOrdinal(alpha=0.1, order=["low", "middle", "high"]).fit(X, y)
    >>> np.flatnonzero(model.coef_[0]), model.classes_.tolist()
    (array([4]), ['low', 'middle', 'high'])
    >>> model.predict_proba(X[:2]).shape, model.certificate_.holds
    ((2, 3), True)
    """

    alpha: float = 0.01

    score = SparseLinearModel.score


@estimator
class SparseOrdinalCV(OrdinalFamily, CrossValidated):
    """:class:`SparseOrdinal` with the strength chosen by cross-validation or a criterion.

    Held-out samples are judged by what they add to the loss of the others, thresholds included.

    Parameters
    ----------
    penalty, penalty_params, groups, order
        As for :class:`SparseOrdinal`.
    """

    score = SparseLinearModel.score
