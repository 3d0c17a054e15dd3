"""What all estimators share: data in, a problem solved, coefficients and a certificate out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from gossamer.core.errors import UnsupportedProblem
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.problem import Problem
from gossamer.core.result import Result
from gossamer.core.validation import normalised_weights, offsets
from gossamer.linear.distributed.cluster import is_dask, predicted
from gossamer.linear.moments import Moments, is_tall, moments_by_part
from gossamer.linear.path import Path, decreasing, solve_path, strength_grid
from gossamer.linear.scores import explained_share
from gossamer.losses import Gamma, NegativeBinomial, Poisson, Tweedie

# losses that take no negative target
_AMOUNTS = (Gamma, NegativeBinomial, Poisson, Tweedie)


@dataclass(frozen=True, eq=False)
class Rows:
    """Data that an estimator has checked."""

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    offset: Any

    def moments(self) -> Moments:
        """The moments of all rows."""
        return Moments().update(self.X, self.y, self.sample_weight, offset=self.offset)

    def moments_by_part(self, part_of: np.ndarray, n_parts: int) -> list[Moments]:
        """The moments of parts of the rows, numbered by ``part_of``."""
        return moments_by_part(self.X, self.y, self.sample_weight, self.offset, part_of, n_parts)


@dataclass(eq=False, repr=False)
class SparseLinearModel(BaseEstimator):
    """Base of all estimators; subclasses say which loss and which penalty.

    Subclasses are dataclasses: a field is a parameter in scikit-learn's sense. Their fields come
    before the ones of this class.
    """

    fit_intercept: bool = field(default=True, kw_only=True)
    standardise: bool = field(default=False, kw_only=True)
    nonnegative: bool = field(default=False, kw_only=True)
    weights: Any = field(default=None, kw_only=True)
    tol: float = field(default=1e-6, kw_only=True)
    max_iter: int = field(default=1000, kw_only=True)
    solver: str = field(default="auto", kw_only=True)
    verbose: int = field(default=0, kw_only=True)

    _step_name: ClassVar[str] = "alpha"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        loss = self._loss(2)
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.positive_only = isinstance(loss, _AMOUNTS)
        # scikit-learn's checks of several columns take targets of both signs
        tags.target_tags.multi_output = loss.takes_columns and not isinstance(loss, _AMOUNTS)
        if loss.classifies:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags()
        else:
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
        return tags

    # -- what a subclass says ----------------------------------------------------------------------
    @abstractmethod
    def _loss(self, n_classes: int) -> Loss:
        """The loss, for a target of so many classes where it classifies."""

    @abstractmethod
    def _penalty(self, strength: float) -> Penalty:
        """The penalty of a given strength."""

    # -- from data to a problem --------------------------------------------------------------------
    def _problem(
        self, X: Any, y: Any, sample_weight: Any, offset: Any, strength: float, n_strengths: int = 1
    ) -> Problem:
        """The problem of the rows, stated with their moments where that is faster."""
        if is_dask(X):
            from gossamer.linear.distributed.estimating import parts_of_dask, problem_of_parts

            self._refuse_parts("a dask collection")
            parts = parts_of_dask(self, X, y, sample_weight, offset)
            return problem_of_parts(self, parts, strength)
        rows = self._rows(X, y, sample_weight, offset)
        if self._prefers_moments(rows, n_strengths):
            return self._problem_of_moments(rows.moments(), strength)
        return self._problem_of_rows(rows, strength)

    def _rows(self, X: Any, y: Any, sample_weight: Any, offset: Any, *, reset: bool = True) -> Rows:
        """The data, checked; ``reset`` forgets the features and the classes seen before."""
        numeric = not self._loss(2).classifies
        try:
            X, y = validate_data(
                self, X, y, accept_sparse="csc", dtype=(np.float64, np.float32), multi_output=True,
                y_numeric=numeric, ensure_min_samples=1, reset=reset,
            )  # fmt: skip
        except ValueError as error:
            if not str(error).startswith("could not convert"):
                raise
            raise ValueError(
                f"X{' and y' if numeric else ''} must be numeric: {error}. Encode text and "
                "categories first, for example with gossamer.TableEncoder."
            ) from error
        y = self._target(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        return Rows(X, y, sample_weight, offset)

    def _needs_rows(self) -> bool:
        """Whether a fit asks more of all rows than the loss does, for a first or a second fit."""
        return False

    def _refuse_parts(self, what: str) -> None:
        """Raise where rows in parts are not enough."""
        if self._needs_rows():
            raise UnsupportedProblem(
                f"{type(self).__name__} needs all rows at once and cannot be fitted to {what}. "
                "Fit it to rows in memory, or use Lasso or SparseModel."
            )

    def _has_moments(self) -> bool:
        """Whether moments are all that the loss asks of the rows."""
        return self._loss(2).is_quadratic

    def _prefers_moments(self, rows: Rows, n_strengths: int) -> bool:
        """Whether the moments of the rows are the faster way to so many solutions."""
        if not isinstance(rows.X, np.ndarray) or not self._has_moments():
            return False
        n_columns = rows.X.shape[1] + rows.y.size // len(rows.y)
        return is_tall(len(rows.y), n_columns, n_strengths)

    def _problem_of_rows(self, rows: Rows, strength: float) -> Problem:
        return Problem(
            rows.X, rows.y, self._loss(self._n_classes()), self._resolved_penalty(strength),
            self.fit_intercept, rows.sample_weight, rows.offset, self.standardise,
        )  # fmt: skip

    def _problem_of_moments(self, moments: Moments, strength: float) -> Problem:
        return moments.problem(
            self._resolved_penalty(strength), fit_intercept=self.fit_intercept,
            standardise=self.standardise,
        )  # fmt: skip

    def _resolved_penalty(self, strength: float) -> Penalty:
        names = getattr(self, "feature_names_in_", None)
        return self._penalty(strength).resolve(None if names is None else list(names))

    def _target(self, y: np.ndarray) -> np.ndarray:
        """The target as the loss takes it; remembers classes and the shape given."""
        loss = self._loss(2)
        several = y.ndim == 2 and y.shape[1] > 1
        if not loss.takes_columns or (isinstance(loss, _AMOUNTS) and not several):
            y = column_or_1d(y, warn=True)
        self._is_column = y.ndim == 2
        if not loss.classifies:
            return y
        check_classification_targets(y)
        encoder = LabelEncoder()
        codes = encoder.fit_transform(y)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class only, {self.classes_.tolist()[0]!r}: a classifier needs samples "
                "of at least two."
            )
        return codes

    def _n_classes(self) -> int:
        return len(getattr(self, "classes_", ())) or 1

    def _keep(self, problem: Problem, coef: np.ndarray, intercept: Any) -> None:
        """Set what a fitted model is: the solution of the problem."""
        self._take(coef, intercept)

    def _take(self, coef: np.ndarray, intercept: Any) -> None:
        """Set ``coef_`` and ``intercept_`` in scikit-learn's shapes."""
        intercept = np.asarray(intercept, dtype=float)
        flat = coef.ndim == 1 and not self._is_column and not self._loss(2).classifies
        self.coef_ = coef if flat else np.atleast_2d(coef.T)
        self.intercept_ = float(intercept) if flat else np.atleast_1d(intercept)

    # -- prediction --------------------------------------------------------------------------------
    def _linear_prediction(self, X: Any, offset: Any = None) -> np.ndarray:
        """(n, K) linear prediction."""
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False)
        z: np.ndarray = X @ np.atleast_2d(self.coef_).T + self.intercept_
        return z if offset is None else z + offsets(offset, z.shape)

    def predict(self, X: Any, offset: Any = None) -> np.ndarray:
        """Predicted targets (n,), or (n, K) where y had K columns; labels for classifiers.

        ``offset`` is added to the linear prediction, as in ``fit``. Of a dask collection they are
        a dask collection, not computed yet.
        """
        if is_dask(X) and offset is None:
            return predicted(self.predict, X)
        z = self._linear_prediction(X, offset)
        loss = self._loss(self._n_classes())
        if loss.classifies:
            chosen = z.argmax(axis=1) if z.shape[1] > 1 else (z[:, 0] > 0).astype(int)
            return self.classes_[chosen]
        mean = loss.mean(z)
        return mean if self._is_column else mean[:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy for classifiers, explained share of the deviance otherwise (R2 for the
        quadratic loss)."""
        loss = self._loss(self._n_classes())
        if loss.classifies:
            return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))
        if loss.is_quadratic:
            return float(r2_score(y, self.predict(X), sample_weight=sample_weight))
        target = loss.encode(y)
        weights = normalised_weights(sample_weight, len(target))
        return explained_share(loss, self._linear_prediction(X), target, weights, None)

    # -- paths -------------------------------------------------------------------------------------
    def path(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        alphas: Any = None,
        n_alphas: int = 100,
        alpha_min_ratio: float = 1e-2,
    ) -> Path:
        """Solutions along decreasing strengths, without fitting this estimator.

        Parameters
        ----------
        alphas : strengths, default None
            By default ``n_alphas`` of them, geometric from the smallest that selects nothing
            down to ``alpha_min_ratio`` times that, ending early where the data are fitted.
        """
        other = self.__class__(**self.get_params(deep=False))
        n_strengths = n_alphas if alphas is None else np.size(alphas)
        problem = other._problem(X, y, sample_weight, offset, 1.0, n_strengths)
        return other._solve_path(problem, alphas, n_alphas, alpha_min_ratio)

    def _solve_path(
        self, problem: Problem, alphas: Any, n_alphas: int, alpha_min_ratio: float,
        on_step: Callable[[int, float, Result], None] | None = None,
    ) -> Path:  # fmt: skip
        given = alphas is not None
        grid = decreasing(alphas) if given else strength_grid(problem, n_alphas, alpha_min_ratio)
        return solve_path(
            problem, grid, solver=self.solver, tol=self.tol, max_iter=self.max_iter,
            stop_saturated=not given, on_step=on_step or self._report,
        )  # fmt: skip

    def _report(self, step: int, alpha: float, result: Result) -> None:
        """A line on standard output about one strength, when ``verbose``."""
        if self.verbose:
            certificate = result.certificate
            print(
                f"{self._step_name} {alpha:.4g}: {len(certificate.support)} units, objective "
                f"{certificate.objective:.6g}, certificate {certificate.value:.1e}, "
                f"{result.n_iter} iterations",
                flush=True,
            )
