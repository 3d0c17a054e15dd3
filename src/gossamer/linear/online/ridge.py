"""Ridge regression row by row: the exact leader of the squared loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gossamer.core.validation import finite_number


@dataclass(eq=False)
class RidgeState:
    """The posterior of a ridge regression, kept up to date at p^2 operations a row."""

    n_features: int
    ridge: float = 1.0
    coef: Any = None
    covariance: Any = None

    def __post_init__(self) -> None:
        if finite_number(self.ridge, "ridge", 0.0) == 0:
            raise ValueError("ridge must be > 0, got 0.")
        if self.coef is None:
            self.coef = np.zeros(self.n_features)
            self.covariance = np.eye(self.n_features) / self.ridge

    def update(self, x: np.ndarray, y: float, weight: float = 1.0) -> None:
        """Take in one row."""
        direction = self.covariance @ x
        gain = weight * direction / (1 + weight * (x @ direction))
        self.coef += gain * (y - x @ self.coef)
        self.covariance -= np.outer(gain, direction)

    def spread(self, X: np.ndarray) -> np.ndarray:
        """(n,) standard deviations of the predictions, in deviations of the noise."""
        squares = np.einsum("ij,ij->i", X @ self.covariance, X)
        return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


@dataclass(eq=False, repr=False)
class OnlineRidge(RegressorMixin, BaseEstimator):
    r"""Ridge regression on a stream: follow the regularised leader, exactly.

    .. math:: w_{t+1} = \arg\min_w \sum_{s \le t} \frac{v_s}{2} (y_s - x_s^\top w)^2
        + \frac{\text{ridge}}{2} \|w\|^2

    With noise of variance :math:`\sigma^2` the regret against the true coefficients is of order
    :math:`\sigma^2 p \log T`, however large the targets are. With weights :math:`v_s` of one over
    the variance of each row's noise it depends on the noise there is.

    Parameters
    ----------
    ridge : float > 0, default 1.0
    fit_intercept : bool, default False
        An intercept is one more coefficient under the ridge.

    Attributes
    ----------
    coef_ : (p,)
    intercept_ : float
    cumulative_loss_ : float
        Sum over all rows of their weighted losses, each predicted before it was learned.

    References
    ----------
    Zhao, Zhou, He and Gu (2023), Optimal online generalized linear regression with stochastic
    noise and its application to heteroscedastic bandits.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 3)); y = X @ [1.0, -2.0, 0.0] + rng.standard_normal(500)
    >>> model = gs.linear.online.OnlineRidge().partial_fit(X[:250], y[:250])
    >>> bool(np.abs(model.partial_fit(X[250:], y[250:]).coef_ - [1, -2, 0]).max() < 0.1)
    True
    """

    ridge: float = 1.0
    fit_intercept: bool = field(default=False, kw_only=True)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Forget what was seen, and learn X (n, p) and y (n,)."""
        return self._learn(X, y, sample_weight, first=True)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn more rows."""
        return self._learn(X, y, sample_weight, first=not hasattr(self, "coef_"))

    def _learn(self, X: Any, y: Any, sample_weight: Any, *, first: bool) -> Self:
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, reset=first)
        weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        X = self._with_constant(X)
        if first:
            self._state = RidgeState(X.shape[1], self.ridge)
            self.cumulative_loss_ = 0.0
        for x, target, weight in zip(X, y, weights, strict=True):
            self.cumulative_loss_ += 0.5 * float(weight * (target - x @ self._state.coef) ** 2)
            self._state.update(x, target, weight)
        w = self._state.coef.copy()
        self.coef_, self.intercept_ = (w[:-1], float(w[-1])) if self.fit_intercept else (w, 0.0)
        return self

    def _with_constant(self, X: np.ndarray) -> np.ndarray:
        return np.hstack([X, np.ones((len(X), 1))]) if self.fit_intercept else X

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """(n,) predictions, and with ``return_std`` their (n,) deviations, those of the noise as
        the unit."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        mean = np.asarray(X @ self.coef_ + self.intercept_)
        return (mean, self._state.spread(self._with_constant(X))) if return_std else mean
