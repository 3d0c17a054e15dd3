"""From a table to what a linear model takes: a matrix, its groups, a target and a loss."""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.linear.table import Table, arrow_library, as_table, listing, matrix_table

_RARE = "(rare)"
_MAX_CLASSES = 20
_CHOICES = {
    "impute": ("error", "median", "mean"),
    "categories": ("groups", "separate"),
    "unknown": ("error", "ignore"),
}


@dataclass(frozen=True)
class Column:
    """What was learned of one column: enough to encode it again."""

    name: str
    kind: str  # numeric, boolean or categorical
    fill: float | None = None  # the value, or number of the level, that stands in when missing
    levels: tuple[str, ...] = ()
    rare: bool = False  # has a last indicator for all levels too rare to be listed

    def output_names(self, name: str) -> list[str]:
        """Names of the columns it is encoded into, when it is called `name`."""
        if self.kind != "categorical":
            return [name]
        return [f"{name}={level}" for level in self.levels + (_RARE,) * self.rare]


class TableEncoder(TransformerMixin, BaseEstimator):
    """Turn a table of mixed columns into a matrix of numbers, with groups for its columns.

    Numbers pass through, booleans become 0 and 1, and a categorical column becomes one indicator
    per level that occurs. No level is left out as a reference: a penalty then treats all alike.
    The indicators of one column form a group, every other column is a group of its own, so that
    ``gossamer.Groups(encoder.groups_)`` selects whole columns of the table.

    Parameters
    ----------
    impute : {"error", "median", "mean"}
        Missing values: refused, or filled with the column's median or mean. The other two fill
        booleans and categories with the most frequent value.
    categories : {"groups", "separate"}
        Whether the indicators of a column share a group or are each their own.
    max_categories : int
        More levels than this in one column are refused.
    min_frequency : int or float, optional
        Levels in fewer rows than this (a number, or a share if below 1) are pooled into one
        level, ``(rare)``. So is then a level never seen in fitting, as the rarest of all.
    unknown : {"error", "ignore"}
        Levels that `fit` did not see and that no ``(rare)`` level takes: refused, so that a
        prediction is never made on silently missing information, or encoded as all zeros.
    categorical : sequence of str
        Columns whose values are categories though they look like numbers, booleans or text.
    sparse_output : bool
        Return a `scipy.sparse.csc_array` instead of a (Fortran-ordered) array.

    Attributes
    ----------
    groups_ : ndarray of str
        The group of each output column: the name of the column it came from.
    columns_ : list of Column
        What was learned of each input column.
    feature_names_in_, feature_names_out_ : ndarray of str
        Column names before (only when fitted on a table) and after; levels read ``city=Ulm``.
    n_features_in_ : int
        Number of input columns.

    Notes
    -----
    At `transform` columns are matched by name, in any order; a missing or an extra one is an error.
    A column of dates, of text, or without any value is refused at `fit`.

    Examples
    --------
    >>> table = {"age": [31, 45, 28], "city": ["Ulm", "Bonn", "Ulm"]}
    >>> encoder = TableEncoder().fit(table)
    >>> encoder.transform(table)
    array([[31.,  0.,  1.],
           [45.,  1.,  0.],
           [28.,  0.,  1.]])
    >>> encoder.get_feature_names_out().tolist()
    ['age', 'city=Bonn', 'city=Ulm']

    The group lasso then keeps or drops whole columns of the table:

    >>> import gossamer as gs
    >>> gs.Groups(encoder.groups_)
    Groups(2 groups)
    """

    def __init__(
        self,
        impute: str = "error",
        categories: str = "groups",
        max_categories: int = 100,
        min_frequency: float | None = None,
        unknown: str = "error",
        categorical: Sequence[str] = (),
        sparse_output: bool = False,
    ) -> None:
        self.impute = impute
        self.categories = categories
        self.max_categories = max_categories
        self.min_frequency = min_frequency
        self.unknown = unknown
        self.categorical = categorical
        self.sparse_output = sparse_output

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the columns of X: a table, a data frame, a mapping, or an (n, p) array."""
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}.")
        for name in ("max_categories", "min_frequency"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value!r}.")
        table = self._table(X, reset=True)
        table.select(self.categorical)  # refuses unknown names
        chosen = set(self.categorical)
        kinds = {n: "categorical" if n in chosen else k for n, k in table.kinds.items()}
        _refuse_unusable(table, kinds)
        if self.impute == "error":
            _refuse_missing(table)
        plain = [name for name, kind in kinds.items() if kind != "categorical"]
        fills = dict(zip(plain, self._fills(_numbers(table, plain), plain, kinds), strict=True))
        self.columns_ = [
            Column(name, kind, fills[name]) if name in fills else self._levels(table, name)
            for name, kind in kinds.items()
        ]
        crowded = [c.name for c in self.columns_ if len(c.levels) > self.max_categories]
        if crowded:
            raise ValueError(
                f"column {listing(crowded)} has more than max_categories={self.max_categories} "
                f"levels: {_remedy(crowded)}, pool its rare levels with min_frequency=, or "
                "raise max_categories."
            )
        self._name_outputs()
        return self

    def transform(self, X: Any) -> Any:
        """The (n, number of output columns) matrix of X, in float64."""
        check_is_fitted(self)
        table = self._table(X, reset=False)
        if self.impute == "error":
            _refuse_missing(table)
        widths = [len(c.output_names("")) for c in self.columns_]
        starts = np.cumsum([0, *widths])
        at = [j for j, c in enumerate(self.columns_) if c.kind != "categorical"]
        values = _numbers(table, [self.columns_[j].name for j in at])
        _check_booleans(values, [self.columns_[j] for j in at])
        if self.impute != "error":
            gaps = np.nonzero(np.isnan(values))
            values[gaps] = np.array([self.columns_[j].fill for j in at])[gaps[1]]
        rows, positions = self._indicators(table, starts)
        if not self.sparse_output:
            if len(at) == len(widths):
                return values
            dense = np.zeros((table.n_rows, starts[-1]), order="F")
            dense[:, starts[at]] = values
            dense[rows, positions] = 1.0
            return dense
        i, j = np.nonzero(values)
        data = np.concatenate([values[i, j], np.ones(len(rows))])
        where = (np.concatenate([i, rows]), np.concatenate([starts[at][j], positions]))
        return sp.csc_array((data, where), shape=(table.n_rows, starts[-1]))

    def get_feature_names_out(self, input_features: Sequence[str] | None = None) -> np.ndarray:
        """Names of the output columns; `input_features` names the columns of an array."""
        check_is_fitted(self)
        if input_features is None:
            return self.feature_names_out_.copy()
        given, known = list(input_features), getattr(self, "feature_names_in_", None)
        if len(given) != self.n_features_in_:
            raise ValueError(
                "input_features should have length equal to the number of columns in fit, "
                f"{self.n_features_in_}, got {len(given)}."
            )
        if known is not None and given != known.tolist():
            raise ValueError("input_features is not equal to feature_names_in_: leave it out.")
        names = zip(self.columns_, given, strict=True)
        return np.array([out for c, name in names for out in c.output_names(name)], dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """The fitted encoder as plain data, fit for JSON.

        >>> encoder = TableEncoder().fit({"city": ["Ulm", "Bonn"]})
        >>> data = json.loads(json.dumps(encoder.to_dict()))
        >>> TableEncoder.from_dict(data).transform({"city": ["Ulm"]})
        array([[0., 1.]])
        """
        check_is_fitted(self)
        params = self.get_params() | {"categorical": list(self.categorical)}
        columns = [[c.name, c.kind, c.fill, list(c.levels), c.rare] for c in self.columns_]
        named = hasattr(self, "feature_names_in_")
        return {"params": params, "columns": columns, "named": named}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TableEncoder:
        """The encoder that `to_dict` described."""
        absent = [key for key in ("params", "columns", "named") if key not in data]
        if absent:
            raise ValueError(f"data is no TableEncoder: it lacks {listing(absent)}.")
        encoder = cls(**data["params"])
        encoder.columns_ = [
            Column(name, kind, fill, tuple(levels), rare)
            for name, kind, fill, levels, rare in data["columns"]
        ]
        encoder.n_features_in_ = len(encoder.columns_)
        if data["named"]:
            encoder.feature_names_in_ = np.array([c.name for c in encoder.columns_], dtype=object)
        encoder._name_outputs()
        return encoder

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.impute != "error"
        tags.input_tags.string = tags.input_tags.categorical = True
        return tags

    def _table(self, X: Any, reset: bool) -> Table:
        """X with the columns of `columns_` in their order; learns their names when `reset`."""
        named = reset or hasattr(self, "feature_names_in_")
        is_frame = isinstance(X, Table | Mapping) or hasattr(X, "__arrow_c_stream__")
        if named and is_frame and not sp.issparse(X):  # scipy has a sparse array that is a mapping
            table = as_table(X)
            if reset:
                self.feature_names_in_ = np.array(table.names, dtype=object)
                self.n_features_in_ = len(table.names)
                return table
            return _matched(table, self.feature_names_in_.tolist())
        array = validate_data(self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        names = (
            [f"x{j}" for j in range(array.shape[1])] if reset else [c.name for c in self.columns_]
        )
        if array.dtype.kind in "iuf":
            return Table(matrix_table(array, names), "X")
        return as_table(dict(zip(names, array.T, strict=True)), "X")

    def _fills(self, values: np.ndarray, names: list[str], kinds: dict[str, str]) -> list[Any]:
        """What stands in for a missing value in each numeric or boolean column."""
        if self.impute == "error":
            return [None] * len(names)
        centre = (np.nanmedian if self.impute == "median" else np.nanmean)(values, axis=0)
        usual = np.nanmean(values, axis=0) > 0.5  # of a boolean: its most frequent value
        boolean = [kinds[name] == "boolean" for name in names]
        return np.where(boolean, usual, centre).tolist()

    def _levels(self, table: Table, name: str) -> Column:
        values = _strings(table, name).drop_null()
        found = arrow_library().compute.value_counts(values).to_pylist()
        counts = {entry["values"]: entry["counts"] for entry in found}
        at_least = self.min_frequency or 0
        at_least *= len(values) if at_least < 1 else 1
        levels = tuple(sorted(level for level, count in counts.items() if count >= at_least))
        fill = None
        if self.impute != "error":
            fill = levels.index(max(levels, key=counts.__getitem__)) if levels else 0
        return Column(name, "categorical", fill, levels, rare=len(levels) < len(counts))

    def _name_outputs(self) -> None:
        outputs = [column.output_names(column.name) for column in self.columns_]
        names = [name for group in outputs for name in group]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            raise ValueError(
                f"two encoded columns would be called {listing(repeated)}: rename one."
            )
        self.feature_names_out_ = np.array(names, dtype=object)
        owners = [c.name for c, group in zip(self.columns_, outputs, strict=True) for _ in group]
        self.groups_ = np.array(owners if self.categories == "groups" else names, dtype=object)

    def _indicators(self, table: Table, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and output column of every indicator that is one."""
        rows, positions = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
        unseen: dict[str, list[str]] = {}
        for column, start in zip(self.columns_, starts, strict=False):
            if column.kind == "categorical":
                codes, unknown = _codes(table, column)
                if unknown and self.unknown == "error":
                    unseen[column.name] = unknown
                rows.append(np.flatnonzero(codes >= 0))
                positions.append(start + codes[rows[-1]])
        if unseen:
            what = "; ".join(f"column {name!r}: {listing(new)}" for name, new in unseen.items())
            raise ValueError(
                f"levels that fit did not see, in {what}. Correct them, or fit with "
                "unknown='ignore' (all zeros) or with min_frequency= (counted as rare)."
            )
        return np.concatenate(rows), np.concatenate(positions)


