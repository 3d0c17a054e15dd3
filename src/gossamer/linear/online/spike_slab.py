"""Variational Bayes for sparse linear regression: a chance and a normal for each coefficient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.core.errors import ConvergenceWarning
from gossamer.core.validation import finite_number
from gossamer.kernels import bind, mean_field
from gossamer.linear.inference.noise import METHODS, noise_level


@dataclass(eq=False)
class SpikeSlabPosterior:
    r"""The closest independent posterior under a spike-and-slab prior, from moments.

    Prior :math:`\theta_j \sim w \,\mathrm{Laplace}(\text{rate}) + (1 - w) \delta_0` with
    :math:`w = 1 / (1 + p^{\text{sparsity}})`; posterior :math:`\theta_j \sim
    c_j N(m_j, s_j^2) + (1 - c_j) \delta_0`, each independent of the others.

    Parameters
    ----------
    n_features : int
    rate : float, default 1.0
    sparsity : float, default 1.0
        The prior expects about ``p^(1 - sparsity)`` coefficients that are not zero.
    """

    n_features: int
    rate: float = 1.0
    sparsity: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rate", "sparsity"):
            if finite_number(getattr(self, name), name, 0.0) == 0:
                raise ValueError(f"{name} must be > 0, got 0.")
        p = self.n_features
        self.means, self.deviations = np.zeros(p), np.full(p, 1 / self.rate)
        self.chances = np.full(p, 1 / (1 + float(p) ** self.sparsity))
        self.n_sweeps = 0

    @property
    def coef(self) -> np.ndarray:
        """(p,) posterior means."""
        return self.chances * self.means

    def update(
        self, gram: np.ndarray, first: np.ndarray, *, tol: float = 1e-6, max_iter: int = 500
    ) -> float:
        """Ascend from where it is, for ``X'X`` and ``X'y`` over the variance of the noise.

        Returns the last sweep's largest change, above ``tol`` where it did not converge.
        """
        sweep = bind(
            mean_field.posterior_sweep, slab_mean=mean_field.slab_mean,
            slab_deviation=mean_field.slab_deviation, slab_cost=mean_field.slab_cost,
        )  # fmt: skip
        gram, first = np.ascontiguousarray(gram), np.ascontiguousarray(first)
        log_odds = -self.sparsity * float(np.log(self.n_features))
        product, change = gram @ self.coef, np.inf
        for sweeps in range(1, max_iter + 1):
            self.n_sweeps = sweeps
            # the large coefficients first: which of two alike is taken depends on the order
            order = np.argsort(-np.abs(first - product + np.diag(gram) * self.coef), kind="stable")
            change = sweep(
                gram, first, float(self.rate), log_odds, order, self.means, self.deviations,
                self.chances, product,
            )  # fmt: skip
            if change <= tol:
                break
        return float(change)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """(p,) coefficients drawn from the posterior."""
        slab = self.means + self.deviations * rng.standard_normal(self.n_features)
        return np.where(rng.random(self.n_features) < self.chances, slab, 0.0)


@dataclass(eq=False, repr=False)
class SpikeSlab(RegressorMixin, BaseEstimator):
    r"""Sparse Bayesian linear regression: how likely each feature is in, and how large its effect.

    .. math:: y = b + X\theta + \sigma\varepsilon, \qquad \theta_j / \sigma \sim
        w \,\mathrm{Laplace}(\text{rate}) + (1 - w)\, \delta_0

    by mean-field variational Bayes. Correlated features compete for one chance: the approximation
    tends to settle on one of them and is too sure of its choice.

    Parameters
    ----------
    rate : float > 0, default 1.0
        Of the Laplace slab, on standardised features: effects of the order of 1 / rate noise
        deviations are expected.
    sparsity : float > 0, default 1.0
        The prior chance of a feature is ``1 / (1 + p^sparsity)``.
    noise : float or str, default "auto"
        Standard deviation of the noise, or a way to estimate it
        (:func:`gossamer.linear.inference.noise_level`).
    fit_intercept : bool, default True
    tol : float, default 1e-6
    max_iter : int, default 500

    Attributes
    ----------
    coef_ : (p,) posterior means
    intercept_ : float
    chances_ : (p,) posterior chances of not being zero
    deviations_ : (p,) of the coefficient given that it is not zero
    noise_ : float
    n_iter_ : int
        Sweeps over the coefficients.

    References
    ----------
    Ray and Szabo (2021), Variational Bayes for high-dimensional linear regression with sparse
    priors.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 300)); y = X[:, :2] @ [2.0, -1.0] + rng.standard_normal(100)
    >>> model = gs.linear.SpikeSlab().fit(X, y)
    >>> np.flatnonzero(model.chances_ > 0.5)
    array([0, 1])
    """

    rate: float = 1.0
    sparsity: float = field(default=1.0, kw_only=True)
    noise: Any = field(default="auto", kw_only=True)
    fit_intercept: bool = field(default=True, kw_only=True)
    tol: float = field(default=1e-6, kw_only=True)
    max_iter: int = field(default=500, kw_only=True)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to X (n, p) and y (n,)."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        middle = X.mean(axis=0) * self.fit_intercept
        Z, centred = X - middle, y - y.mean() * self.fit_intercept
        scales = np.sqrt((Z**2).mean(axis=0))
        dead = scales <= 1e-12 * np.maximum(np.abs(middle), 1e-300)
        scales = np.where(dead, 1.0, scales)
        Z = np.where(dead, 0.0, Z / scales)
        self.noise_ = self._noise(Z, centred)
        posterior = SpikeSlabPosterior(X.shape[1], self.rate, self.sparsity)
        left = posterior.update(
            Z.T @ Z, Z.T @ centred / self.noise_, tol=self.tol, max_iter=self.max_iter
        )
        if left > self.tol:
            warnings.warn(
                f"SpikeSlab: a chance or mean still moves by {left:.1e} after {self.max_iter} "
                "sweeps: raise max_iter, or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.n_iter_ = posterior.n_sweeps
        self.coef_ = posterior.coef * self.noise_ / scales
        self.intercept_ = float(y.mean() * self.fit_intercept - middle @ self.coef_)
        self.chances_, self._means = posterior.chances, posterior.means * self.noise_ / scales
        self.deviations_ = posterior.deviations * self.noise_ / scales
        return self

    def _noise(self, Z: np.ndarray, y: np.ndarray) -> float:
        size = float(np.sqrt((y**2).mean()))
        if self.noise in METHODS and not (size and Z.any()):
            return size or 1.0
        return max(noise_level(Z, y, self.noise), 1e-6 * size)

    def predict(self, X: Any) -> np.ndarray:
        """(n,) posterior mean predictions."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(X @ self.coef_ + self.intercept_)

    def sample_coef(self, n_draws: int, random_state: Any = None) -> np.ndarray:
        """(n_draws, p) coefficients drawn from the posterior."""
        check_is_fitted(self, "coef_")
        rng = np.random.default_rng(check_random_state(random_state).randint(2**31))
        shape = (n_draws, len(self.coef_))
        slab = self._means + self.deviations_ * rng.standard_normal(shape)
        return np.where(rng.random(shape) < self.chances_, slab, 0.0)
