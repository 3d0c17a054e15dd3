"""Ensembles of ridge regressions on random sketches of the features, tuned without folds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.core.validation import finite_number
from gossamer.linear.sketches import SKETCHES


@dataclass(eq=False, repr=False)
class _Sketched(RegressorMixin, BaseEstimator):
    """An ensemble, whatever chose its ridge and its size."""

    n_sketches: int = field(default=10, kw_only=True)
    sketch: str = field(default="gaussian", kw_only=True)
    fit_intercept: bool = field(default=True, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _take(self, fit: _Fit, ensemble: _Ensemble) -> None:
        self.coef_ = fit.coef
        self.intercept_ = float(ensemble.y_mean - ensemble.x_mean @ fit.coef)
        self.gcv_, self.gcv_infinite_ = fit.gcv, fit.gcv_infinite
        self.degrees_of_freedom_, self.residuals_ = fit.freedom, fit.residuals

    def predict(self, X: Any) -> np.ndarray:
        """(n,) predictions."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return np.asarray(X @ self.coef_ + self.intercept_)

    def predict_interval(self, X: Any, level: float = 0.95) -> np.ndarray:
        """(n, 2) intervals that cover new targets with probability ``level``, asymptotically.

        The quantiles of the corrected residuals around the prediction; errors need not be normal.
        """
        if not (isinstance(level, Real) and 0 < float(level) < 1):
            raise ValueError(f"level must be a number in (0, 1), got {level!r}.")
        outside = (1 - float(level)) / 2
        ends = np.quantile(self.residuals_, [outside, 1 - outside])
        return self.predict(X)[:, None] + ends


