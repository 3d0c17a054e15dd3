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
    "ebic": "smallest extended Bayesian information criterion (EBIC)",
}


def criterion(summary: FitSummary) -> str:
    """How the strength was picked."""
    text = CRITERIA.get(summary.criterion, summary.criterion)
    return text.format(score=summary.cv_score_name)


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
    y_true, y_pred, _ = summary.judged
    where = f"the {summary.judged_on} set"
    if summary.task == "classification":
        right = int(np.count_nonzero(np.asarray(y_true) == np.asarray(y_pred)))
        return f"{right:,} of {len(y_true):,} right on {where}"
    kind = "deviance" if summary.task == "counts" else "variance"
    share = explained(y_true, y_pred, counts=summary.task == "counts")
    if not np.isfinite(share):
        return f"{kind} explained on {where} cannot be told, because its true values are constant"
    if share <= 0:
        return f"no better than the mean on {where}"
    return f"{share:.0%} of the {kind} explained on {where}"


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
        return "Not converged"
    return {"global": "Proved optimal", "coordinate-wise": "Coordinate-wise optimal"}.get(
        facts["kind"], "Stationary"
    )


def certificate(summary: FitSummary) -> str:
    """What the certificate promises, in plain language."""
    facts = summary.certificate
    value, tol = number(facts["value"], 2), number(facts["tol"], 2)
    if not facts["holds"]:
        return (
            f"The solver stopped at a certificate of {value}, above the asked tolerance of {tol}: "
            "coefficients may still change. Allow more iterations, or a larger tolerance."
        )
    if facts["kind"] == "global":
        gap = number(facts["gap"], 2)
        return (
            f"No other coefficients can lower the objective by more than {gap}, which is {value} "
            f"of the objective of the empty model (asked: {tol}). This bound is computed from the "
            "data and does not rest on trust in the solver."
        )
    if facts["kind"] == "coordinate-wise":
        return (
            "No coefficient (or group, where groups are penalised), changed alone, lowers the "
            f"objective: the largest violation is {value} of the largest gradient of the empty "
            f"model (asked: {tol}). The penalty is not convex, so another set of features may do "
            "better."
        )
    return (
        f"The optimality conditions hold at every coefficient: the largest violation is {value} "
        f"of the largest gradient of the empty model (asked: {tol}). The penalty is not convex, so "
        "this is a critical point, and another may do better."
    )


def path_certificates(summary: FitSummary) -> str:
    """How many fits along the path reached the tolerance."""
    values = np.asarray(summary.path_certificates, dtype=float)
    held = int(np.count_nonzero(values <= summary.certificate["tol"]))
    if held == values.size:
        return f"All {counted(values.size, 'fit')} along the path meet the asked tolerance."
    return f"{held:,} of {counted(values.size, 'fit')} along the path meet the asked tolerance."
