"""`FitSummary`: all that a report says about one fit, as plain arrays and strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SurvivalCurves:
    """Predicted and observed survival of groups of equal size, by their risk.

    times : (m,)
    labels : names of the groups, the lowest risk first.
    predicted, observed : (G, m) mean of the predicted curves; Kaplan and Meier's estimate.
    hazard_times, hazard : for each stratum the steps of the cumulative baseline hazard.
    strata : names of the strata; one empty name without.
    """

    times: Array
    labels: Sequence[str]
    predicted: Array
    observed: Array
    hazard_times: Sequence[Array]
    hazard: Sequence[Array]
    strata: Sequence[str]


@dataclass(frozen=True, eq=False)
class Finding:
    """What one method of inference says, in plain arrays and sentences.

    method, title : "knockoffs", and the name for a heading.
    headline, brief : what was found, in one sentence, and its promise in a few words.
    promise : what is guaranteed, and under which conditions.
    limits : what is not.
    selected : names of the features found.
    columns : a table by column, its first column the features.
    data : arrays of the picture.
    """

    method: str
    title: str
    headline: str
    brief: str
    promise: str
    limits: str
    selected: Sequence[str]
    columns: Mapping[str, Sequence[Any]]
    data: Mapping[str, Any] = field(default_factory=dict)


_CERTIFICATE = (
    "value", "kind", "gap", "violation", "objective", "null_objective", "tol", "holds"
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class FitSummary:
    """One fit from data to predictions: what `write_report` and `print_summary` show.

    Parameters
    ----------
    title : str
        Usually the name of the table.
    command : sequence of str
        The command line that reproduces the fit, one item an argument.
    versions : mapping of str to str
        Package name to version.
    seed : int or None
    created : str
        Date of the fit, as it shall be shown; empty to show none.
    task : {"classification", "regression", "counts", "survival"}
    n_train, n_test, n_features : int
        `n_test` is 0 where no test set was held out.
    target : str
    loss, loss_why : str
        Name of the loss, and why it was picked ("y holds 4 classes").
    penalty, objective : str
        The penalty in words, and the minimised formula.
    feature_names : sequence of str, length p
    feature_unit : str
        What a coefficient counts by: "unit", or "standard deviation" of its feature.
    classes : sequence of str or None
        Class names; `None` unless `task` is "classification". `y_*` and `prediction_*` are then
        codes 0 ... K-1 into them.
    alphas : (m,) array
        Decreasing strengths of the path; or of best subsets the numbers of features, from zero up.
    path_coefs : (m, p) array or scipy sparse matrix, or (m, p, K) array
    path_nonzero : (m,) array of int
        Number of features in the model along the path.
    path_certificates : (m,) array
        Certificate values along the path.
    criterion : {"cv", "one-standard-error", "given", "aic", "bic", "ebic", "gic", "gcv"}
    cv_mean : (m,) array or None
        Mean over folds of a score of which less is better, or the information criterion.
    cv_se : (m,) array or None
        Standard errors of `cv_mean`.
    cv_score_name : str
    index_min, index_selected : int
        Positions in `alphas` of the smallest `cv_mean` and of the final model.
    coef : (p,) or (p, K) array
    intercept : float or (K,) array
        Empty where the model has none.
    intercept_names : sequence of str or None
        Of several that are not one a class, such as thresholds between ordered classes.
    certificate : mapping
        What `gossamer.Certificate.to_dict` returns: value, kind, gap, violation, objective,
        null_objective, tol and holds.
    n_iter : int
    seconds : float
    stability : (p,) array or None
        Share of resamples, in [0, 1], in which a feature was selected.
    n_resamples : int
    y_train, prediction_train : (n_train,) arrays
    y_test, prediction_test : (n_test,) arrays or None
    probability_train, probability_test : (n, K) arrays or None
        Class probabilities.
    metrics : mapping of str to (train, test or None)
        Empty where the rows were not at hand.
    explained : (share, of what, where) or None
        Share of the loss that predictions explain, "variance" say, and on which rows; by default it
        is computed from the judged set.
    effect : str
        What a coefficient changes.
    curves : list of ShapeFunction
        Of an additive model; `coef` then has the sizes of the curves.
    survival : SurvivalCurves or None
    findings : sequence of Finding
        What inference says about the features.
    notes : sequence of str
        Warnings that the user was given.
    """

    title: str
    task: Literal["classification", "regression", "counts", "survival"]
    n_train: int
    n_features: int
    target: str
    loss: str
    penalty: str
    feature_names: Sequence[str]
    alphas: Array
    path_coefs: Any
    path_nonzero: Array
    path_certificates: Array
    criterion: str
    index_min: int
    index_selected: int
    coef: Array
    intercept: Array | float
    certificate: Mapping[str, Any]
    n_iter: int
    seconds: float
    y_train: Array | None
    prediction_train: Array | None
    n_test: int = 0
    loss_why: str = ""
    objective: str = ""
    feature_unit: str = "unit"
    classes: Sequence[str] | None = None
    cv_mean: Array | None = None
    cv_se: Array | None = None
    cv_score_name: str = "score"
    stability: Array | None = None
    n_resamples: int = 0
    y_test: Array | None = None
    prediction_test: Array | None = None
    probability_train: Array | None = None
    probability_test: Array | None = None
    metrics: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    intercept_names: Sequence[str] | None = None
    explained: tuple[float, str, str] | None = None
    effect: str = "the linear prediction"
    curves: Sequence[Any] = ()
    survival: SurvivalCurves | None = None
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()
    command: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    created: str = ""

    def __post_init__(self) -> None:
        if (self.task == "classification") != (self.classes is not None):
            raise ValueError(
                f"task is {self.task!r} and classes is {self.classes!r}; give classes for a "
                "classification and only there."
            )
        if missing := [name for name in _CERTIFICATE if name not in self.certificate]:
            raise ValueError(
                f"certificate lacks {', '.join(missing)}; pass result.certificate.to_dict()."
            )
        m, p = len(self.alphas), self.n_features
        lengths = {
            "feature_names": (len(self.feature_names), p),
            "coef": (len(self.coef), p),
            "path_coefs": (self.path_coefs.shape[0], m),
            "path_nonzero": (len(self.path_nonzero), m),
            "path_certificates": (len(self.path_certificates), m),
            "cv_mean": (_length(self.cv_mean, m), m),
            "cv_se": (_length(self.cv_se, m), m),
            "stability": (_length(self.stability, p), p),
            "y_train": (_length(self.y_train, self.n_train), self.n_train),
            "prediction_train": (_length(self.prediction_train, self.n_train), self.n_train),
            "y_test": (_length(self.y_test, 0), self.n_test),
            "prediction_test": (_length(self.prediction_test, 0), self.n_test),
        }
        for name, (given, wanted) in lengths.items():
            if given != wanted:
                raise ValueError(f"{name} has length {given}; the other fields call for {wanted}.")

    @property
    def sizes(self) -> Array:
        """(p,) size of each feature in the final model: its norm over the classes."""
        coef = np.asarray(self.coef)
        return np.asarray(np.abs(coef) if coef.ndim == 1 else np.linalg.norm(coef, axis=1))

    @property
    def selected(self) -> Array:
        """Indices of the features in the final model, largest first."""
        sizes = self.sizes
        inside = np.flatnonzero(sizes)
        return inside[np.argsort(-sizes[inside], kind="stable")]

    @property
    def is_budget(self) -> bool:
        """Whether the path runs over numbers of features, not over strengths."""
        return bool(self.alphas[0] == 0)

    @property
    def has_rows(self) -> bool:
        """Whether predictions of single rows are at hand."""
        return self.y_train is not None

    @property
    def judged_on(self) -> Literal["test", "training"]:
        """The set that quality is read from: the test set, or the training set without one."""
        return "test" if self.n_test else "training"

    @property
    def judged(self) -> tuple[Array, Array, Array | None]:
        """True values, predictions and class probabilities (or None) of the judged set."""
        if self.y_test is not None and self.prediction_test is not None and self.n_test:
            return self.y_test, self.prediction_test, self.probability_test
        if self.y_train is None or self.prediction_train is None:
            raise ValueError("the rows are not at hand: there are no predictions of single rows.")
        return self.y_train, self.prediction_train, self.probability_train


def _length(values: Array | None, otherwise: int) -> int:
    return otherwise if values is None else len(values)
