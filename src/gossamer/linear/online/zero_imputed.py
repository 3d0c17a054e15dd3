"""Linear regression on rows with gaps, by averaged stochastic gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.core.validation import finite_number
from gossamer.kernels import bind
from gossamer.kernels.averaged_descent import averaged_descent


@dataclass(eq=False, repr=False)
class ZeroImputedSGD(RegressorMixin, BaseEstimator):
    r"""Least squares on rows with missing entries: zeros in the gaps, one averaged pass.

    Features are brought to mean zero and variance one of their observed entries, gaps become zero
    (the mean), and stochastic gradients with the constant step :math:`\gamma = 1 / (R \sqrt n)`
    are averaged, :math:`R` being the mean squared length of an imputed row.

    Where entries are missing completely at random, each with probability :math:`1 - \rho`, the
    squared error on imputed rows is that of a ridge regression on complete ones,

    .. math:: \mathbb E (y - \tilde x^\top \theta)^2 = \mathbb E (y - x^\top \rho\theta)^2
        + \frac{1 - \rho}{\rho} \|\rho \theta\|^2,

    so zeros cost the bias of a ridge of strength :math:`(1 - \rho) / \rho`, which vanishes where
    many features share few factors. The averaged pass costs no more in order where
    :math:`p \gg \sqrt n`. On few features that stand alone, or gaps that depend on their
    values, an imputer that models the features is better.

    Parameters
    ----------
    step : float, default None
        In place of the theorem's.
    n_passes : int, default 1
        Passes of ``fit`` over the rows; the theorem is about one.
    standardise : bool, default True
        ``False`` where features are centred and of one scale already. In batches the first one
        sets the scale.
    fit_intercept : bool, default True
    random_state : int, RandomState or None, default None
        Order of the rows in ``fit``; ``partial_fit`` takes them as they come.

    Attributes
    ----------
    coef_ : (p,)
        For rows whose gaps are filled with ``means_``.
    intercept_ : float
    means_, scales_ : (p,) of the observed entries
    observed_ : (p,) share of entries observed
    implied_ridge_ : (p,)
        ``(1 - observed_) / observed_``: the ridge that the gaps amount to.
    complete_coef_ : (p,)
        ``observed_ * coef_``: the ridge regression, for rows without gaps.
    n_seen_ : int

    References
    ----------
    Ayme, Boyer, Dieuleveut and Scornet (2023), Naive imputation implicitly regularizes
    high-dimensional linear models.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> factors = rng.standard_normal((2000, 3))
    >>> X = factors @ rng.standard_normal((3, 200)); y = factors.sum(axis=1)
    >>> X[rng.random(X.shape) < 0.3] = np.nan
    >>> model = gs.linear.ZeroImputedSGD(random_state=0).fit(X[:1000], y[:1000])
    >>> model.score(X[1000:], y[1000:]) > 0.9
    True
    """

    step: float | None = None
    n_passes: int = field(default=1, kw_only=True)
    standardise: bool = field(default=True, kw_only=True)
    fit_intercept: bool = field(default=True, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        # one pass over the checks' few rows of few features ends early
        tags.regressor_tags.poor_score = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit X (n, p), NaN where missing, and y (n,)."""
        if self.n_passes < 1:
            raise ValueError(f"n_passes must be >= 1, got {self.n_passes}.")
        X, y = self._validated(X, y, reset=True)
        self._start(X, y)
        orders = check_random_state(self.random_state)
        for again in range(self.n_passes):
            self._pass(X, y, orders.permutation(len(X)), new=not again)
        return self

    def partial_fit(self, X: Any, y: Any) -> Self:
        """One pass over a batch, whose step is that of all rows seen until its end."""
        first = not hasattr(self, "n_seen_")
        X, y = self._validated(X, y, reset=first)
        if first:
            self._start(X, y)
        self._pass(X, y, np.arange(len(X)), new=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(n,) predictions; NaN in X counts as missing."""
        check_is_fitted(self, "coef_")
        X = self._read(X, reset=False)
        return np.asarray(self._imputed(X, self.means_) @ self.coef_ + self.intercept_)

    # -- inside ------------------------------------------------------------------------------------
    def _read(self, X: Any, *, reset: bool, y: Any = None) -> Any:
        rows = {} if y is None else {"y": y, "y_numeric": True}
        return validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan", **rows
        )

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        if self.step is not None and finite_number(self.step, "step", 0.0) == 0:
            raise ValueError("step must be > 0, got 0.")
        if y is None:
            raise ValueError("ZeroImputedSGD requires y to be passed, but the target y is None.")
        return self._read(X, reset=reset, y=y)

    def _start(self, X: np.ndarray, y: np.ndarray) -> None:
        """Forget what was seen; take means and scales from the observed entries."""
        seen = ~np.isnan(X)
        count = np.maximum(seen.sum(axis=0), 1)
        self.means_, self.scales_ = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if self.standardise:
            self.means_ = np.where(seen, X, 0.0).sum(axis=0) / count
            centred = np.where(seen, X - self.means_, 0.0)
            deviations = np.sqrt((centred**2).sum(axis=0) / count)
            constant = deviations <= 1e-12 * np.maximum(np.abs(self.means_), 1e-300)
            self.scales_ = np.where(constant, 1.0, deviations)
        self.n_seen_, self._n_iterates, self._squares = 0, 0, 0.0
        self._present = np.zeros(X.shape[1], dtype=int)
        # the last entry is the intercept; starting at the mean saves it the way there
        self._iterate = np.append(np.zeros(X.shape[1]), y.mean() if self.fit_intercept else 0.0)
        self._average = np.zeros(X.shape[1] + 1)

    def _imputed(self, X: np.ndarray, filling: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(X), filling, X)

    def _pass(self, X: np.ndarray, y: np.ndarray, order: np.ndarray, *, new: bool) -> None:
        Z = np.ascontiguousarray((self._imputed(X, self.means_) - self.means_) / self.scales_)
        if new:
            self.n_seen_ += len(X)
            self._squares += float((Z**2).sum())
            self._present += (~np.isnan(X)).sum(axis=0)
        length = self._squares / self.n_seen_ + float(self.fit_intercept)
        step = self.step or 1 / (max(length, 1e-300) * np.sqrt(self.n_seen_))
        self._n_iterates = bind(averaged_descent)(
            Z, y, order, step, float(self.fit_intercept), self._iterate, self._average,
            self._n_iterates,
        )  # fmt: skip
        self._take()

    def _take(self) -> None:
        if not np.isfinite(self._average).all():
            raise ValueError(
                "the iterates grew without bound: use a smaller step, or standardise=True."
            )
        self.coef_ = self._average[:-1] / self.scales_
        self.intercept_ = float(self._average[-1] - self.means_ @ self.coef_)
        self.observed_ = self._present / self.n_seen_
        gaps = 1 - self.observed_
        self.implied_ridge_ = np.divide(
            gaps, self.observed_, out=np.full_like(gaps, np.inf), where=self.observed_ > 0
        )
        self.complete_coef_ = self.observed_ * self.coef_