def _numbers(table: Table, names: list[str]) -> np.ndarray:
    """The numeric and boolean columns, (n, their number), NaN where a value is missing."""
    values = np.empty((table.n_rows, len(names)), order="F")
    for j, name in enumerate(names):
        if (kind := table.kinds[name]) not in ("numeric", "boolean"):
            raise ValueError(f"column {name!r} held numbers in fit and is {kind} here: correct it.")
        values[:, j] = table.column(name)  # None becomes NaN
    infinite = [names[j] for j in np.flatnonzero(np.isinf(values).any(axis=0))]
    if infinite:
        raise ValueError(f"column {listing(infinite)} holds infinite values: {_remedy(infinite)}.")
    return values


def _check_booleans(values: np.ndarray, columns: list[Column]) -> None:
    for j, column in enumerate(columns):
        if column.kind == "boolean":
            odd = values[(values[:, j] != 0) & (values[:, j] != 1) & ~np.isnan(values[:, j]), j]
            if odd.size:
                raise ValueError(
                    f"column {column.name!r} was true or false in fit and holds {odd[0]:g} here: "
                    "correct it."
                )


def _strings(table: Table, name: str) -> Any:
    """A column's values as Arrow strings."""
    pa, column = arrow_library(), table.arrow.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} holds no categories: {error}.") from error


