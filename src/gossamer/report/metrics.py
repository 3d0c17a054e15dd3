"""Numbers that say how good predictions are."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from gossamer.report.summary import Array
from gossamer.report.wording import explained


def class_metrics(codes: Array, predicted: Array, probability: Array) -> dict[str, float]:
    """Accuracy, log loss and, for two classes, the area under the ROC curve.

    >>> p = np.array([[0.8, 0.2], [0.4, 0.6]])
    >>> class_metrics(np.array([0, 1]), np.array([0, 1]), p)["accuracy"]
    1.0
    """
    own = probability[np.arange(len(codes)), codes]
    scores = {
        "accuracy": float((codes == predicted).mean()),
        "log loss": float(-np.log(np.maximum(own, np.finfo(float).tiny)).mean()),
    }
    if probability.shape[1] == 2:
        scores["AUC"] = _area_under_curve(codes == 1, probability[:, 1])
    return scores


def _area_under_curve(positive: Array, score: Array) -> float:
    """The chance that a positive sample scores above a negative one (Mann and Whitney)."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(score)[positive].sum()
    return float((ranks - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def number_metrics(
    y: Array, predicted: Array, *, counts: bool, share: float | None = None
) -> dict[str, float]:
    """The explained share of the variance or, of counts, of the deviance; and typical errors.

    `share` is that of another loss.
    """
    errors = np.asarray(y, dtype=float) - predicted
    if share is None:
        share = explained(y, predicted, counts=counts)
        name = "D²" if counts else "R²"
    else:
        name = "D²"
    return {
        name: share,
        "RMSE": float(np.sqrt(np.mean(errors**2))),
        "MAE": float(np.abs(errors).mean()),
    }