@dataclass(eq=False, repr=False)
class SketchedRidge(_Sketched):
    r"""The mean of ridge regressions on random sketches of the features, judged by GCV.

    .. math:: \hat\beta = \frac1K \sum_k S_k \hat v_k, \qquad
        \hat v_k = \arg\min_v \frac{1}{2n} \|y - X S_k v\|^2 + \frac\alpha2 \|v\|^2

    with independent sketches :math:`S_k` of shape (p, q). A model of q coefficients costs
    :math:`(q / p)^2` of the full ridge regression, and generalised cross-validation,

    .. math:: \mathrm{GCV} = \frac{\frac1n \|y - \hat y\|^2}{(1 - \mathrm{df} / n)^2},

    df being the trace of the ensemble's smoothing matrix, estimates its squared prediction error
    consistently where n, p and q grow together: no fold is held out, no model is fitted twice.

    Parameters
    ----------
    alpha : float > 0, default 1.0
        Ridge on the coefficients of every sketch.
    sketch_size : int or float, default 0.5
        The number q of sketched features, or their share of p.
    n_sketches : int, default 10
        Size K of the ensemble; its variance falls as 1 / K.
    sketch : {"gaussian", "orthogonal", "count", "cosine"}, default "gaussian"
        "count" keeps sparse X sparse until it is small; "cosine" is the fastest on dense X.
    fit_intercept : bool, default True
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    coef_ : (p,)
    intercept_ : float
    gcv_ : float
        Estimated mean squared error of prediction.
    gcv_infinite_ : float
        The same for infinitely many sketches, a ridge regression on all features, extrapolated
        from the members and their mean; NaN with one sketch.
    degrees_of_freedom_ : float
        With the intercept's one.
    residuals_ : (n,)
        Residuals divided by ``1 - df / n``: of the size of those on new samples.

    Raises
    ------
    ValueError
        When an argument is out of its range, or the sketch has no degree of freedom left.

    References
    ----------
    Patil and LeJeune (2024), Asymptotically free sketched ridge ensembles: risks,
    cross-validation, and tuning.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((300, 200)); beta = rng.standard_normal(200) / 14
    >>> y = X @ beta + 0.5 * rng.standard_normal(300)
    >>> model = gs.linear.SketchedRidge(0.3, sketch_size=100, random_state=0).fit(X, y)
    >>> new = rng.standard_normal((2000, 200))
    >>> error = np.mean((new @ beta + 0.5 * rng.standard_normal(2000) - model.predict(new)) ** 2)
    >>> bool(abs(model.gcv_ / error - 1) < 0.15)
    True
    """

    alpha: float = 1.0
    sketch_size: int | float = field(default=0.5, kw_only=True)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the ensemble to X (n, p) and y (n,)."""
        if finite_number(self.alpha, "alpha", 0.0) == 0:
            raise ValueError("alpha must be > 0, got 0: without ridge a sketch may interpolate.")
        ensemble = _Ensemble.of(self, X, y)
        size = _size(self.sketch_size, ensemble.X.shape[1])
        self._take(next(ensemble.fits(size, np.array([float(self.alpha)]))), ensemble)
        return self


@dataclass(eq=False, repr=False)
class SketchedRidgeCV(_Sketched):
    """:class:`SketchedRidge` with ridge and sketch size chosen by generalised cross-validation.

    Parameters
    ----------
    alphas : numbers > 0, default None
        By default 20, geometric between 1e-4 and 10 times the mean eigenvalue of X'X / n.
    sketch_sizes : sequence of int or float, default (0.25, 0.5, 0.75)
        Numbers of sketched features, or shares of p. In large ensembles the size alone may be
        tuned: a smaller sketch acts as more ridge.
    n_sketches, sketch, fit_intercept, random_state
        As for :class:`SketchedRidge`.

    Attributes
    ----------
    alpha_, sketch_size_ : the values chosen
    scores_ : (n_sizes, n_alphas) GCV of every pair
    """

    alphas: Any = field(default=None, kw_only=True)
    sketch_sizes: Any = field(default=(0.25, 0.5, 0.75), kw_only=True)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit every pair of a sketch size and a ridge, keep the best."""
        ensemble = _Ensemble.of(self, X, y)
        alphas = self._grid(ensemble)
        sizes = [_size(size, ensemble.X.shape[1]) for size in self.sketch_sizes]
        if not sizes:
            raise ValueError("sketch_sizes must not be empty.")
        fits = [list(ensemble.fits(size, alphas)) for size in sizes]
        self.scores_ = np.array([[fit.gcv for fit in row] for row in fits])
        at = np.unravel_index(int(np.argmin(self.scores_)), self.scores_.shape)
        self.alphas_, self.alpha_ = alphas, float(alphas[at[1]])
        self.sketch_size_ = sizes[at[0]]
        self._take(fits[at[0]][at[1]], ensemble)
        return self

    def _grid(self, ensemble: _Ensemble) -> np.ndarray:
        if self.alphas is None:
            return ensemble.mean_eigenvalue() * np.geomspace(1e-4, 10.0, 20)
        alphas = np.asarray(self.alphas, dtype=float).ravel()
        if not alphas.size or not np.isfinite(alphas).all() or (alphas <= 0).any():
            raise ValueError(f"alphas must be finite numbers > 0, got {self.alphas!r}.")
        return alphas


@dataclass(frozen=True, eq=False)
class _Fit:
    """The ensemble at one ridge."""

    coef: np.ndarray
    freedom: float
    residuals: np.ndarray
    gcv: float
    gcv_infinite: float