def _codes(table: Table, column: Column) -> tuple[np.ndarray, list[str]]:
    """The number of each row's level, -1 where it has none, and the levels that fit did not see."""
    pa = arrow_library()
    strings = _strings(table, column.name)
    levels = pa.array(column.levels, pa.large_string())
    codes = pa.compute.index_in(strings, value_set=levels).fill_null(-1).to_numpy().astype(np.intp)
    missing = strings.is_null().to_numpy()
    unseen = (codes < 0) & ~missing
    if column.fill is not None:
        codes[missing] = int(column.fill)
    if column.rare:
        codes[unseen] = len(column.levels)
        return codes, []
    return codes, strings.filter(pa.array(unseen)).unique().to_pylist()


def _matched(table: Table, names: list[str]) -> Table:
    """The table with the columns `names` and no others, in this order."""
    if table.names == names:
        return table
    missing = sorted(set(names) - set(table.names))
    extra = sorted(set(table.names) - set(names))
    if missing or extra:
        what = [f"lack {listing(missing)}"] * bool(missing)
        what += [f"have {listing(extra)} besides"] * bool(extra)
        raise ValueError(
            f"the columns of {table.source} differ from those of fit: they {' and '.join(what)}. "
            "Give the same columns; their order is free."
        )
    return table.select(names)


