"""From a table to what is fitted and what is held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.core.loss import Loss
from gossamer.linear.encode import TableEncoder, refuse_missing
from gossamer.linear.splits import hold_out
from gossamer.linear.table import Table, as_table, read_table
from gossamer.linear.table_model import unseen_levels
from gossamer.linear.target import split_target
from gossamer.linear.words import listing
from gossamer.report.options import FitOptions
from gossamer.report.targets import (
    choose_loss,
    labels,
    number_column,
    ordered_classes,
    stratum_names,
    target_of,
)
from gossamer.report.text import counted


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows: their matrix, target, offset, sample weights and groups.

    The target of survival has two columns, time and event, or a third one, the stratum.
    """

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
    order: tuple[str, ...] = ()
    strata: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def classes(self) -> np.ndarray | None:
        """The labels in order, where the loss takes labels."""
        if not self.loss.classifies:
            return None
        return ordered_classes(self.train.y, self.order, self.target)

    @property
    def feature_names(self) -> list[str]:
        """Names of the columns of the matrices."""
        return [str(name) for name in self.encoder.get_feature_names_out()]

    def codes(self, y: np.ndarray) -> np.ndarray:
        """The target as numbers: labels by their position in `classes`."""
        if self.classes is None:
            return np.asarray(y, dtype=float)
        place = {label: code for code, label in enumerate(self.classes.tolist())}
        return np.array([place[label] for label in y.tolist()], dtype=int)

    @property
    def kinds_of_rows(self) -> np.ndarray | None:
        """(n,) classes, or events, of which every part of the training rows has its share."""
        return kinds_of_rows(self.train.y, classes=self.loss.classifies)


def kinds_of_rows(y: np.ndarray, *, classes: bool) -> np.ndarray | None:
    """Labels of which parts of the rows have their share; none for plain numbers."""
    if classes:
        return y
    return y[:, 1].astype(int) if y.ndim == 2 else None


def split_table(table: Table, target: str, asked: FitOptions) -> Data:
    """Split a table into training and test rows and encode them.

    Raises
    ------
    ValueError
        When the columns, the target or the rows do not suit what was asked, with the remedy.
    """
    columns = (asked.weights, asked.offset, asked.group_column, asked.event, asked.strata)
    roles = [name for name in columns if name]
    used, n_dropped = _whole_rows(table.drop(asked.drop), target, asked)
    features, y = split_target(used, target)
    features = features.drop(roles)
    strata = stratum_names(used, asked)
    y = target_of(used, target, asked, strata)
    if not features.names:
        raise ValueError(f"{table.source} has no feature left beside {listing([target, *roles])}.")
    if asked.impute == "error":
        refuse_missing(features)
    loss, why = choose_loss(asked, y, target)
    if asked.test is None:
        groups = labels(used, asked.group_column)
        kinds = kinds_of_rows(y, classes=loss.classifies)
        train, test = hold_out(
            y if kinds is None else kinds,
            asked.test_size,
            asked.seed,
            classes=kinds is not None,
            groups=groups,
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
        train=_part(parts, target, encoder, asked, strata),
        test=_part(held_out, target, encoder, asked, strata),
        order=tuple(asked.order),
        strata=strata,
    )
    _check_classes(data)
    if n_dropped:
        data.notes.append(f"{counted(n_dropped, 'row')} with missing values left out.")
    data.notes.extend(_remarks(data, parts, held_out))
    return data


def _whole_rows(table: Table, target: str, asked: FitOptions) -> tuple[Table, int]:
    """The rows to be used, and how many were left out for missing values."""
    if not asked.drop_missing:
        return table, 0
    whole = table.drop_missing(None if asked.impute == "error" else [target])
    if whole.n_rows == 0:
        raise ValueError(f"every row of {table.source} has a missing value: use --impute instead.")
    return whole, table.n_rows - whole.n_rows


def _test_table(given: Any, needed: list[str]) -> Table:
    if isinstance(given, str | Path):
        return read_table(given, columns=needed)
    return as_table(given).select(needed)


def _part(
    table: Table, target: str, encoder: TableEncoder, asked: FitOptions, strata: list[str]
) -> Part:
    features = [str(name) for name in encoder.feature_names_in_]
    if table.n_rows == 0:
        X = np.empty((0, len(encoder.get_feature_names_out())))
    else:
        X = encoder.transform(table.select(features))
    return Part(
        X=X,
        y=target_of(table, target, asked, strata),
        offset=number_column(table, asked.offset, "offset"),
        weights=number_column(table, asked.weights, "weights"),
        groups=labels(table, asked.group_column),
    )


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
