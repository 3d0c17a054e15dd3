"""A model of a whole table: its encoder and its estimator, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from gossamer.linear.base import SparseLinearModel
from gossamer.linear.encode import TableEncoder, level_codes
from gossamer.linear.table import Table, as_table


def table_model(encoder: TableEncoder, estimator: SparseLinearModel) -> Pipeline:
    """A pipeline that predicts from tables, of two parts that are fitted."""
    return Pipeline([("encode", encoder), ("model", estimator)])


def columns_of(model: Any) -> list[str]:
    """The table columns that a model asks for.

    Raises
    ------
    ValueError
        When the model does not begin with a `TableEncoder` that was fitted on a table.
    """
    encoder = model[0] if isinstance(model, Pipeline) else None
    names = getattr(encoder, "feature_names_in_", None)
    if names is None:
        raise ValueError(
            f"the model ({type(model).__name__}) does not take tables: it was not saved by "
            "'gossamer fit'. Use gossamer.load and its predict method in Python."
        )
    return [str(name) for name in names]


def predict_table(
    model: Any, table: Any, offset: np.ndarray | None = None, times: Sequence[float] = ()
) -> dict[str, Any]:
    """The prediction of every row, and for classifiers the probability of every class.

    Parameters
    ----------
    times : sequence of float
        Of survival, whose prediction is the logarithm of the hazard over the baseline's.

    Returns
    -------
    dict
        ``prediction``, ``P(label)`` for every label, and ``S(time)``, the chance of no event up to
        each time; arrays of one length.
    """
    estimator, X = model[-1], model[:-1].transform(as_table(table).select(columns_of(model)))
    columns: dict[str, Any] = {"prediction": estimator.predict(X, offset=offset)}
    if hasattr(estimator, "predict_proba"):
        chances = estimator.predict_proba(X, offset=offset).T
        columns |= {
            f"P({label})": chance for label, chance in zip(estimator.classes_, chances, strict=True)
        }
    if len(times):
        if not hasattr(estimator, "predict_survival_function"):
            raise ValueError(
                f"times are for models of survival, and this is {type(estimator).__name__}."
            )
        if len(np.unique(estimator.baseline_hazard_.stratum)) > 1:
            raise ValueError(
                "the model has strata, each with a survival of its own: leave out the times, or "
                "ask predict_survival_function(X, times, stratum=...) in Python."
            )
        chances = estimator.predict_survival_function(X, np.asarray(times), offset=offset).T
        columns |= {f"S({time:g})": chance for time, chance in zip(times, chances, strict=True)}
    return columns


def unseen_levels(encoder: TableEncoder, table: Table) -> dict[str, list[str]]:
    """For each categorical column the levels in the table that the encoder does not know."""
    found = {c.name: level_codes(table, c)[1] for c in encoder.columns_ if c.kind == "categorical"}
    return {name: levels for name, levels in found.items() if levels}