def _refuse_unusable(table: Table, kinds: dict[str, str]) -> None:
    empty = [name for name, count in table.missing().items() if count == table.n_rows]
    if empty:
        raise ValueError(f"column {listing(empty)} has no value in any row: {_remedy(empty)}.")
    unusable = [name for name, kind in kinds.items() if kind in ("date/time", "text")]
    if unusable:
        what = ", ".join(f"{name!r} ({kinds[name]})" for name in unusable[:5])
        raise ValueError(
            f"{len(unusable)} columns hold neither numbers nor categories: {what}. Either "
            f"{_remedy(unusable)}, or name those whose values are categories in categorical=."
        )


def _refuse_missing(table: Table) -> None:
    missing = table.missing()
    if missing:
        first = ", ".join(f"{name!r} ({count})" for name, count in list(missing.items())[:5])
        raise ValueError(
            f"values are missing (NaN) in {len(missing)} columns of {table.n_rows} rows: {first}. "
            "Fill them with impute='median' or impute='mean', drop the rows with "
            f"table.drop_missing(), or {_remedy(list(missing))}."
        )


def _remedy(names: list[str]) -> str:
    """How to drop the named columns."""
    some = ",".join(names[:5]) + ",..." * (len(names) > 5)
    return f"drop them (--drop {some}, or table.drop)"


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


