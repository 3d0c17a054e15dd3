"""Trend filtering: a series as a piecewise polynomial whose knots the data choose."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from scipy.interpolate import make_interp_spline
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
)

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.result import Status
from gossamer.core.validation import finite_number
from gossamer.solvers.trend import Differences, Trend, largest_strength, trend_filter

_MAX_ORDER = 3


@dataclass(frozen=True, eq=False)
class _Series:
    """Points in order of x, one a position: the mean of those that share it."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> _Series:
        x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
        places, at = np.unique(x, return_inverse=True)
        total = np.bincount(at, weights)
        means = np.bincount(at, weights * y) / total
        return cls(places, means, total / total.sum())

    def without(self, left_out: np.ndarray) -> _Series:
        kept = ~left_out
        weights = self.weights[kept]
        return _Series(self.x[kept], self.y[kept], weights / weights.sum())


@dataclass(eq=False, repr=False)
class TrendFilter(RegressorMixin, BaseEstimator):
    r"""A series as a piecewise polynomial: the total variation of a derivative as the penalty.

    .. math:: \min_b \frac{1}{2n} \sum_i (y_i - b_i)^2
        + \alpha \, \mathrm{TV}\bigl(b^{(\text{order})}\bigr)

    Order 0 gives steps (the fused lasso), 1 straight lines between kinks, 2 and 3 smooth pieces.
    Positions need not be equally spaced; series of a million points take seconds. The alpha is in
    the unit of y times that of x to the order.

    Parameters
    ----------
    alpha : float >= 0, default 1.0
    order : int from 0 to 3, default 1
        Degree of the pieces.
    tol : float, default 1e-6
        Duality gap to stop at, relative to the objective.
    max_iter : int, default 200

    Attributes
    ----------
    x_, fitted_ : (m,) arrays
        Distinct positions in increasing order, and the trend there.
    knots_ : array
        Positions at which the derivative jumps.
    certificate_ : Certificate
        The duality gap; its support holds the places of the knots in ``x_``.
    n_iter_ : int

    References
    ----------
    Kim, Koh, Boyd and Gorinevsky (2009), l1 trend filtering.
    Tibshirani (2014), Adaptive piecewise polynomial estimation via trend filtering.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> x = np.arange(100.0)
    >>> y = np.abs(x - 40) + np.sin(7 * x)
    >>> model = gs.TrendFilter(alpha=1.0, order=1).fit(x, y)
    >>> model.certificate_.holds
    True
    >>> model.predict([10.5, 40.0]).round(1)
    array([29.4,  0.4])
    """

    alpha: float = 1.0
    order: int = 1
    tol: float = 1e-6
    max_iter: int = 200

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TrendFilter:
        """Fit the trend of ``y`` (n,) over the positions ``X``, (n,) or (n, 1), in any order.

        Points of one position count as their mean; points without weight are left out.
        """
        finite_number(self.alpha, "alpha", 0.0)
        series = self._series(X, y, sample_weight)
        # from the largest strength on the trend is one polynomial: beyond it numbers only round
        largest = largest_strength(series.y, Differences(series.x, self.order), series.weights)
        self._take(series, min(self.alpha, 2 * largest or self.alpha))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(n,) the trend at positions (n,) or (n, 1), continued by its outer pieces.

        Between points a polynomial spline of the order through the trend; steps hold to the right.
        """
        check_is_fitted(self, "fitted_")
        x = _positions(X)
        if self.order == 0 or len(self.x_) == 1:
            at = np.searchsorted(self.x_, x, side="right") - 1
            return self.fitted_[np.maximum(at, 0)]
        degree = min(self.order, len(self.x_) - 1)
        # the spline of an odd degree is the one that adds no knots at the ends
        return np.asarray(make_interp_spline(self.x_, self.fitted_, degree)(x))

    def _series(self, X: Any, y: Any, sample_weight: Any) -> _Series:
        if not isinstance(self.order, (int, np.integer)) or not 0 <= self.order <= _MAX_ORDER:
            raise ValueError(
                f"order must be a whole number from 0 to {_MAX_ORDER}, got {self.order!r}."
            )
        finite_number(self.tol, "tol", 0.0)
        if not isinstance(self.max_iter, Integral) or self.max_iter < 1:
            raise ValueError(f"max_iter must be a whole number >= 1, got {self.max_iter!r}.")
        x = _positions(X)
        y = check_array(y, ensure_2d=False, dtype=float, input_name="y")
        if y.ndim != 1:
            raise ValueError(f"y must have shape (n,), got {y.shape}.")
        check_consistent_length(x, y, sample_weight)
        weights = _check_sample_weight(sample_weight, x, ensure_non_negative=True)
        if not (weights > 0).any():
            raise ValueError("sample_weight is zero for all samples.")
        return _Series.of(x, y, weights)

    def _filtered(self, series: _Series, alpha: float) -> Trend:
        differences = Differences(series.x, int(self.order))
        return trend_filter(
            series.y, differences, series.weights, alpha, tol=self.tol, max_iter=self.max_iter
        )

    def _take(self, series: _Series, alpha: float) -> None:
        trend = self._filtered(series, alpha)
        if trend.status is not Status.CONVERGED:
            warnings.warn(
                f"TrendFilter: {trend.status.value} (certificate {trend.certificate.value:.1e} > "
                f"tol {self.tol:.1e} after {trend.n_iter} iterations). Raise max_iter, or tol if "
                "this is close enough.",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.x_, self.fitted_, self.n_iter_ = series.x, trend.values, trend.n_iter
        self.certificate_ = trend.certificate
        self.knots_ = series.x[trend.certificate.support]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


@dataclass(eq=False, repr=False)
class TrendFilterCV(TrendFilter):
    """:class:`TrendFilter` with the strength chosen by cross-validation.

    Fold k leaves out every ``cv``-th point from the k-th one on, which neighbours predict.

    Parameters
    ----------
    order : int from 0 to 3, default 1
    n_alphas : int, default 30
        Geometric from the strength that leaves one polynomial down.
    alpha_min_ratio : float in (0, 1), default 1e-6
    cv : int >= 2, default 5
    selection : "1se" or "min", default "1se"
        The largest strength within a standard error of the best, or the best.

    Attributes
    ----------
    alpha_ : float
    alphas_, cv_errors_ : (n_alphas,) and (cv, n_alphas) arrays
        Mean squared errors of the folds.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> x = np.arange(200.0)
    >>> y = 5.0 * (x > 90) + np.random.default_rng(0).standard_normal(200)
    >>> gs.TrendFilterCV(order=0).fit(x, y).knots_
    array([88., 90.])
    """

    alpha: None = None  # type: ignore[assignment]
    n_alphas: int = 30
    alpha_min_ratio: float = 1e-6
    cv: int = 5
    selection: str = "1se"

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *,
        on_step: Callable[[], object] | None = None,
    ) -> TrendFilterCV:  # fmt: skip
        """As :meth:`TrendFilter.fit`; ``on_step`` is called without arguments after every strength
        of each fold."""
        if not isinstance(self.cv, (int, np.integer)) or self.cv < 2:
            raise ValueError(f"cv must be a whole number >= 2, got {self.cv!r}.")
        if self.alpha is not None:
            raise ValueError(f"alpha is chosen here, got {self.alpha!r}: use TrendFilter for it.")
        if self.selection not in ("1se", "min"):
            raise ValueError(f'selection must be "1se" or "min", got {self.selection!r}.')
        if not 0 < self.alpha_min_ratio < 1:
            raise ValueError(f"alpha_min_ratio must be in (0, 1), got {self.alpha_min_ratio!r}.")
        series = self._series(X, y, sample_weight)
        least = self.cv * (self.order + 2)
        if len(series.x) < least:
            raise ValueError(
                f"X has {len(series.x)} different positions: {self.cv} folds of order {self.order} "
                f"need at least {least}. Lower cv, or use TrendFilter."
            )
        largest = largest_strength(
            series.y, Differences(series.x, int(self.order)), series.weights
        ) or 1.0  # fmt: skip
        self.alphas_ = largest * np.geomspace(1.0, self.alpha_min_ratio, self.n_alphas)
        self.cv_errors_ = np.array([self._errors(series, k, on_step) for k in range(self.cv)])
        mean = self.cv_errors_.mean(axis=0)
        best = int(mean.argmin())
        if self.selection == "1se":
            error = self.cv_errors_[:, best].std(ddof=1) / np.sqrt(self.cv)
            best = int(np.flatnonzero(mean <= mean[best] + error)[0])
        self.alpha_ = float(self.alphas_[best])
        self._take(series, self.alpha_)
        return self

    def _errors(
        self, series: _Series, fold: int, on_step: Callable[[], object] | None
    ) -> list[float]:
        left_out = np.arange(len(series.x)) % self.cv == fold
        left_out[[0, -1]] = False  # the ends would be extrapolated
        kept = series.without(left_out)
        part = TrendFilter(order=self.order)
        errors = []
        for alpha in self.alphas_:
            part.x_, part.fitted_ = kept.x, self._filtered(kept, alpha).values
            miss = series.y[left_out] - part.predict(series.x[left_out])
            errors.append(float(np.average(miss**2, weights=series.weights[left_out])))
            if on_step is not None:
                on_step()
        return errors


def _positions(X: Any) -> np.ndarray:
    x = check_array(X, ensure_2d=False, dtype=float, input_name="X")
    if x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    if x.ndim != 1:
        raise ValueError(f"X must be positions, shape (n,) or (n, 1), got {x.shape}.")
    return x
