"""From a table to what is fitted and what is held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.core.registry import LOSSES
from gossamer.linear.encode import TableEncoder, refuse_missing
from gossamer.linear.splits import hold_out
from gossamer.linear.table import Table, as_table, read_table
from gossamer.linear.table_model import unseen_levels
from gossamer.linear.target import describe_target, split_target
from gossamer.linear.words import listing
from gossamer.losses import Huber
from gossamer.report.options import FitOptions
from gossamer.report.text import counted

_NORMAL_MAD = 0.6745  # median absolute deviation of a standard normal variable


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows: their matrix, target, offset, sample weights and groups."""

    X: np.ndarray
    y: np.ndarray
    offset: np.ndarray | None
    weights: np.ndarray | None
    groups: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Data:
    """A table split and encoded; `test` has no rows where none are held out."""

    title: str
    target: str
    loss: Loss
    loss_why: str
    encoder: TableEncoder
    train: Part
    test: Part
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> np.ndarray | None:
        """The labels in order, where the loss takes labels."""
        return np.unique(self.train.y) if self.loss.classifies else None

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns of the matrices."""
        return [str(name) for name in self.encoder.get_feature_names_out()]

    def codes(self, y: np.ndarray) -> np.ndarray:
        """The target as numbers: labels by their position in `classes`."""
        return np.asarray(y, dtype=float) if self.classes is None else self.classes.searchsorted(y)


def split_table(table: Table, target: str, asked: FitOptions) -> Data:
    """Split a table into training and test rows and encode them.

    Raises
    ------
    ValueError
        When the columns, the target or the rows do not suit what was asked, with the remedy.
    """
    roles = [name for name in (asked.weights, asked.offset, asked.group_column) if name]
    used, n_dropped = _whole_rows(table.drop(asked.drop), target, asked)
    features, y = split_target(used, target)
    features = features.drop(roles)
    if not features.names:
        raise ValueError(f"{table.source} has no feature left beside {listing([target, *roles])}.")
    if asked.impute == "error":
        refuse_missing(features)
    loss, why = choose_loss(asked.loss, y, target)
    if asked.test is None:
        groups = _labels(used, asked.group_column)
        train, test = hold_out(
            y, asked.test_size, asked.seed, classes=loss.classifies, groups=groups
        )
        parts, held_out = used.take(train), used.take(test)
    else:
        parts, held_out = used, _test_table(asked.test, [*features.names, target, *roles])
    encoder = TableEncoder(impute=asked.impute, unknown="ignore").fit(parts.select(features.names))
    data = Data(
        title=Path(table.source.split(" (")[0]).name,
        target=target,
        loss=loss,
        loss_why=why,
        encoder=encoder,
        train=_part(parts, target, encoder, asked),
        test=_part(held_out, target, encoder, asked),
    )
    _check_classes(data)
    if n_dropped:
        data.notes.append(f"{counted(n_dropped, 'row')} with missing values left out.")
    data.notes.extend(_remarks(data, parts, held_out))
    return data


def choose_loss(asked: str, y: np.ndarray, target: str) -> tuple[Loss, str]:
    """The loss, and why it is this one."""
    described = describe_target(y) if asked == "auto" else None
    name = asked if described is None else described.loss
    kind = LOSSES[name]
    why = "asked for" if described is None else described.reason.rstrip(".")
    loss: Loss = kind()
    if loss.classifies:
        classes = np.unique(y)
        if len(classes) > 2 and name == "logistic":
            raise ValueError(
                f"target {target!r} has {len(classes)} values, and the logistic loss takes two: "
                "choose --loss multinomial, or auto."
            )
        if name == "logistic":
            why += f"; the probability is that of {classes[1]!s}"
        return loss, why
    try:
        loss.encode(y)
    except ValueError as error:
        raise ValueError(f"target {target!r}: {error}") from error
    if kind is Huber:
        delta = 1.35 * _robust_deviation(np.asarray(y, dtype=float))
        return Huber(delta), f"{why}; errors beyond {delta:.3g} count linearly"
    return loss, why


def _whole_rows(table: Table, target: str, asked: FitOptions) -> tuple[Table, int]:
    """The rows to be used, and how many were left out for missing values."""
    if not asked.drop_missing:
        return table, 0
    whole = table.drop_missing(None if asked.impute == "error" else [target])
    if whole.n_rows == 0:
        raise ValueError(f"every row of {table.source} has a missing value: use --impute instead.")
    return whole, table.n_rows - whole.n_rows


def _robust_deviation(y: np.ndarray) -> float:
    """The standard deviation as the median deviation tells it; outliers do not matter."""
    deviation = float(np.median(np.abs(y - np.median(y))) / _NORMAL_MAD)
    return deviation if deviation > 0 else float(y.std())


def _test_table(given: Any, needed: list[str]) -> Table:
    if isinstance(given, str | Path):
        return read_table(given, columns=needed)
    return as_table(given).select(needed)


def _part(table: Table, target: str, encoder: TableEncoder, asked: FitOptions) -> Part:
    features = [str(name) for name in encoder.feature_names_in_]
    if table.n_rows == 0:
        X = np.empty((0, len(encoder.get_feature_names_out())))
    else:
        X = encoder.transform(table.select(features))
    return Part(
        X=X,
        y=table.column(target),
        offset=number_column(table, asked.offset, "offset"),
        weights=number_column(table, asked.weights, "weights"),
        groups=_labels(table, asked.group_column),
    )


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


def _labels(table: Table, name: str | None) -> np.ndarray | None:
    if name is None:
        return None
    if table.select([name]).missing():
        raise ValueError(f"column {name!r} has missing values: groups of rows cannot.")
    return np.array([str(value) for value in table.column(name)], dtype=object)


def _check_classes(data: Data) -> None:
    if data.classes is None:
        return
    unknown = sorted({str(label) for label in np.setdiff1d(data.test.y, data.classes)})
    if unknown:
        raise ValueError(
            f"the test rows hold classes that the training rows lack: {listing(unknown)}. "
            "Drop these rows, or split anew."
        )
    counts = Counter(data.train.y.tolist())
    single = [str(label) for label, count in counts.items() if count == 1]
    if single or len(counts) < 2:
        what = f"only one row of class {listing(single)}" if single else "only one class"
        raise ValueError(
            f"the training rows hold {what}, too little to learn it. Drop or merge it, or give "
            "more rows."
        )


def _remarks(data: Data, train: Table, test: Table) -> Iterable[str]:
    """What a careful reader would want to know about the columns."""
    names = np.array(data.feature_names)
    X = data.train.X
    constant = (X == X[:1]).all(axis=0)
    if constant.any():
        where = listing(names[constant].tolist(), 3)
        yield f"{counted(int(constant.sum()), 'constant column')} cannot contribute: {where}."
    first: dict[bytes, int] = {}
    same = [
        (names[first[key]], names[j])
        for j in np.flatnonzero(~constant)
        if first.setdefault(key := X[:, j].tobytes(), int(j)) != j
    ]
    if same:
        which = f"{same[0][1]!s} = {same[0][0]!s}{', ...' if len(same) > 1 else ''}"
        what = "1 column repeats" if len(same) == 1 else f"{len(same):,} columns repeat"
        yield f"{what} an earlier one ({which}): which of the two is selected is arbitrary."
    if running := [name for name in train.names if _is_running_number(train, name)]:
        which = listing(running, 3)
        yield f"Column {which} numbers the rows: leave it out (--drop) if it is an identifier."
    if test.n_rows and (unseen := unseen_levels(data.encoder, test)):
        what = "; ".join(f"{name}: {listing(levels, 3)}" for name, levels in unseen.items())
        yield f"Levels in the test rows alone count as no level ({what})."


def _is_running_number(table: Table, name: str) -> bool:
    """Whether a column holds whole numbers in a row, without repeats, with the gaps of a split."""
    if table.kinds[name] != "numeric" or table.n_rows < 20:
        return False
    values = table.column(name)
    if values.dtype.kind not in "iu" or len(np.unique(values)) < len(values):
        return False
    return bool(np.ptp(values) < 1.5 * len(values))
