"""A fit to rows that the workers of a Dask cluster hold: what ``gossamer fit --dask`` does."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import numpy as np

from gossamer.linear.distributed.cluster import connected
from gossamer.linear.distributed.reading import EncodedRows, encode_rows, read_rows, sample_of
from gossamer.linear.encode import TableEncoder
from gossamer.linear.target import split_target
from gossamer.report.data import Data, Part
from gossamer.report.fitting import Fit, chosen_fit, given_fit, model_asked
from gossamer.report.losses import words_of
from gossamer.report.models import KINDS, choosing_model, given_model, kind_of
from gossamer.report.options import FitOptions
from gossamer.report.progress import progress
from gossamer.report.summarise import View, linear_view
from gossamer.report.targets import choose_loss

_LEFT_OUT = (
    "The rows stayed on the cluster: there is no test set, no half-samples and no picture of "
    "predictions."
)
_BY_SAMPLE = "Columns were looked at, and missing values filled, by the first rows."


def fit_cluster(path: str, target: str, asked: FitOptions) -> tuple[Data, Fit, View, int]:
    """The data without their rows, the fit, its view, and how many rows there were."""
    with connected(asked.dask):
        rows = read_rows(path)
        data = _looked_at(path, rows, target, asked)
        keep = [name for name in (target, asked.weights, asked.offset) if name]
        encoded = encode_rows(rows, data.encoder, keep)
        fit = _fit(data, asked, encoded)
    # the encoder hands arrays to the estimator
    vars(fit.estimator).pop("feature_names_in_", None)
    view = linear_view(fit, encoded.means, encoded.deviation, asked)
    return data, fit, view, encoded.n_rows


def judged_by_folds(data: Data, fit: Fit) -> dict[str, Any]:
    """What can be said of the predictions without their rows."""
    share = words_of(type(data.loss).__name__).share
    facts: dict[str, Any] = {"y_train": None, "prediction_train": None}
    if fit.cv is not None and fit.cv.folds.size:
        mean = fit.cv.mean
        return facts | {"explained": (1 - mean[fit.index] / mean[0], share, "held-out folds")}
    # the penalty counts as unexplained, so that this is a lower bound
    value = 1 - fit.certificate.objective / fit.certificate.null_objective
    return facts | {"explained": (float(value), share, "the training set, at least")}


def _looked_at(path: str, rows: Any, target: str, asked: FitOptions) -> Data:
    """What the first rows say about columns, target and loss."""
    sample = sample_of(rows).drop(asked.drop)
    roles = [name for name in (asked.weights, asked.offset) if name]
    features, y = split_target(sample, target)
    features = features.drop(roles)
    loss, why = choose_loss(asked, y, target)
    encoder = TableEncoder(impute=asked.impute, unknown="ignore").fit(features)
    nothing = np.empty((0, len(encoder.get_feature_names_out())))
    return Data(
        title=FilePath(path).name,
        target=target,
        loss=loss,
        loss_why=why,
        encoder=encoder,
        train=Part(nothing, y, None, None, None),
        test=Part(nothing, y[:0], None, None, None),
        notes=[_LEFT_OUT, _BY_SAMPLE],
    )


def _fit(data: Data, asked: FitOptions, encoded: EncodedRows) -> Fit:
    model, name = model_asked(data, asked), kind_of(asked, data.loss)
    kept = encoded.kept
    given = {
        "sample_weight": None if asked.weights is None else kept[asked.weights],
        "offset": None if asked.offset is None else kept[asked.offset],
    }
    X, y = encoded.X, kept[data.target]
    if asked.is_given:
        fixed = given_model(KINDS[name], model)
        fixed.fit(X, y, given["sample_weight"], offset=given["offset"])
        return given_fit(name, fixed)
    long = encoded.n_rows > X.shape[1]
    estimator = choosing_model(KINDS[name], model, long=long, n_jobs=1, cv=asked.cv)
    by_folds = asked.selection in ("min", "1se")
    fits = estimator._n_steps() * (1 + asked.cv * by_folds)
    with progress(fits, "path and folds", enabled=asked.progress) as advance:
        estimator.fit(X, y, given["sample_weight"], offset=given["offset"], on_step=advance)
    estimator.set_params(n_jobs=None)
    return chosen_fit(name, estimator, asked)
