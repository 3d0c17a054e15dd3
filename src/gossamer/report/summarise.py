"""A fit and its data as a `FitSummary`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.sum_penalty import SumPenalty
from gossamer.linear.concordance import concordance_index
from gossamer.linear.scores import explained_share
from gossamer.losses import Huber, Quantile, SquareRoot
from gossamer.report.data import Data, Part
from gossamer.report.fitting import Fit
from gossamer.report.losses import words_of
from gossamer.report.metrics import class_metrics, number_metrics
from gossamer.report.options import FitOptions
from gossamer.report.pieces import PENALTY_PARAMETERS
from gossamer.report.summary import Array, FitSummary
from gossamer.report.surviving import survival_curves

_NAMES = {"subset": "best subset", "adaptive": "adaptive L1", "relaxed": "relaxed L1"}
_SHARE = "D²"
_SHAPES = {
    "L1": "|w|",
    "ElasticNet": "(ρ |w| + ½ (1 − ρ) w²)",
    "Lq": "|w|^q",
    "MCP": "MCP(|w|)",
    "SCAD": "SCAD(|w|)",
    "LogSum": "log(1 + |w| / ε)",
    "L0": "([w ≠ 0] + ½ ρ w²)",
}
# formulas of penalties that are no sum over units
_WHOLE = {
    "AtMost": "½ ρ ‖w‖², with at most k features not zero",
    "SLOPE": "α Σ λ_i |w|_(i), the largest coefficient charged the most",
    "Exclusive": "α ½ Σ over groups of (Σ |w|)²",
    "Fused": "α Σ |w_j − w_(j+1)|  +  α ρ Σ |w|",
    "SumPenalty": "α (ρ Σ |w|  +  (1 − ρ) Σ over groups of ‖w‖)",
}
_CRITERIA = {"min": "cv", "1se": "one-standard-error"}


@dataclass(frozen=True, eq=False)
class View:
    """A fit by the columns of the encoded table.

    coef, path : (p,) or (p, K), and (m, p) or (m, p, K), in `unit`s of the feature.
    raw, deviation : coefficients per unit of the table, and the standard deviation of each feature.
    intercept : the prediction at the means where columns are standardised.
    """

    coef: Array
    path: Array
    raw: Array
    deviation: Array
    intercept: Any
    unit: str
    curves: list[Any] = field(default_factory=list)


def view_of(data: Data, fit: Fit, asked: FitOptions) -> View:
    """Coefficients are per standard deviation where columns are standardised, so that their sizes
    can be compared, and the intercept is the prediction at the means."""
    if fit.kind == "additive":
        return _view_of_curves(data, fit)
    assert fit.problem is not None
    return linear_view(fit, fit.problem.design.means, deviations(fit), asked)


def linear_view(fit: Fit, means: Array, deviation: Array, asked: FitOptions) -> View:
    """A fit with one coefficient a column, from the (p,) means and deviations of the columns."""
    per = deviation if asked.standardise else np.ones(len(deviation))
    at = means if asked.standardise else np.zeros(len(per))
    coef, intercept = fit.coef, fit.intercept
    centre = at @ coef
    if hasattr(fit.estimator, "thresholds_"):
        centre = -centre  # thresholds are what the prediction is compared with
    return View(
        coef=_scaled(coef, per, axis=0),
        path=_scaled(fit.path.coefs, per, axis=1),
        raw=coef,
        deviation=deviation,
        intercept=intercept + centre if np.size(intercept) else intercept,
        unit="standard deviation" if asked.standardise else "unit",
    )


def _view_of_curves(data: Data, fit: Fit) -> View:
    """Each feature by the standard deviation of what its curve adds to the prediction."""
    model = fit.estimator
    assert fit.problem is not None
    basis, weights = model.basis_.transform(data.train.X), fit.problem.sample_weight
    features, p = model.basis_.features_, data.train.X.shape[1]

    def sizes(coefs: Array) -> Array:
        found = np.zeros((coefs.shape[0], p, *coefs.shape[2:]))
        for j in range(p):
            own = features == j
            columns = basis[:, own] - weights @ basis[:, own]
            gram = columns.T @ (weights[:, None] * columns)
            squares = np.einsum("ma...,ab,mb...->m...", coefs[:, own], gram, coefs[:, own])
            found[:, j] = np.sqrt(np.maximum(squares, 0.0))
        return found

    names = data.feature_names
    curves = [
        replace(curve, name=name)
        for curve, name in zip(model.shape_functions(), names, strict=True)
    ]
    coef = sizes(fit.coef[None])[0]
    return View(coef, sizes(fit.path.coefs), coef, np.ones(p), fit.intercept, "curve", curves)


def deviations(fit: Fit) -> Array:
    """(p,) standard deviation of each feature; one where it is constant."""
    assert fit.problem is not None
    scale = fit.problem.design.scale
    if scale is not None:
        return scale
    weights = fit.problem.sample_weight
    X = np.asarray(fit.problem.X)
    spread = np.sqrt(np.maximum(weights @ (X - weights @ X) ** 2, 0.0))
    return np.where(spread > 0, spread, 1.0)


def summarise(
    data: Data, fit: Fit, view: View, asked: FitOptions, found: Mapping[str, Any]
) -> FitSummary:
    """All that the report and the terminal say about a fit, but for dates and versions.

    Parameters
    ----------
    found : fields about predictions, as of `judged`
    """
    loss = type(data.loss).__name__
    words, cv = words_of(loss), fit.cv
    score, factor = words.score, words.factor
    if cv is not None and not cv.folds.size:
        score, factor = cv.score_name, 1.0
    return FitSummary(
        title=data.title,
        task=words.task,
        n_train=len(data.train.y),
        n_test=len(data.test.y),
        n_features=len(view.deviation),
        target=data.target if asked.event is None else f"{data.target} to {asked.event}",
        loss=_loss_words(data.loss),
        loss_why=data.loss_why,
        penalty=_penalty_words(fit, asked),
        objective=f"mean of {words.formula}  +  {_formula(fit)}",
        feature_names=data.feature_names,
        feature_unit=view.unit,
        effect=words.effect,
        classes=None if data.classes is None else [str(label) for label in data.classes],
        alphas=fit.path.alphas,
        path_coefs=view.path,
        path_nonzero=_n_nonzero(view.path),
        path_certificates=np.array([c.value for c in fit.path.certificates]),
        criterion=_criterion(fit, asked),
        cv_mean=None if cv is None else factor * cv.mean,
        cv_se=factor * cv.se if cv is not None and cv.folds.size else None,
        cv_score_name=score,
        index_min=fit.index if cv is None else cv.index_min,
        index_selected=fit.index,
        coef=view.coef,
        intercept=view.intercept,
        intercept_names=_thresholds(fit),
        curves=view.curves,
        certificate=fit.certificate.to_dict(),
        n_iter=fit.n_iter,
        seconds=0.0,
        command=asked.command,
        seed=asked.seed,
        **found,
    )


def _criterion(fit: Fit, asked: FitOptions) -> str:
    """How the level was chosen, as `FitSummary` names it."""
    if fit.cv is None:
        return "theory" if fit.kind == "theory" else "given"
    return _CRITERIA.get(asked.selection, asked.selection)


def _loss_words(loss: Loss) -> str:
    """Its name, and what was asked of it; what followed from the target is said elsewhere."""
    own = [] if isinstance(loss, Huber) else loss.parameters.items()
    given = ", ".join(
        f"{name} = {value:.3g}" if isinstance(value, float) else f"{name}: {value}"
        for name, value in own
    )
    return type(loss).__name__ + (f" ({given})" if given else "")


def _thresholds(fit: Fit) -> list[str] | None:
    """Names of the bounds between ordered classes."""
    if not hasattr(fit.estimator, "thresholds_"):
        return None
    labels = [str(label) for label in fit.estimator.classes_]
    return [f"{low} | {high}" for low, high in pairwise(labels)]


def _n_nonzero(path: Array) -> Array:
    alive = path != 0
    return np.asarray((alive if alive.ndim == 2 else alive.any(axis=2)).sum(axis=1))


def _formula(fit: Fit) -> str:
    kind = type(fit.penalty).__name__
    if fit.kind == "additive":
        return "α Σ over features of the size of their curves"
    if fit.kind == "adaptive":
        return "α Σ |w| / |first w|"
    return _WHOLE.get(kind, f"α Σ {_SHAPES.get(kind, kind)}")


def _scaled(coefs: Array, per: Array, axis: int) -> Array:
    """Coefficients times the unit of their feature, which runs along `axis`."""
    shape = [1] * coefs.ndim
    shape[axis] = len(per)
    return np.asarray(coefs * per.reshape(shape))


def _penalty_words(fit: Fit, asked: FitOptions) -> str:
    penalty = fit.penalty
    if fit.kind == "additive":
        return f"{asked.penalty} on the curve of each feature, parts {asked.curves}"
    structure = getattr(penalty, "on", None)
    n_groups = len(getattr(structure, "names", ()))
    what = f"{n_groups:,} groups (weight: root of size)" if n_groups else "single features"
    names = [n for n in PENALTY_PARAMETERS if n != "sparsity" and getattr(penalty, n, None)]
    if isinstance(penalty, SumPenalty):
        return f"sparse group lasso (l1_ratio = {penalty.inner.strength / penalty.strength:.3g})"
    given = ", ".join(f"{name} = {getattr(penalty, name):.3g}" for name in names)
    units = "standardised" if asked.standardise else "not standardised"
    kind = _NAMES.get(fit.kind, type(penalty).__name__) + (f" ({given})" if given else "")
    return f"{kind} on {what}, {units}"


def judged(data: Data, fit: Fit) -> dict[str, Any]:
    """Predictions and metrics of the training and of the test rows."""
    train, train_metrics = _predicted(data, fit, data.train)
    facts: dict[str, Any] = {f"{name}_train": values for name, values in train.items()}
    test_metrics: dict[str, float] = {}
    last, where = data.train, "training"
    if len(data.test.y):
        last, where = data.test, "test"
        test, test_metrics = _predicted(data, fit, data.test)
        facts |= {f"{name}_test": values for name, values in test.items()}
    words = words_of(type(data.loss).__name__)
    if (share := (test_metrics or train_metrics).get(_SHARE)) is not None:
        facts["explained"] = (share, words.share, f"the {where} set")
    if words.task == "survival":
        facts["survival"] = survival_curves(fit.estimator, last.X, last.y, last.offset, data.strata)
    facts["metrics"] = {
        name: (value, test_metrics.get(name)) for name, value in train_metrics.items()
    }
    return facts


def _predicted(data: Data, fit: Fit, part: Part) -> tuple[dict[str, Any], dict[str, float]]:
    y, predicted = data.codes(part.y), fit.estimator.predict(part.X, offset=part.offset)
    task = words_of(type(data.loss).__name__).task
    if task == "survival":
        metrics = {"concordance": concordance_index(part.y, predicted)}
        return {"y": y, "prediction": predicted}, metrics
    if data.classes is None:
        squares = data.loss.is_quadratic or isinstance(data.loss, SquareRoot)
        share = None if squares else _share(data, fit, part)
        found = {"y": y, "prediction": predicted}
        metrics = number_metrics(y, predicted, counts=task == "counts", share=share)
        if isinstance(data.loss, Quantile):
            metrics["at or below"] = float(np.mean(y <= predicted))
        return found, metrics
    codes = data.codes(predicted)
    found = {"y": y, "prediction": codes}
    if not data.loss.is_likelihood:
        return found, {"accuracy": float((y == codes).mean())}
    chance = fit.estimator.predict_proba(part.X, offset=part.offset)
    return found | {"probability": chance}, class_metrics(y, codes, chance)


def _share(data: Data, fit: Fit, part: Part) -> float:
    """Of the loss, explained by the predictions."""
    z = fit.estimator._linear_prediction(part.X, part.offset)
    n = len(part.y)
    offset = None if part.offset is None else part.offset[:, None]
    target = data.loss.encode(part.y)
    return explained_share(data.loss, z, target, np.full(n, 1 / n), offset)