def match_columns(groups: Mapping[str, str | Sequence[str]], names: Iterable[str]) -> np.ndarray:
    """One group label per column, from patterns of column names.

    Parameters
    ----------
    groups : mapping of str to str or list of str
        For each group its columns: names, or patterns with ``*``, ``?`` and ``[...]``.
    names : iterable of str
        The columns to be grouped.

    Raises
    ------
    ValueError
        When a pattern matches nothing, or a column is in no group or in two.

    Examples
    --------
    >>> labels = match_columns({"size": ["height", "weight"], "gene": "g*"},
    ...                        ["height", "weight", "g1", "g2"])
    >>> labels.tolist()
    ['size', 'size', 'gene', 'gene']

    Groups of a table's columns pass on to an encoder's indicators by name:

    >>> encoder = TableEncoder().fit({"age": [31, 45], "city": ["Ulm", "Bonn"]})
    >>> label_of = dict(zip(["age", "city"], ["person", "place"]))
    >>> [label_of[name] for name in encoder.groups_]
    ['person', 'place', 'place']
    """
    names = list(names)
    position = {name: j for j, name in enumerate(names)}
    labels = np.full(len(names), None, dtype=object)
    for group, patterns in groups.items():
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if pattern in position:
                found = [position[pattern]]
            else:
                matches = re.compile(translate(pattern)).match
                found = [j for j, name in enumerate(names) if matches(name)]
            if not found:
                raise ValueError(
                    f"group {group!r}: {pattern!r} matches no column of {listing(names)}."
                )
            twice = [names[j] for j in found if labels[j] not in (None, group)]
            if twice:
                raise ValueError(
                    f"column {listing(twice)} is in group {group!r} and in another one: "
                    "name each column once."
                )
            labels[found] = group
    left = [name for name, label in zip(names, labels, strict=True) if label is None]
    if left:
        raise ValueError(
            f"{len(left)} columns are in no group: {listing(left)}. Add them to one, or give a "
            "lone column a group of its own."
        )
    return labels


def prefix_groups(names: Iterable[str], separators: str = "_.") -> np.ndarray:
    """Group columns by the part of their name before the last separator; without one, alone.

    >>> prefix_groups(["eeg_1", "eeg_2", "age"]).tolist()
    ['eeg', 'eeg', 'age']
    """
    names = list(names)
    cuts = [max(name.rfind(mark) for mark in separators) for name in names]
    stems = [name[:cut] if cut > 0 else name for name, cut in zip(names, cuts, strict=True)]
    return np.array(stems, dtype=object)


def read_groups(option: str, names: Iterable[str]) -> np.ndarray:
    """Group labels from a command-line option.

    The option is ``prefix``, ``prefix:`` and the separators (``prefix:_``), or the path of a JSON
    or TOML file that maps each group to its columns, as `match_columns` takes them.
    """
    if option == "prefix" or option.startswith("prefix:"):
        return prefix_groups(names, option.removeprefix("prefix").removeprefix(":") or "_.")
    path = Path(option)
    load = {".json": json.loads, ".toml": tomllib.loads}.get(path.suffix.lower())
    if load is None:
        raise ValueError(f"groups must be 'prefix', 'prefix:_', or a .json or .toml, got {option}.")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: not found from {Path.cwd()}. Give the path of the groups."
        )
    try:
        groups = load(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid {path.suffix[1:].upper()}: {error}.") from error
    if not isinstance(groups, dict) or not all(map(_is_pattern, groups.values())):
        raise ValueError(f'{path} must map groups to columns: {{"genes": ["g*"], "age": "age"}}.')
    return match_columns(groups, names)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(pattern, str) for pattern in value)
    )


def _check_target(y: np.ndarray, name: str) -> None:
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"target {name!r} must be one column of values, got shape {y.shape}.")
    n_missing = sum(1 for value in y.tolist() if value is None or value != value)  # NaN != NaN
    if n_missing:
        raise ValueError(
            f"target {name!r} is missing in {n_missing} of {len(y)} rows: "
            f"drop those rows, table.drop_missing([{name!r}])."
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise ValueError(f"target {name!r} holds infinite values: replace or drop those rows.")
    if np.all(y == y[0]):
        raise ValueError(
            f"target {name!r} is {y[0]!s} in all {len(y)} rows: there is nothing to learn. "
            "Choose another target."
        )
