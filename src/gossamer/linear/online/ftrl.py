"""Sparse models of streams: follow the regularised leader."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from gossamer.core.certificate import certify
from gossamer.core.loss import Loss
from gossamer.core.penalty import Penalty
from gossamer.core.point import Point
from gossamer.core.problem import Problem
from gossamer.core.registry import LOSSES
from gossamer.core.result import Certificate
from gossamer.core.unit_form import UnitForm
from gossamer.core.validation import finite_number
from gossamer.kernels import bind, ftrl
from gossamer.losses import Logistic, Poisson, Quadratic
from gossamer.penalties import L1

# losses whose derivative the compiled loop knows
_SLOPES = {
    Quadratic: ftrl.quadratic_slope,
    Logistic: ftrl.logistic_slope,
    Poisson: ftrl.poisson_slope,
}


def _classifies(model: FTRL) -> bool:
    return model._loss().classifies


def _has_probabilities(model: FTRL) -> bool:
    return model._loss().classifies and model._loss().is_likelihood


@dataclass(eq=False, repr=False)
class FTRL(BaseEstimator):
    r"""A sparse model of a stream: follow the (proximal) regularised leader.

    After t rows with gradients :math:`g_1, \ldots, g_t`,

    .. math:: w_{t+1} = \arg\min_w \sum_{s \le t} g_s^\top w + t\, \Omega(w)
        + \frac12 \sum_{s \le t} \sum_j \sigma_{sj} (w_j - w_{sj})^2, \qquad
        \sum_{s \le t} \sigma_{sj} = \frac{\beta + \sqrt{\sum_s g_{sj}^2}}{\text{learning rate}}

    so that weights are exactly zero on the way, and the stream tends to the optimum of the mean
    loss plus :math:`\Omega`, the ``Problem`` of the batch estimators. Rows of sparse X cost their
    entries only where the penalty is on elements and the loss quadratic, logistic or Poisson; any
    other pair costs all p coefficients a row. Penalties on groups have one step for all features.

    Parameters
    ----------
    loss : Loss or name, default "quadratic"
        Any smooth loss of one output; a classifier where it takes labels.
    penalty : Penalty, default L1(0.01)
    learning_rate : float > 0, default 0.5
    beta : float > 0, default 1.0
        Delays the first steps.
    fit_intercept : bool, default True
    n_passes : int, default 1
        Passes of ``fit`` over the rows.
    random_state : int, RandomState or None, default None
        Order of the rows in ``fit``; ``partial_fit`` takes them as they come.

    Attributes
    ----------
    coef_ : (p,), for classifiers (1, p)
    intercept_ : float, for classifiers (1,)
    classes_ : (2,) for classifiers
    cumulative_loss_ : float
        Sum of the losses of all rows, each predicted before it was learned.
    n_seen_ : float
        Rows so far, or their weights.

    Notes
    -----
    Features should be of one scale, for a stream has no second look. Every call costs p besides its
    rows: hand over several at a time.

    References
    ----------
    McMahan et al. (2013), Ad click prediction: a view from the trenches. There the penalty counts
    once, not once a row.
    Xiao (2010), Dual averaging methods for regularized stochastic learning and online optimization.

    Examples
    --------
    >>> import numpy as np, gossamer as gs
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((4000, 30)); y = X[:, 0] - X[:, 1] + rng.standard_normal(4000)
    >>> stream = gs.FTRL(penalty=gs.L1(0.1))
    >>> for rows in np.array_split(np.arange(4000), 10):
    ...     stream = stream.partial_fit(X[rows], y[rows])
    >>> np.flatnonzero(stream.coef_)
    array([0, 1])
    >>> bool(stream.certificate(X, y).value < 0.2)
    True
    """

    loss: Any = "quadratic"
    penalty: Penalty | None = None
    learning_rate: float = field(default=0.5, kw_only=True)
    beta: float = field(default=1.0, kw_only=True)
    fit_intercept: bool = field(default=True, kw_only=True)
    n_passes: int = field(default=1, kw_only=True)
    random_state: Any = field(default=None, kw_only=True)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        tags.target_tags.positive_only = isinstance(self._loss(), Poisson)
        if self._loss().classifies:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags(multi_class=False)
        else:
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
        return tags

    # -- learning ----------------------------------------------------------------------------------
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Forget what was seen, and pass over X (n, p) and y (n,)."""
        if not isinstance(self.n_passes, Integral) or self.n_passes < 1:
            raise ValueError(f"n_passes must be a whole number >= 1, got {self.n_passes!r}.")
        X, y, weight = self._rows(X, y, sample_weight, first=True, classes=None)
        orders = check_random_state(self.random_state)
        for _ in range(self.n_passes):
            self._learn(X, y, weight, orders.permutation(len(y)))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn more rows, in order; ``classes``: both labels, where the first rows lack one."""
        first = not hasattr(self, "n_seen_")
        X, y, weight = self._rows(X, y, sample_weight, first=first, classes=classes)
        self._learn(X, y, weight, np.arange(len(y)))
        return self

    def certificate(self, X: Any, y: Any) -> Certificate:
        """How far the coefficients are from the optimum on X and y as a batch.

        With the intercept that is best for them, without which there is no dual point.
        """
        check_is_fitted(self, "coef_")
        y = np.searchsorted(self.classes_, y) if self._loss().classifies else y
        problem = Problem(X, y, self._loss(), self._penalty(), self.fit_intercept)
        start = problem.point(np.ravel(self.coef_), self.intercept_)
        best = problem.best_intercept(problem.design.matvec(start.w), start.b)
        return certify(problem, Point(problem, start.w, best), 1e-6).certificate

    # -- prediction --------------------------------------------------------------------------------
    def _linear_prediction(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        return np.asarray(X @ np.ravel(self.coef_) + np.ravel(self.intercept_)[0])

    def predict(self, X: Any) -> np.ndarray:
        """(n,) expected targets, or labels."""
        z = self._linear_prediction(X)
        if self._loss().classifies:
            return np.asarray(self.classes_[(z > 0).astype(int)])
        return self._loss().mean(z[:, None])[:, 0]

    @available_if(_classifies)
    def decision_function(self, X: Any) -> np.ndarray:
        """(n,) linear predictions."""
        return self._linear_prediction(X)

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> np.ndarray:
        """(n, 2) class probabilities, in the order of ``classes_``."""
        chance = self._loss().mean(self._linear_prediction(X)[:, None])
        return np.hstack([1 - chance, chance])

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy for classifiers, R2 otherwise."""
        judge = accuracy_score if self._loss().classifies else r2_score
        return float(judge(y, self.predict(X), sample_weight=sample_weight))

    # -- inside ------------------------------------------------------------------------------------
    def _loss(self) -> Loss:
        loss = LOSSES[self.loss]() if isinstance(self.loss, str) else self.loss
        if not isinstance(loss, Loss):
            raise TypeError(f"loss must be a name or a Loss, losses.Huber(), got {loss!r}.")
        if not loss.is_smooth or loss.joint or loss.coupled:
            raise ValueError(
                f"loss {loss!r} has kinks, several outputs, or samples that interact: a stream "
                "takes smooth losses of one output, row by row."
            )
        return loss

    def _penalty(self) -> Penalty:
        penalty = L1(0.01) if self.penalty is None else self.penalty
        if not isinstance(penalty, Penalty):
            raise TypeError(f"penalty must be a Penalty such as L1(0.01), got {penalty!r}.")
        names = getattr(self, "feature_names_in_", None)
        return penalty.resolve(None if names is None else list(names))

    def _rows(
        self, X: Any, y: Any, sample_weight: Any, *, first: bool, classes: Any
    ) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
        for name in ("learning_rate", "beta"):
            if finite_number(getattr(self, name), name, 0.0) == 0:
                raise ValueError(f"{name} must be > 0, got 0.")
        loss = self._loss()
        X, y = validate_data(
            self, X, y, accept_sparse="csr", dtype=np.float64, reset=first,
            y_numeric=not loss.classifies,
        )  # fmt: skip
        if loss.classifies:
            y = self._codes(y, first, classes)
        weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        X = sparse.csr_array(X)
        if first:
            self._pull, self._squares = np.zeros(X.shape[1] + 1), np.zeros(X.shape[1] + 1)
            self.n_seen_ = self.cumulative_loss_ = 0.0
        target = y.astype(float)[:, None] if isinstance(loss, Poisson) else loss.encode(y)
        return X, target, np.ascontiguousarray(weight)

    def _codes(self, y: np.ndarray, first: bool, classes: Any) -> np.ndarray:
        check_classification_targets(y)
        if first:
            self.classes_ = np.unique(y if classes is None else classes)
            if len(self.classes_) != 2:
                remedy = ", or name both in classes=" if len(self.classes_) == 1 else ""
                raise ValueError(
                    "Only binary classification is supported. The type of the target is one of "
                    f"{len(self.classes_)} class{'' if len(self.classes_) == 1 else 'es'}: give "
                    f"samples of two{remedy}."
                )
        if unknown := sorted(set(np.unique(y).tolist()) - set(self.classes_.tolist())):
            raise ValueError(f"y has labels {unknown} that are not in classes_ {self.classes_}.")
        return np.searchsorted(self.classes_, y)

    def _learn(
        self, X: sparse.csr_array, y: np.ndarray, weight: np.ndarray, order: np.ndarray
    ) -> None:
        loss, penalty = self._loss(), self._penalty()
        form = penalty.unit_form((X.shape[1], 1))
        predicted = np.zeros(len(y))
        plain = form is not None and form.elementwise and form.inner is None
        if plain and type(loss) in _SLOPES:
            self._learn_compiled(X, y, weight, order, loss, form, predicted)
        else:
            self._learn_any(X, y, weight, order, loss, penalty, form, predicted)
        if not np.isfinite(self._pull).all():
            raise ValueError(
                "the stream grew without bound: use a smaller learning_rate, or scale the features."
            )
        self.cumulative_loss_ += float(weight @ loss.value(predicted[:, None], y))
        w = self._weights(penalty, form)
        b = self._intercept()
        self.coef_ = w[None] if loss.classifies else w
        self.intercept_ = np.array([b]) if loss.classifies else b

    def _learn_compiled(
        self, X: sparse.csr_array, y: np.ndarray, weight: np.ndarray, order: np.ndarray,
        loss: Loss, form: Any, predicted: np.ndarray,
    ) -> None:  # fmt: skip
        run = bind(ftrl.ftrl_rows, slope=_SLOPES[type(loss)], prox=form.prox)
        self.n_seen_ = run(
            X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64),
            np.ascontiguousarray(y[:, 0]), weight, order, self._pull, self._squares,
            float(self.n_seen_), float(self.learning_rate), float(self.beta),
            np.ascontiguousarray(form.weights, dtype=float), form.nonnegative, form.par,
            float(self.fit_intercept), np.zeros_like(self._pull), predicted,
        )  # fmt: skip

    def _learn_any(
        self, X: sparse.csr_array, y: np.ndarray, weight: np.ndarray, order: np.ndarray,
        loss: Loss, penalty: Penalty, form: UnitForm | None, predicted: np.ndarray,
    ) -> None:  # fmt: skip
        for i in order:
            row = slice(X.indptr[i], X.indptr[i + 1])
            w = np.append(self._weights(penalty, form), self._intercept())
            at = np.append(X.indices[row], X.shape[1])
            x = np.append(X.data[row], float(self.fit_intercept))
            predicted[i] = x @ w[at]
            derivative = weight[i] * loss.gradient(predicted[None, [i]], y[[i]])[0, 0]
            gradient = np.zeros_like(w)
            gradient[at] = derivative * x
            before = self._scales(form)
            self._squares += gradient**2
            self._pull += gradient - (self._scales(form) - before) * w
            self.n_seen_ += float(weight[i])

    def _scales(self, form: UnitForm | None) -> np.ndarray:
        """(p + 1,) one over the step of each coefficient, the intercept's last."""
        squares = self._squares.copy()
        if form is None or not form.elementwise:
            squares[:-1] = squares[:-1].sum()
        return np.asarray((self.beta + np.sqrt(squares)) / self.learning_rate)

    def _weights(self, penalty: Penalty, form: UnitForm | None) -> np.ndarray:
        """(p,) the leader: zero gradient of the sums, penalty included."""
        scales = self._scales(form)[:-1]
        v = (-self._pull[:-1] / scales)[:, None]
        if not self.n_seen_:
            return v[:, 0]
        step = self.n_seen_ / scales
        elementwise = form is not None and form.elementwise
        return np.asarray(penalty.prox(v, step if elementwise else float(step[0]))[:, 0])

    def _intercept(self) -> float:
        scale = (self.beta + np.sqrt(self._squares[-1])) / self.learning_rate
        return float(-self._pull[-1] / scale) if self.fit_intercept else 0.0
