"""What a fit means, in sentences: shared by the HTML report and the terminal."""

from __future__ import annotations

import numpy as np

from gossamer.report.summary import Array, FitSummary
from gossamer.report.text import counted, number

CRITERIA = {
    "cv": "smallest cross-validated {score}",
    "one-standard-error": "strongest penalty within one standard error of the smallest "
    "cross-validated {score}",
    "aic": "smallest Akaike information criterion (AIC)",
    "bic": "smallest Bayesian information criterion (BIC)",
    "given": "strength asked for",
    "theory": "strength that noise alone rarely exceeds, however large it is",
    "ebic": "smallest extended Bayesian information criterion (EBIC)",
    "gic": "smallest generalised information criterion (GIC)",
    "gcv": "smallest generalised cross-validation score (GCV)",
}
# the same of best subsets
BUDGETS = {
    "one-standard-error": "fewest features within one standard error of the smallest "
    "cross-validated {score}",
    "given": "asked for",
}

_SEARCHED = ("global", "global in the box")
_BOX = (
    " The proof is among coefficients of at most twice the largest of the subset found first, "
    "counted per standard deviation: with more features than samples nothing else can be proved."
)


def criterion(summary: FitSummary) -> str:
    """How the strength, or the number of features, was picked."""
    text = CRITERIA.get(summary.criterion, summary.criterion)
    if summary.is_budget:
        text = BUDGETS.get(summary.criterion, text)
    return text.format(score=summary.cv_score_name)


def level(summary: FitSummary, digits: int = 4) -> str:
    """The strength, or the number of features, that was picked."""
    value = float(summary.alphas[summary.index_selected])
    if summary.is_budget:
        return f"at most {counted(int(value), 'feature')}"
    return f"α = {number(value, digits)}"


def headline(summary: FitSummary) -> str:
    """What was found, in one sentence."""
    n_selected = summary.selected.size
    if not n_selected:
        return (
            f"None of {counted(summary.n_features, 'feature')} was selected: by this criterion, "
            f"nothing here predicts {summary.target} better than a constant does."
        )
    predict = "predicts" if n_selected == 1 else "predict"
    return (
        f"{n_selected:,} of {counted(summary.n_features, 'feature')} {predict} {summary.target}: "
        f"{quality(summary)}."
    )


def quality(summary: FitSummary) -> str:
    """How good the predictions are on the judged set."""
    where = f"the {summary.judged_on} set"
    if summary.task == "survival":
        train, test = summary.metrics["concordance"]
        share = train if test is None else test
        return f"who has the event first is foretold right in {share:.0%} of the pairs of {where}"
    if summary.task == "classification" and summary.has_rows:
        y_true, y_pred, _ = summary.judged
        right = int(np.count_nonzero(np.asarray(y_true) == np.asarray(y_pred)))
        return f"{right:,} of {len(y_true):,} right on {where}"
    share, kind, where = _explained(summary)
    if not np.isfinite(share):
        return f"{kind} explained on {where} cannot be told, because its true values are constant"
    if share <= 0:
        return f"no better than {'the mean' if kind == 'variance' else 'a constant'} on {where}"
    return f"{share:.0%} of the {kind} explained on {where}"


def _explained(summary: FitSummary) -> tuple[float, str, str]:
    """The share explained, of what, and where."""
    if summary.explained is not None:
        return summary.explained
    y_true, y_pred, _ = summary.judged
    counts = summary.task == "counts"
    share = explained(y_true, y_pred, counts=counts)
    return share, "deviance" if counts else "variance", f"the {summary.judged_on} set"


def explained(y_true: Array, y_pred: Array, *, counts: bool) -> float:
    """Share of the variance (R²), or of the Poisson deviance, that predictions explain."""
    y, mu = np.asarray(y_true, dtype=float), np.asarray(y_pred, dtype=float)
    deviance = _poisson_deviance if counts else _squared_error
    null = deviance(y, np.full_like(y, y.mean()))
    return 1 - deviance(y, mu) / null if null > 0 else float("nan")


def _squared_error(y: Array, mu: Array) -> float:
    return float(((y - mu) ** 2).sum())


