"""The target of a table: taken out of it, and looked at to choose a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gossamer.linear.table import Table, as_table

_MAX_CLASSES = 20


def split_target(table: Any, target: str) -> tuple[Table, np.ndarray]:
    """Take the target column out of a table.

    Returns
    -------
    features : Table
        The other columns.
    y : ndarray of shape (n,)
        The target's values, as they are.

    Raises
    ------
    ValueError
        When there is no such column, or it has missing values or only one value.

    Examples
    --------
    >>> features, y = split_target({"x": [1.0, 2.0], "sick": ["yes", "no"]}, "sick")
    >>> features.names, y.tolist()
    (['x'], ['yes', 'no'])
    """
    table = as_table(table)
    y = table.column(target)
    _check_target(y, target)
    if len(table.names) == 1:
        raise ValueError(f"{table.source} has only the target {target!r}: add feature columns.")
    return table.drop([target]), y


@dataclass(frozen=True)
class Target:
    """What kind of target it is, the loss that suits it, and one sentence of why."""

    kind: str
    loss: str
    reason: str

    def __str__(self) -> str:
        return f"{self.loss}: {self.reason}"


def describe_target(y: Any) -> Target:
    """Choose a loss by looking at a target's values (never at their dtype).

    The first rule that fits decides:

    1. two distinct values of any type: *binary*, ``logistic``;
    2. strings that repeat (at most one class per two rows): *multiclass*, ``multinomial``;
    3. whole numbers 0, 1, ..., K-1 or 1, 2, ..., K without a gap, 3 <= K <= 20, at most one class
       per two rows: *multiclass*, ``multinomial``;
    4. other whole numbers whose smallest is 0 or 1: *count*, ``poisson``;
    5. all other numbers, prices or years among them: *continuous*, ``quadratic``.

    Small counts without a gap look like class codes, and for them rule 3 holds; the reason says so.

    Examples
    --------
    >>> print(describe_target(["ill", "well", "ill"]))
    logistic: two classes, 'ill' and 'well'.
    >>> describe_target([0, 4, 1, 0, 12]).loss
    'poisson'
    >>> describe_target([1.5, 2.25, -3.0]).loss
    'quadratic'
    """
    y = np.asarray(y)
    _check_target(y, "y")
    if y.dtype.kind in "mM":
        raise ValueError("y holds dates or times: give a number, such as days since a start.")
    values = np.unique(y).tolist()
    n_distinct, few = len(values), len(values) <= len(y) / 2
    low, high = values[0], values[-1]
    if n_distinct == 2:
        return Target("binary", "logistic", f"two classes, {low!r} and {high!r}.")
    if y.dtype.kind not in "iuf":
        if not few:
            raise ValueError(
                f"y has {n_distinct} distinct texts in {len(y)} rows, too many for classes: "
                "choose another target, or clean this column so that it holds numbers."
            )
        return Target("multiclass", "multinomial", f"{n_distinct} classes given as text.")
    between = f"between {low:g} and {high:g}"
    if not (low in (0, 1) and all(value == int(value) for value in values)):
        return Target("continuous", "quadratic", f"{n_distinct} distinct numbers {between}.")
    if high - low + 1 == n_distinct and n_distinct <= _MAX_CLASSES and few:
        reason = f"whole numbers {low:g} to {high:g} taken as classes; ask for poisson if counts."
        return Target("multiclass", "multinomial", reason)
    reason = f"{n_distinct} whole numbers {between} taken as counts; ask for quadratic if amounts."
    return Target("count", "poisson", reason)


def _check_target(y: np.ndarray, name: str) -> None:
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"target {name!r} must be one column of values, got shape {y.shape}.")
    n_missing = sum(1 for value in y.tolist() if value is None or value != value)  # NaN != NaN
    if n_missing:
        raise ValueError(
            f"target {name!r} is missing in {n_missing} of {len(y)} rows: "
            f"drop those rows, table.drop_missing([{name!r}]) (--drop-missing)."
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(f"target {name!r} holds infinite values: replace or drop those rows.")
    if np.all(y == y[0]):
        raise ValueError(
            f"target {name!r} is {y[0]!s} in all {len(y)} rows: there is nothing to learn. "
            "Choose another target."
        )
