"""Survival: Cox's model with a selected few features, hazards, survival curves, concordance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _check_sample_weight

from gossamer.core.loss import Loss
from gossamer.core.problem import Problem
from gossamer.linear.base import Rows
from gossamer.linear.concordance import concordance_index
from gossamer.linear.cv import CrossValidated
from gossamer.linear.docstrings import estimator
from gossamer.linear.families import NamedPenaltyFamily
from gossamer.linear.fixed import FixedStrength
from gossamer.losses import Cox


@dataclass(frozen=True, eq=False)
class BaselineHazard:
    """The cumulative hazard of a sample whose linear prediction is zero (Breslow's estimate).

    time : (m,) times with events, increasing within each stratum.
    cumulative : (m,) hazard gone through by each of them.
    stratum : (m,) the stratum of each, as in the third column of y; zero without strata.
    """

    time: np.ndarray
    cumulative: np.ndarray
    stratum: np.ndarray

    def at(self, times: np.ndarray, stratum: float | None = None) -> np.ndarray:
        """The cumulative hazard of a stratum at some times, constant between events."""
        strata = np.unique(self.stratum)
        if stratum is None and len(strata) > 1:
            raise ValueError(f"stratum must be given, one of {strata.tolist()}.")
        own = self.stratum == (strata[0] if stratum is None else stratum)
        if not own.any():
            raise ValueError(f"stratum {stratum!r} had no event, known are {strata.tolist()}.")
        steps = np.concatenate([[0.0], self.cumulative[own]])
        found: np.ndarray = steps[np.searchsorted(self.time[own], times, side="right")]
        return found


def baseline_hazard(problem: Problem, coef: np.ndarray, labels: np.ndarray) -> BaselineHazard:
    """The baseline of fitted coefficients, from the samples of the problem."""
    assert isinstance(problem.loss, Cox)
    risk = problem.loss.risk_sets
    z = problem.point(coef).z[:, 0]
    with np.errstate(over="ignore", under="ignore"):
        step = risk.term_weight * np.exp(-risk.hazard(z).at_risk)
    block, first = np.unique(risk.term_block, return_index=True)
    hazard = np.add.reduceat(step, first)
    order = np.lexsort((risk.time[block], risk.stratum[block]))
    block, hazard = block[order], hazard[order]
    stratum = risk.stratum[block]
    cumulative = np.concatenate([np.cumsum(hazard[stratum == s]) for s in np.unique(stratum)])
    return BaselineHazard(risk.time[block], cumulative, labels[stratum.astype(int)])


@dataclass(eq=False, repr=False)
class CoxFamily(NamedPenaltyFamily):
    """Proportional hazards."""

    ties: str = field(default="breslow", kw_only=True)

    def _loss(self, n_classes: int) -> Loss:
        return Cox(self.ties)

    def _rows(self, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool = True) -> Rows:
        if y is not None:
            target = Cox(self.ties).encode(y)
            third = np.asarray(y)[:, 2:] if np.ndim(y) == 2 else np.empty((0, 0))
            self._strata = np.unique(third.astype(float)) if third.size else np.zeros(1)
            y = target
        return super()._rows(X, y, sample_weight, offset, reset=reset)

    def _target(self, y: np.ndarray) -> np.ndarray:
        self._is_column = False
        return y

    def _keep(self, problem: Problem, coef: np.ndarray, intercept: Any) -> None:
        super()._keep(problem, coef, intercept)
        self.baseline_hazard_ = baseline_hazard(problem, coef, self._strata)

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """(n,) linear prediction: the logarithm of the hazard over that of the baseline."""
        return self._linear_prediction(X, offset)[:, 0]

    def predict_survival_function(
        self, X: Any, times: Any = None, *, stratum: float | None = None, offset: Any = None
    ) -> np.ndarray:
        """(n, m) chance of no event up to each time.

        Parameters
        ----------
        X : (n, p)
        times : (m,), default None
            By default the times of events, ``baseline_hazard_.time``.
        stratum : value of the third column of y, default None
            Needed where there are several.
        offset : (n,), default None
        """
        z = self._linear_prediction(X, offset)
        base = self.baseline_hazard_
        if times is None:
            times = base.time if stratum is None else base.time[base.stratum == stratum]
        hazard = base.at(np.asarray(times, dtype=float), stratum)
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(-np.exp(np.log(hazard) + z))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Harrell's concordance index, 0.5 for no information."""
        risk = self.predict(X)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        return concordance_index(y, risk, sample_weight)


@estimator
class SparseCox(RegressorMixin, CoxFamily, FixedStrength):
    r"""Proportional hazards for censored survival times, with few features.

    .. math:: \min_w -\frac{1}{n} \sum_{i:\, \text{event}} \Bigl[x_i^\top w -
        \log \sum_{j:\, t_j \ge t_i} e^{x_j^\top w}\Bigr] + \Omega_\alpha(w)

    y is (n, 2), time and event (1, or 0 if censored), or (n, 3) with a stratum, within which
    samples are compared; or a structured array as scikit-survival makes it. ``alpha`` is glmnet's
    lambda. There is no intercept: ``fit_intercept`` has no effect.

    Parameters
    ----------
    alpha : float >= 0, default 0.01
    penalty, penalty_params, groups
        As for :class:`SparseLogistic`.
    ties : {"breslow", "efron"}, default "breslow"
        See :class:`gossamer.losses.Cox`.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 30))
    >>> time, limit = rng.exponential(np.exp(-X[:, 3])), rng.exponential(2, 200)
    >>> y = np.column_stack([np.minimum(time, limit), time <= limit])
    >>> model = gs.SparseCox(alpha=0.2).fit(X, y)
    >>> np.flatnonzero(model.coef_), bool(model.score(X, y) > 0.7)
    (array([3]), True)
    >>> model.predict_survival_function(X[:2], times=[0.5, 1.0]).shape
    (2, 2)
    """

    alpha: float = 0.01

    score = CoxFamily.score


@estimator
class SparseCoxCV(RegressorMixin, CoxFamily, CrossValidated):
    """:class:`SparseCox` with the strength chosen by cross-validation or a criterion.

    Held-out samples are judged by what they add to the partial likelihood of the others
    (Verweij and van Houwelingen 1993; glmnet's "grouped" deviance, halved).

    Parameters
    ----------
    penalty, penalty_params, groups, ties
        As for :class:`SparseCox`.
    """

    score = CoxFamily.score
