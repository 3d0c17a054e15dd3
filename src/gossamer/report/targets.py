"""What is predicted: the columns it is made of, and the loss that judges it."""

from __future__ import annotations

import numpy as np

from gossamer.core.loss import Loss
from gossamer.linear.table import Table
from gossamer.linear.target import describe_target
from gossamer.linear.words import listing
from gossamer.losses import Hinge, Huber, Logistic, SquaredHinge
from gossamer.report.options import FitOptions
from gossamer.report.pieces import make_loss

_NORMAL_MAD = 0.6745  # median absolute deviation of a standard normal variable
_OF_TWO = (Hinge, Logistic, SquaredHinge)


def stratum_names(table: Table, asked: FitOptions) -> list[str]:
    """The names of the strata, in order; none without."""
    found = labels(table, asked.strata)
    return [] if found is None else sorted(set(found.tolist()))


def target_of(table: Table, target: str, asked: FitOptions, strata: list[str]) -> np.ndarray:
    """The target: a column, or for survival (n, 2): time and event, and the number of a stratum."""
    if asked.event is None:
        return table.column(target)
    time = number_column(table, target, "time")
    event = number_column(table, asked.event, "event")
    assert time is not None and event is not None
    if not np.isin(event, (0, 1)).all():
        raise ValueError(
            f"column {asked.event!r} must hold 1 (the event came) and 0 (censored) only, got "
            f"{listing(sorted({f'{value:g}' for value in event}), 4)}."
        )
    columns = [time, event]
    if asked.strata is not None:
        known = {label: code for code, label in enumerate(strata)}
        found = labels(table, asked.strata)
        assert found is not None
        # a stratum that the training rows lack has a number of its own
        columns.append(np.array([known.get(label, len(known)) for label in found], dtype=float))
    return np.column_stack(columns)


def choose_loss(asked: FitOptions, y: np.ndarray, target: str) -> tuple[Loss, str]:
    """The loss, and why it is this one."""
    described = describe_target(y) if asked.loss_name == "auto" else None
    name = asked.loss_name if described is None else described.loss
    why = "asked for" if described is None else described.reason.rstrip(".")
    loss = make_loss(name, asked.loss_parameters)
    if loss.classifies:
        classes = np.unique(y)
        if isinstance(loss, _OF_TWO):
            if len(classes) > 2:
                raise ValueError(
                    f"target {target!r} has {len(classes)} values, and the {name} loss takes two: "
                    "choose --loss multinomial, or auto."
                )
            if loss.is_likelihood:
                why += f"; the probability is that of {classes[1]!s}"
        return loss, why
    try:
        loss.encode(y)
    except ValueError as error:
        raise ValueError(f"target {target!r}: {error}") from error
    if isinstance(loss, Huber) and asked.delta is None:
        delta = 1.35 * _robust_deviation(np.asarray(y, dtype=float))
        return Huber(delta), f"{why}; errors beyond {delta:.3g} count linearly"
    return loss, why


def ordered_classes(y: np.ndarray, order: tuple[str, ...], target: str) -> np.ndarray:
    """The labels, in order: from the lowest as asked for, else by size or by the alphabet."""
    found = np.unique(y)
    if not order:
        return found
    by_name = {str(label): label for label in found.tolist()}
    if missing := [name for name in by_name if name not in order]:
        raise ValueError(f"--order lacks {listing(missing)} of target {target!r}: give all labels.")
    return np.array([by_name[name] for name in order if name in by_name], dtype=found.dtype)


def number_column(table: Table, name: str | None, role: str) -> np.ndarray | None:
    """A column of numbers that plays a role, without gaps."""
    if name is None:
        return None
    values = table.column(name)
    if table.n_rows and table.kinds[name] not in ("numeric", "boolean"):
        raise ValueError(f"column {name!r} is {table.kinds[name]}: as {role} it must hold numbers.")
    numbers = values.astype(float)
    if not np.isfinite(numbers).all():
        raise ValueError(f"column {name!r} has missing or infinite values: {role} cannot.")
    if role == "weights" and (numbers < 0).any():
        raise ValueError(f"column {name!r} has negative values: weights cannot.")
    return numbers


def labels(table: Table, name: str | None) -> np.ndarray | None:
    """A column as labels of rows, without gaps."""
    if name is None:
        return None
    if table.select([name]).missing():
        raise ValueError(f"column {name!r} has missing values: groups of rows cannot.")
    return np.array([str(value) for value in table.column(name)], dtype=object)


def _robust_deviation(y: np.ndarray) -> float:
    """The standard deviation as the median deviation tells it; outliers do not matter."""
    deviation = float(np.median(np.abs(y - np.median(y))) / _NORMAL_MAD)
    return deviation if deviation > 0 else float(y.std())
