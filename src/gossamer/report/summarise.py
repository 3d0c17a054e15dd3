"""A fit and its data as a `FitSummary`."""

from __future__ import annotations

from typing import Any

import numpy as np

from gossamer.linear.inference.resampling import Stability
from gossamer.report.data import Data, Part
from gossamer.report.fitting import Fit
from gossamer.report.metrics import class_metrics, number_metrics
from gossamer.report.options import FitOptions
from gossamer.report.summary import Array, FitSummary

# cross-validated loss as statisticians know it: its name, and the factor on the loss
_SCORES = {
    "Quadratic": ("mean squared error", 2.0),
    "Logistic": ("log loss", 1.0),
    "Multinomial": ("log loss", 1.0),
    "Poisson": ("Poisson deviance", 2.0),
    "Huber": ("Huber loss", 1.0),
}
_LOSSES = {
    "Quadratic": "½ (z − y)²",
    "Logistic": "log(1 + exp z) − y z",
    "Multinomial": "log Σ exp z_k − z_y",
    "Poisson": "exp z − y z",
    "Huber": "huber(z − y)",
}
_SHAPES = {
    "L1": "|w|",
    "ElasticNet": "(ρ |w| + ½ (1 − ρ) w²)",
    "Lq": "|w|^q",
    "MCP": "MCP(|w|)",
    "SCAD": "SCAD(|w|)",
    "LogSum": "log(1 + |w| / ε)",
    "L0": "([w ≠ 0] + ½ ρ w²)",
}
_CRITERIA = {"min": "cv", "1se": "one-standard-error"}


def deviations(fit: Fit) -> Array:
    """(p,) standard deviation of each feature; one where it is constant."""
    scale = fit.problem.design.scale
    if scale is not None:
        return scale
    weights = fit.problem.sample_weight
    X = np.asarray(fit.problem.X)
    spread = np.sqrt(np.maximum(weights @ (X - weights @ X) ** 2, 0.0))
    return np.where(spread > 0, spread, 1.0)


def summarise(data: Data, fit: Fit, stable: Stability | None, asked: FitOptions) -> FitSummary:
    """All that the report and the terminal say about a fit, but for dates and versions.

    Where columns are standardised, coefficients are per standard deviation, so that their sizes
    can be compared, and the intercept is the prediction at the means.
    """
    per = deviations(fit) if asked.standardise else np.ones(fit.problem.X.shape[1])
    at = fit.problem.design.means if asked.standardise else np.zeros(len(per))
    coef, intercept = fit.start
    loss = type(data.loss).__name__
    score, factor = _SCORES.get(loss, (loss.lower() + " loss", 1.0))
    cv = fit.cv
    if cv is not None and not cv.folds.size:
        score, factor = cv.score_name, 1.0
    penalty = fit.problem.penalty
    unit = "standard deviation" if asked.standardise else "unit"
    return FitSummary(
        title=data.title,
        task=_task(data),
        n_train=len(data.train.y),
        n_test=len(data.test.y),
        n_features=len(per),
        target=data.target,
        loss=loss,
        loss_why=data.loss_why,
        penalty=_penalty_words(fit, asked),
        objective=f"mean of {_LOSSES.get(loss, loss)}  +  α Σ {_shape(type(penalty).__name__)}",
        feature_names=data.feature_names,
        feature_unit=unit,
        classes=None if data.classes is None else [str(label) for label in data.classes],
        alphas=fit.path.alphas,
        path_coefs=_scaled(fit.path.coefs, per, axis=1),
        path_nonzero=fit.path.n_nonzero,
        path_certificates=np.array([c.value for c in fit.path.certificates]),
        criterion="given" if cv is None else _CRITERIA.get(asked.selection, asked.selection),
        cv_mean=None if cv is None else factor * cv.mean,
        cv_se=factor * cv.se if cv is not None and cv.folds.size else None,
        cv_score_name=score,
        index_min=fit.index if cv is None else cv.index_min,
        index_selected=fit.index,
        coef=_scaled(np.asarray(coef), per, axis=0),
        intercept=intercept + at @ coef,
        certificate=fit.certificate.to_dict(),
        n_iter=fit.n_iter,
        seconds=0.0,
        stability=stable.frequency if stable is not None and stable.n_resamples else None,
        n_resamples=0 if stable is None else stable.n_resamples,
        command=asked.command,
        seed=asked.seed,
        **_judged(data, fit),
    )


def _task(data: Data) -> Any:
    if data.loss.classifies:
        return "classification"
    return "counts" if type(data.loss).__name__ == "Poisson" else "regression"


def _shape(kind: str) -> str:
    return _SHAPES.get(kind, kind)


def _scaled(coefs: Array, per: Array, axis: int) -> Array:
    """Coefficients times the unit of their feature, which runs along `axis`."""
    shape = [1] * coefs.ndim
    shape[axis] = len(per)
    return np.asarray(coefs * per.reshape(shape))


def _penalty_words(fit: Fit, asked: FitOptions) -> str:
    penalty = fit.problem.penalty
    structure = getattr(penalty, "on", None)
    n_groups = len(getattr(structure, "names", ()))
    what = f"{n_groups:,} groups (weight: root of size)" if n_groups else "single features"
    names = [n for n in ("l1_ratio", "gamma", "q", "epsilon") if hasattr(penalty, n)]
    given = ", ".join(f"{name} = {getattr(penalty, name):.3g}" for name in names)
    units = "standardised" if asked.standardise else "not standardised"
    kind = type(penalty).__name__ + (f" ({given})" if given else "")
    return f"{kind} on {what}, {units}"


def _judged(data: Data, fit: Fit) -> dict[str, Any]:
    """Predictions and metrics of the training and of the test rows."""
    train, train_metrics = _predicted(data, fit, data.train)
    facts: dict[str, Any] = {f"{name}_train": values for name, values in train.items()}
    test_metrics: dict[str, float] = {}
    if len(data.test.y):
        test, test_metrics = _predicted(data, fit, data.test)
        facts |= {f"{name}_test": values for name, values in test.items()}
    facts["metrics"] = {
        name: (value, test_metrics.get(name)) for name, value in train_metrics.items()
    }
    return facts


def _predicted(data: Data, fit: Fit, part: Part) -> tuple[dict[str, Any], dict[str, float]]:
    y, predicted = data.codes(part.y), fit.estimator.predict(part.X, offset=part.offset)
    if data.classes is None:
        counts = _task(data) == "counts"
        found = {"y": y, "prediction": predicted}
        return found, number_metrics(y, predicted, counts=counts)
    codes = data.codes(predicted)
    chance = fit.estimator.predict_proba(part.X, offset=part.offset)
    found = {"y": y, "prediction": codes, "probability": chance}
    return found, class_metrics(y, codes, chance)