@dataclass(frozen=True, eq=False)
class _Ensemble:
    """Centred data, and the sketches that are drawn of them."""

    X: Any
    y: np.ndarray
    x_mean: np.ndarray
    y_mean: float
    model: _Sketched

    @classmethod
    def of(cls, model: _Sketched, X: Any, y: Any) -> _Ensemble:
        if not isinstance(model.n_sketches, Integral) or model.n_sketches < 1:
            raise ValueError(f"n_sketches must be a whole number >= 1, got {model.n_sketches!r}.")
        if model.sketch not in SKETCHES:
            raise ValueError(f"sketch must be one of {', '.join(SKETCHES)}, got {model.sketch!r}.")
        sparse = "csr" if model.sketch != "cosine" else False
        X, y = validate_data(
            model, X, y, accept_sparse=sparse, dtype=np.float64, y_numeric=True,
            ensure_min_samples=2,
        )  # fmt: skip
        x_mean = np.asarray(X.mean(axis=0)).ravel() if model.fit_intercept else np.zeros(X.shape[1])
        y_mean = float(y.mean()) if model.fit_intercept else 0.0
        return cls(X, y - y_mean, x_mean, y_mean, model)

    def fits(self, size: int, alphas: np.ndarray) -> Iterator[_Fit]:
        """The ensemble's fit at every ridge; the sketches are the same for all of them."""
        n, p = self.X.shape
        rng = np.random.default_rng(check_random_state(self.model.random_state).randint(2**31))
        coefs, freedom = np.zeros((p, len(alphas))), np.full(len(alphas), 0.0)
        alone = np.zeros(len(alphas))  # mean over the members of the GCV of each
        fixed = float(self.model.fit_intercept)
        for _ in range(self.model.n_sketches):
            Z, back = SKETCHES[self.model.sketch](self.X, size, rng)
            Z = Z - Z.mean(axis=0) * fixed
            V, mine = _ridge(Z, self.y, alphas)
            residuals = self.y[:, None] - Z @ V
            alone += _gcv(residuals, mine + fixed) / self.model.n_sketches
            coefs += back(V) / self.model.n_sketches
            freedom += mine / self.model.n_sketches
        residuals = self.y[:, None] - (np.asarray(self.X @ coefs) - self.x_mean @ coefs)
        joint = _gcv(residuals, freedom + fixed)
        K = self.model.n_sketches
        # the risk of K sketches is that of infinitely many plus a variance over K
        infinite = (K * joint - alone) / (K - 1) if K > 1 else np.full(len(alphas), np.nan)
        for i, df in enumerate(freedom + fixed):
            corrected = residuals[:, i] / max(1 - df / n, 1e-12)
            yield _Fit(coefs[:, i], float(df), corrected, float(joint[i]), float(infinite[i]))

    def mean_eigenvalue(self) -> float:
        n = self.X.shape[0]
        squares = self.X.multiply(self.X) if hasattr(self.X, "multiply") else self.X**2
        total = float(squares.sum()) / n - float(self.x_mean @ self.x_mean)
        mean = total / min(self.X.shape)
        return mean if mean > 0 else 1.0


def _ridge(Z: np.ndarray, y: np.ndarray, alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(q, m) ridge coefficients and (m,) degrees of freedom, by one eigendecomposition."""
    n, q = Z.shape
    wide = q > n
    values, vectors = np.linalg.eigh((Z @ Z.T if wide else Z.T @ Z) / n)
    values = np.maximum(values, 0.0)
    shrunk = (vectors.T @ (y if wide else Z.T @ y))[:, None] / n / (values[:, None] + alphas)
    freedom = (values[:, None] / (values[:, None] + alphas)).sum(axis=0)
    V = vectors @ shrunk
    return (Z.T @ V if wide else V), freedom


def _gcv(residuals: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """(m,) generalised cross-validation of residuals (n, m); infinite without a freedom left."""
    n = len(residuals)
    left = np.maximum(1 - freedom / n, 0.0)
    squares = (residuals**2).mean(axis=0)
    return np.divide(squares, left**2, out=np.full(len(left), np.inf), where=left > 1e-8)


def _size(size: Any, p: int) -> int:
    """The number of sketched features that an argument asks for."""
    whole = isinstance(size, Integral) and not isinstance(size, bool)
    if whole and 1 <= size <= p:
        return int(size)
    if not whole and isinstance(size, Real) and 0 < float(size) <= 1:
        return max(1, round(float(size) * p))
    raise ValueError(
        f"sketch_size must be a whole number from 1 to {p} (the features of X), or a share of them "
        f"in (0, 1], got {size!r}."
    )
