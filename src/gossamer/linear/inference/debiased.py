"""The debiased lasso: an interval and a p-value for every coefficient, also where p > n."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from gossamer.linear.inference.base import Inference, SummaryTable, checked_count, checked_share
from gossamer.linear.inference.multiplicity import adjusted_p_values
from gossamer.linear.inference.nodewise import nodewise
from gossamer.linear.inference.noise import lasso_by_folds, noise_level
from gossamer.linear.inference.resampling import generators


@dataclass(eq=False, repr=False)
class DebiasedLasso(Inference):
    r"""Confidence intervals and p-values for all coefficients of a sparse linear model.

    The lasso shrinks; its bias is estimated and taken away along directions :math:`z_j`, what the
    lasso leaves of column j when it is explained by all the others:

    .. math:: \hat b_j = \hat\beta_j
        + \frac{z_j^\top (y - X \hat\beta)}{(1 - \hat s / n)\, z_j^\top x_j}, \qquad
        \hat b_j - \beta_j \approx N\Bigl(0,\;
        \frac{\sigma^2 \|z_j\|^2}{(z_j^\top x_j)^2}\Bigr)

    with the number :math:`\hat s` of features that the lasso selects: its residuals are as much
    smaller than the noise as it has degrees of freedom.

    It holds for a linear model with independent noise of one variance, when the number of
    coefficients that matter is small against :math:`\sqrt n / \log p`.

    Parameters
    ----------
    noise : {"auto", "cv", "scaled", "least_squares"} or float, default "auto"
        The standard deviation of the noise, or how it is estimated, see
        :func:`~gossamer.linear.inference.noise_level`; "auto" is
        :math:`\|y - X \hat\beta\| / (\sqrt n\, (1 - \hat s / n))`, which holds what the lasso's
        own error adds to the noise.
    n_folds, n_strengths : int, defaults 5 and 30
        Cross-validation of the regressions of the columns, which share one strength.
    n_jobs : int, default None
        Columns in parallel threads.
    random_state : int, RandomState or None, default 0
        Of the folds.

    Attributes
    ----------
    coef_, standard_errors_, p_values_ : (p,)
        Debiased coefficients per unit of X, two-sided p-values for a coefficient of zero.
    lasso_coef_ : (p,)
        The lasso they start from.
    noise_ : float

    References
    ----------
    Zhang and Zhang (2014), Confidence intervals for low dimensional parameters.
    van de Geer, Bühlmann, Ritov and Dezeure (2014), On asymptotically optimal confidence regions.
    Javanmard and Montanari (2014), Confidence intervals and hypothesis testing.
    Bellec and Zhang (2022), De-biasing the lasso with degrees-of-freedom adjustment.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 150))
    >>> y = X[:, 3] - X[:, 7] + 0.5 * rng.standard_normal(100)
    >>> model = gs.DebiasedLasso().fit(X, y)
    >>> low, high = model.confidence_intervals(level=0.95)[3]
    >>> bool(low < 1 < high)
    True
    >>> np.flatnonzero(model.adjusted_p_values("holm") < 0.05)
    array([3, 7])
    """

    noise: Any = "auto"
    n_folds: int = field(default=5, kw_only=True)
    n_strengths: int = field(default=30, kw_only=True)
    n_jobs: int | None = field(default=None, kw_only=True)
    random_state: Any = field(default=0, kw_only=True)

    def fit(self, X: Any, y: Any, *, on_step: Callable[[], object] | None = None) -> Self:
        """Fit the lasso and the regressions of the columns.

        Parameters
        ----------
        X : (n, p) array or DataFrame
        y : (n,)
        on_step : function, default None
            Called without arguments after every strength of the regressions of the columns.
        """
        checked_count(self.n_folds, "n_folds", 2)
        checked_count(self.n_strengths, "n_strengths", 2)
        X, y = self._table(X, y)
        n, p = X.shape
        if n < 2 * self.n_folds:
            raise ValueError(f"n_samples={n} are too few for {self.n_folds} folds of two samples.")
        centred, scale = X - X.mean(axis=0), X.std(axis=0)
        alive = scale > 1e-12 * np.abs(X).max(axis=0)
        model = lasso_by_folds(n, p).fit(X, y)
        self.lasso_coef_ = model.coef_
        residual = y - y.mean() - centred @ model.coef_
        left = max(1 - np.count_nonzero(model.coef_) / n, 1 / n)
        if isinstance(self.noise, str) and self.noise == "auto":
            self.noise_ = float(np.linalg.norm(residual) / np.sqrt(n) / left)
        else:
            self.noise_ = noise_level(X, y, self.noise, model)
        self.coef_, self.standard_errors_ = np.zeros(p), np.full(p, np.inf)
        if alive.any():
            unit = centred[:, alive] / scale[alive]
            (rng,) = generators(self.random_state, 1)
            found = nodewise(
                unit, n_folds=self.n_folds, n_strengths=self.n_strengths, rng=rng,
                n_jobs=self.n_jobs, on_step=on_step,
            )  # fmt: skip
            coef, error = debiased(
                centred[:, alive], unit @ found.directions.T, residual / left, model.coef_[alive]
            )
            self.coef_[alive], self.standard_errors_[alive] = coef, self.noise_ * error
        self.p_values_ = 2 * norm.sf(np.abs(self.coef_) / self.standard_errors_)
        return self

    def confidence_intervals(self, level: float = 0.95) -> np.ndarray:
        """(p, 2) limits, each interval holding its coefficient with that probability.

        A column that does not vary has an interval without end.
        """
        check_is_fitted(self, "coef_")
        reach = ndtri(0.5 + checked_share(level, "level") / 2) * self.standard_errors_
        return np.column_stack([self.coef_ - reach, self.coef_ + reach])

    def adjusted_p_values(self, method: str = "holm") -> np.ndarray:
        """(p,) p-values for all features at once, see
        :func:`~gossamer.linear.inference.adjusted_p_values`."""
        check_is_fitted(self, "p_values_")
        return adjusted_p_values(self.p_values_, method)

    def summary(self, level: float = 0.95, method: str = "holm") -> SummaryTable:
        """Every feature, the smallest p-value first."""
        limits = self.confidence_intervals(level)
        order = np.argsort(self.p_values_, kind="stable")
        return SummaryTable(
            {
                "feature": self._names()[order],
                "coefficient": self.coef_[order],
                "low": limits[order, 0],
                "high": limits[order, 1],
                "p": self.p_values_[order],
                f"p, {method}": self.adjusted_p_values(method)[order],
            }
        )


def debiased(
    X: np.ndarray, Z: np.ndarray, residual: np.ndarray, coef: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Debiased coefficients and their errors per unit of noise, along the directions Z (n, p)."""
    own = np.sum(Z * X, axis=0)
    return coef + Z.T @ residual / own, np.linalg.norm(Z, axis=0) / np.abs(own)