def _poisson_deviance(y: Array, mu: Array) -> float:
    mu = np.maximum(mu, np.finfo(float).tiny)
    log_ratio = np.log(np.where(y > 0, y, 1.0) / np.where(y > 0, mu, 1.0))
    return float(2 * (y * log_ratio - (y - mu)).sum())


def verdict(summary: FitSummary) -> str:
    """The certificate in a few words."""
    facts = summary.certificate
    if not facts["holds"]:
        searched = summary.is_budget and facts["kind"] in _SEARCHED
        return "Not proved in time" if searched else "Not converged"
    return {
        "global": "Proved optimal",
        "global in the box": "Proved optimal in a box",
        "coordinate-wise": "Coordinate-wise optimal",
    }.get(facts["kind"], "Stationary")


def certificate(summary: FitSummary) -> str:
    """What the certificate promises, in plain language."""
    facts = summary.certificate
    value, tol = number(facts["value"], 2), number(facts["tol"], 2)
    searched = summary.is_budget and facts["kind"] in _SEARCHED
    if not facts["holds"]:
        if searched:
            return (
                f"The search ended before the proof was complete: no other {_features(summary)} "
                f"can lower the objective by more than {number(facts['gap'], 2)}, which is {value} "
                f"of the objective of the empty model (asked: {tol}). The model may well be the "
                "best; a longer time limit would tell."
                + (_BOX if facts["kind"] == "global in the box" else "")
            )
        return (
            f"The solver stopped at a certificate of {value}, above the asked tolerance of {tol}: "
            "coefficients may still change. Allow more iterations, or a larger tolerance."
        )
    if searched:
        return (
            f"All subsets were searched through or ruled out: no other {_features(summary)} can "
            f"lower the objective by more than {number(facts['gap'], 2)}, which is {value} of the "
            f"objective of the empty model (asked: {tol})."
            + (_BOX if facts["kind"] == "global in the box" else "")
        )
    if facts["kind"] == "global":
        gap = number(facts["gap"], 2)
        return (
            f"No other coefficients can lower the objective by more than {gap}, which is {value} "
            f"of the objective of the empty model (asked: {tol}). This bound is computed from the "
            "data and does not rest on trust in the solver."
        )
    what = "A number of features is allowed" if summary.is_budget else "The penalty is not convex"
    if facts["kind"] == "coordinate-wise":
        return (
            "No coefficient (or group, where groups are penalised), changed alone, lowers the "
            f"objective: the largest violation is {value} of the largest gradient of the empty "
            f"model (asked: {tol}). {what}, so another set of features may do better."
        )
    return (
        f"The optimality conditions hold at every coefficient: the largest violation is {value} "
        f"of the largest gradient of the empty model (asked: {tol}). {what}, so this is a critical "
        "point, and another may do better."
    )


def _features(summary: FitSummary) -> str:
    return f"subset of {counted(int(summary.alphas[summary.index_selected]), 'feature')}"


def meaning(summary: FitSummary) -> str:
    """What a coefficient says."""
    if summary.curves:
        return (
            f"The size of each curve: the standard deviation of what it adds to {summary.effect}."
        )
    return (
        f"Change of {summary.effect} for one {summary.feature_unit} of the feature. Blue is "
        "positive, orange negative."
    )


def hazard_ratio(summary: FitSummary) -> str:
    """The largest coefficient of a survival model, as a hazard ratio."""
    if not summary.selected.size:
        return ""
    first = summary.selected[0]
    ratio = float(np.exp(summary.coef[first]))
    return (
        f"One {summary.feature_unit} more of {summary.feature_names[first]} multiplies the hazard, "
        f"the rate at which events come, by {number(ratio, 3)}, others held fixed."
    )


def path_certificates(summary: FitSummary) -> str:
    """How many fits along the path reached the tolerance."""
    values = np.asarray(summary.path_certificates, dtype=float)
    held = int(np.count_nonzero(values <= summary.certificate["tol"]))
    if held == values.size:
        return f"All {counted(values.size, 'fit')} along the path meet the asked tolerance."
    return f"{held:,} of {counted(values.size, 'fit')} along the path meet the asked tolerance."
