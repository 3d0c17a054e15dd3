"""Sparse regression on data that never leave their owners but for one private report each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.core.validation import finite_number
from gossamer.linear.online.ledger import PrivacyLedger
from gossamer.linear.online.mechanisms import Mechanism, clipped, mechanism_for

_ENTRIES = 4_000_000  # numbers of reports held at a time


@dataclass(eq=False, repr=False)
class PrivateSparseRegression(RegressorMixin, BaseEstimator):
    r"""Least squares with at most k coefficients, under local differential privacy.

    Every row is a user, who sends one random report and nothing else. Whoever reads it, the server
    included, can tell two possible rows of that user apart no better than
    ``exp(epsilon)`` : 1 (but for a probability ``delta``).

    *Interactive*: users are split into ``n_rounds`` groups. Those of round t report their gradient
    :math:`x (x^\top w_t - y)` by a private mechanism, and the server takes a step and keeps the k
    largest coefficients: :math:`w_{t+1} = H_k(w_t - \mathrm{step} \cdot \text{mean report})`.
    The error falls as :math:`k \sqrt p / (\sqrt n \epsilon)`.

    *Not interactive*: each user reports :math:`(x x^\top, y x)` once, without hearing from the
    server; :math:`w = H_k(\hat\Sigma^{-1} \hat c)`. The error falls as
    :math:`p \sqrt k / (\sqrt n \epsilon)`: for few features, or where nobody can be asked twice.

    There is no intercept and nothing is centred: means would be reports of their own.

    Parameters
    ----------
    n_nonzero : int, default 5
        k.
    epsilon : float > 0, default 1.0
    delta : float in [0, 1), default 0.0
        Zero for the sphere mechanism and pure privacy; above zero for Gaussian noise.
    feature_bound : float > 0, default 1.0
        Rows of X are drawn back to this Euclidean length. It must come from knowledge of the
        features, never from the data: a bound read off the rows would itself give something away.
    target_bound : float > 0, default 1.0
        Targets are cut to [-bound, bound]; likewise.
    gradient_bound : float, default None
        Length to which gradients are drawn back, by default ``2 feature_bound target_bound``, which
        they cannot exceed. A smaller one has less noise and some bias.
    interactive : bool, default True
    n_rounds : int, default 10
        Groups of users when interactive.
    step : float, default 0.5
        Length of a step when interactive, about one over the largest second moment of the features.
    max_epsilon, max_delta : float, default None
        What a user named several times in ``users`` may give away in sum; by default one report.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    coef_ : (p,)
    intercept_ : float
        Zero.
    ledger_ : PrivacyLedger
        What each user gave away.
    noise_level_ : float
        Standard deviation of a coordinate of the mean report, known without the data.

    Notes
    -----
    Randomness is the protection: a published ``random_state`` undoes it. ``fit`` plays users and
    server in one process, to plan a study (how many users, which epsilon); in a deployment the
    users' half is :meth:`reports`, which runs on their side.

    References
    ----------
    Zhu, Ding, Aggarwal, Xu and Wang (2024), Improved analysis of sparse linear regression in local
    differential privacy model. There coefficients are thresholded softly when not interactive.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.choice([-0.25, 0.25], (40_000, 16)); w = np.zeros(16); w[[2, 5]] = 1.0, -1.0
    >>> y = X @ w + 0.05 * rng.uniform(-1, 1, 40_000)
    >>> model = gs.linear.PrivateSparseRegression(
    ...     2, epsilon=2.0, gradient_bound=1.0, step=16.0, n_rounds=3, random_state=0)
    >>> np.flatnonzero(model.fit(X, y).coef_)
    array([2, 5])
    >>> model.ledger_.worst
    (2.0, 0.0)
    """

    n_nonzero: int = 5
    epsilon: float = field(default=1.0, kw_only=True)
    delta: float = field(default=0.0, kw_only=True)
    feature_bound: float = field(default=1.0, kw_only=True)
    target_bound: float = field(default=1.0, kw_only=True)
    gradient_bound: float | None = field(default=None, kw_only=True)
    interactive: bool = field(default=True, kw_only=True)
    n_rounds: int = field(default=10, kw_only=True)
    step: float = field(default=0.5, kw_only=True)
    max_epsilon: float | None = field(default=None, kw_only=True)
    max_delta: float | None = field(default=None, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # the noise of the checks' few users drowns everything
        tags.regressor_tags.poor_score = True
        tags.non_deterministic = self.random_state is None
        return tags

    def fit(self, X: Any, y: Any, users: Any = None) -> Self:
        """Collect the reports of X (n, p) and y (n,), and estimate.

        ``users`` (n,) names the owner of each row; by default each row has its own.
        """
        self._check()
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        rng = _generator(self.random_state)
        ledger = self._new_ledger()
        ledger.charge(_names(users, len(X)), self.epsilon, self.delta, self._kind)
        collect = self._fit_rounds if self.interactive else self._fit_moments
        collect(X, y, rng)
        self.intercept_, self.ledger_ = 0.0, ledger
        return self

    def fit_reports(self, reports: Any, users: Any = None) -> Self:
        """Estimate from reports of moments (n, D), made by :meth:`reports` on the users' side."""
        self._check()
        if self.interactive:
            raise ValueError(
                "fit_reports needs interactive=False: gradients are asked for round by round."
            )
        reports = check_array(reports, dtype=np.float64)
        n, dimension = reports.shape
        p = round((np.sqrt(9 + 8 * dimension) - 3) / 2)
        if p * (p + 3) // 2 != dimension:
            raise ValueError(
                f"reports have {dimension} columns, which are not p (p + 3) / 2 for any number p "
                "of features."
            )
        ledger = self._new_ledger()
        ledger.charge(_names(users, n), self.epsilon, self.delta, self._kind)
        self.n_features_in_ = p
        self._take_moments(reports.mean(axis=0), n)
        self.intercept_, self.ledger_ = 0.0, ledger
        return self

    def predict(self, X: Any) -> np.ndarray:
        """(n,) predictions."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(X @ self.coef_)

    # -- the users' side ---------------------------------------------------------------------------
    def reports(self, X: Any, y: Any, coef: Any = None) -> np.ndarray:
        """(n, D) private reports of rows: of gradients at ``coef``, or of moments without it.

        Moments are the upper triangle of ``x x'``, off-diagonal entries times the root of two, then
        ``y x``, both divided by their bounds and the root of two. Each call is one more report of
        every row: charge it to a ledger.
        """
        self._check()
        X, y = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
        mechanism = self._mechanism(X.shape[1])
        if coef is None:
            vectors = self._moments(X, y)
        else:
            vectors = self._gradients(X, y, np.asarray(coef, dtype=float))
        return mechanism.report(vectors, _generator(self.random_state))

    def _gradients(self, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
        X, y = clipped(X, self.feature_bound), self._cut(y)
        return X * (self._cut(X @ w) - y)[:, None]

    def _moments(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        X, y = clipped(X, self.feature_bound) / self.feature_bound, self._cut(y) / self.target_bound
        rows, columns = np.triu_indices(X.shape[1])
        second = X[:, rows] * X[:, columns] * np.where(rows == columns, 1.0, np.sqrt(2))
        return np.hstack([second, X * y[:, None]]) / np.sqrt(2)

    def _cut(self, target: np.ndarray) -> np.ndarray:
        return np.clip(target, -self.target_bound, self.target_bound)

    def _mechanism(self, p: int) -> Mechanism:
        if not self.interactive:
            return mechanism_for(self.epsilon, self.delta, 1.0, p * (p + 1) // 2 + p)
        bound = self.gradient_bound or 2 * self.feature_bound * self.target_bound
        return mechanism_for(self.epsilon, self.delta, bound, p)

    # -- the server's side -------------------------------------------------------------------------
    def _fit_rounds(self, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
        w, mechanism = np.zeros(X.shape[1]), self._mechanism(X.shape[1])
        groups = np.array_split(rng.permutation(len(X)), min(self.n_rounds, len(X)))
        for group in groups:
            total = np.zeros_like(w)
            for part in _parts(group, mechanism.dimension):
                vectors = self._gradients(X[part], y[part], w)
                total += mechanism.report(vectors, rng).sum(axis=0)
            w = largest(w - self.step * total / len(group), self.n_nonzero)
        self.noise_level_ = mechanism.noise / np.sqrt(len(groups[-1]))
        self.coef_ = w

    def _fit_moments(self, X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> None:
        mechanism = self._mechanism(X.shape[1])
        total = np.zeros(mechanism.dimension)
        for part in _parts(np.arange(len(X)), mechanism.dimension):
            total += mechanism.report(self._moments(X[part], y[part]), rng).sum(axis=0)
        self._take_moments(total / len(X), len(X))

    def _take_moments(self, mean: np.ndarray, n: int) -> None:
        p = self.n_features_in_
        self.noise_level_ = self._mechanism(p).noise / np.sqrt(n)
        self.coef_ = self._estimate(mean, p)

    def _estimate(self, mean: np.ndarray, p: int) -> np.ndarray:
        """Coefficients from the mean report of moments."""
        rows, columns = np.triu_indices(p)
        second = np.zeros((p, p))
        second[rows, columns] = mean[: len(rows)] * np.where(rows == columns, 1.0, np.sqrt(0.5))
        second = (second + second.T - np.diag(np.diag(second))) * np.sqrt(2) * self.feature_bound**2
        first = mean[len(rows) :] * np.sqrt(2) * self.feature_bound * self.target_bound
        values, vectors = np.linalg.eigh(second)
        # no eigenvalue is known better than the norm of the symmetric noise, 2 sigma sqrt(p)
        floor = 2 * np.sqrt(p) * self.noise_level_ * self.feature_bound**2
        solution = vectors @ ((vectors.T @ first) / np.maximum(values, floor))
        return largest(solution, self.n_nonzero)

    # -- arguments ---------------------------------------------------------------------------------
    @property
    def _kind(self) -> str:
        return "Gaussian" if self.delta else "sphere"

    def _new_ledger(self) -> PrivacyLedger:
        most = self.epsilon if self.max_epsilon is None else self.max_epsilon
        lost = self.delta if self.max_delta is None else self.max_delta
        return PrivacyLedger(most, lost)

    def _check(self) -> None:
        for name in ("n_nonzero", "n_rounds"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
        positive = ["epsilon", "feature_bound", "target_bound", "step"]
        positive += ["gradient_bound"] if self.gradient_bound is not None else []
        for name in positive:
            if finite_number(getattr(self, name), name, 0.0) == 0:
                raise ValueError(f"{name} must be > 0, got 0.")
        if not 0 <= finite_number(self.delta, "delta") < 1:
            raise ValueError(f"delta must be in [0, 1), got {self.delta}.")


def largest(w: np.ndarray, k: int) -> np.ndarray:
    """``w`` with all but its k largest entries set to zero."""
    kept = np.zeros_like(w)
    top = np.argsort(-np.abs(w), kind="stable")[:k]
    kept[top] = w[top]
    return kept


def _names(users: Any, n: int) -> np.ndarray:
    names = np.arange(n) if users is None else np.asarray(users)
    if names.shape != (n,):
        raise ValueError(f"users must have shape ({n},), one name a row, got {names.shape}.")
    return names


def _parts(rows: np.ndarray, dimension: int) -> Iterator[np.ndarray]:
    """Rows in parts whose reports fit into memory."""
    size = max(1, _ENTRIES // dimension)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _generator(random_state: Any) -> np.random.Generator:
    return np.random.default_rng(check_random_state(random_state).randint(2**31))
