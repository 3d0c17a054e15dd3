"""Inference for the features that the lasso selected, which knows that it selected them."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from gossamer.core.problem import Problem
from gossamer.linear.inference.base import Selection, SummaryTable, checked_share
from gossamer.linear.inference.noise import noise_level
from gossamer.linear.inference.polyhedron import Polyhedron
from gossamer.linear.inference.resampling import generators
from gossamer.linear.inference.truncated import mean_with_survival, survival
from gossamer.losses import Quadratic
from gossamer.penalties import L1

_DRAWS = 1000


@dataclass(eq=False, repr=False)
class PostSelection(Selection):
    r"""Intervals and p-values for the features a lasso of fixed strength selects.

    The lasso

    .. math:: \min_{w, b} \frac{1}{2n} \|y - Xw - b\|^2 + \alpha \|w\|_1

    selects a set E. The targets are the coefficients of least squares on E, the best linear
    prediction that the selected features allow. Given E and the signs, y lies in a polyhedron, and
    the least-squares estimate is a normal variable cut to an interval: exact inference for Gaussian
    noise, whatever n, p and the truth, if neither ``alpha`` nor ``noise`` was chosen by looking at
    the same y.

    Parameters
    ----------
    alpha : float > 0, default None
        The strength. By default the mean of :math:`\|X^\top \varepsilon\|_\infty / n` for noise
        :math:`\varepsilon`, at which little of what is selected is noise.
    noise : {"auto", "cv", "scaled", "least_squares"} or float, default "auto"
        The standard deviation of the noise, or how it is estimated. Estimated, the promise holds as
        far as the estimate does; it is best given, or from least squares with n much larger than p.
    standardise : bool, default False
        Select among columns of unit variance; results are per unit of X all the same.
    random_state : int, RandomState or None, default 0
        Of the noise that the default strength is made of.

    Attributes
    ----------
    selected_ : (k,) feature numbers
    coef_, p_values_ : (k,)
        Least squares on the selected features, and two-sided p-values for a coefficient of zero.
    signs_, lasso_coef_ : (k,) and (p,)
    truncation_ : (k, 2)
        The interval to which each coefficient is confined by the selection.
    alpha_, noise_ : float

    References
    ----------
    Lee, Sun, Sun and Taylor (2016), Exact post-selection inference, with application to the lasso.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 20))
    >>> y = X[:, 3] + 0.5 * rng.standard_normal(100)
    >>> model = gs.PostSelection(alpha=0.1, noise=0.5).fit(X, y)
    >>> model.selected_
    array([ 3, 17])
    >>> model.p_values_.round(3)
    array([0.   , 0.133])
    """

    alpha: float | None = None
    noise: Any = field(default="auto", kw_only=True)
    standardise: bool = field(default=False, kw_only=True)
    random_state: Any = field(default=0, kw_only=True)

    def fit(self, X: Any, y: Any) -> Self:
        """Select, and find out to what the selection confines each coefficient.

        Parameters
        ----------
        X : (n, p) array or DataFrame
        y : (n,)
        """
        if self.alpha is not None and not (
            isinstance(self.alpha, Real) and 0 < float(self.alpha) < np.inf
        ):
            raise ValueError(f"alpha must be a finite number > 0, got {self.alpha!r}.")
        X, y = self._table(X, y)
        n = len(y)
        X, y = X - X.mean(axis=0), y - y.mean()
        scale = X.std(axis=0) if self.standardise else np.ones(X.shape[1])
        unit = X / np.where(scale > 0, scale, 1.0)
        self.noise_ = noise_level(X, y, self.noise)
        self.alpha_ = self._default_alpha(unit) if self.alpha is None else float(self.alpha)
        problem = Problem(unit, y, Quadratic(), L1(self.alpha_), fit_intercept=False)
        result = problem.solve(tol=1e-12)
        self.lasso_coef_ = result.coef / np.where(scale > 0, scale, 1.0)
        self.selected_ = np.flatnonzero(result.coef)
        self.signs_ = np.sign(result.coef[self.selected_])
        self._confine(unit, y, n * self.alpha_, scale)
        return self

    def confidence_intervals(self, level: float = 0.95) -> np.ndarray:
        """(k, 2) limits for the selected features, in the order of ``selected_``.

        An interval has no end on a side where the truncation leaves too little to learn from.
        """
        check_is_fitted(self, "selected_")
        tail = (1 - checked_share(level, "level")) / 2
        limits = [
            [mean_with_survival(*place, tail), mean_with_survival(*place, 1 - tail)]
            for place in self._places()
        ]
        return np.array(limits).reshape(-1, 2)

    def summary(self, level: float = 0.95) -> SummaryTable:
        """The selected features."""
        limits = self.confidence_intervals(level)
        return SummaryTable(
            {
                "feature": self._names()[self.selected_],
                "coefficient": self.coef_,
                "low": limits[:, 0],
                "high": limits[:, 1],
                "p": self.p_values_,
            }
        )

    def _default_alpha(self, unit: np.ndarray) -> float:
        (rng,) = generators(self.random_state, 1)
        noise = self.noise_ * rng.standard_normal((len(unit), _DRAWS))
        return float(np.abs(unit.T @ noise).max(axis=0).mean() / len(unit))

    def _confine(self, unit: np.ndarray, y: np.ndarray, strength: float, scale: np.ndarray) -> None:
        chosen = unit[:, self.selected_]
        k = len(self.selected_)
        if k and np.linalg.matrix_rank(chosen) < k:
            raise ValueError(
                f"the {k} selected columns are linearly dependent: least squares on them has no "
                "answer. Remove duplicate columns or raise alpha."
            )
        directions = np.linalg.pinv(chosen)  # (k, n)
        per_unit = 1 / scale[self.selected_]
        self.coef_ = directions @ y * per_unit
        self._deviations = self.noise_ * np.linalg.norm(directions, axis=1) * per_unit
        limits = []
        if k:
            event = Polyhedron.of_lasso(unit, self.selected_, self.signs_, strength)
            limits = [event.limits(y, direction) for direction in directions]
        self.truncation_ = np.array(limits).reshape(k, 2) * per_unit[:, None]
        self.p_values_ = np.array([_two_sided(*place) for place in self._places()])

    def _places(self) -> list[tuple[float, float, float, float]]:
        """Estimate, standard deviation and truncation of each selected feature."""
        columns = (self.coef_, self._deviations, *self.truncation_.T)
        return [
            (float(x), float(s), float(a), float(b)) for x, s, a, b in zip(*columns, strict=True)
        ]


def _two_sided(x: float, deviation: float, low: float, high: float) -> float:
    """Twice the smaller tail for a mean of zero, either of them to full precision."""
    upper = survival(x, 0.0, deviation, low, high)
    lower = survival(-x, 0.0, deviation, -high, -low)
    return min(2 * min(upper, lower), 1.0)
