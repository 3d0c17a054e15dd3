"""From a table to what a linear model takes: a matrix and the groups of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from gossamer.linear.table import Table, arrow_library, as_table, matrix_table
from gossamer.linear.words import listing

_RARE = "(rare)"
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
            refuse_missing(table)
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
            refuse_missing(table)
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
        >>> import json
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
            raise ValueError(f"two encoded columns would both be {listing(repeated)}: rename one.")
        self.feature_names_out_ = np.array(names, dtype=object)
        owners = [c.name for c, group in zip(self.columns_, outputs, strict=True) for _ in group]
        self.groups_ = np.array(owners if self.categories == "groups" else names, dtype=object)

    def _indicators(self, table: Table, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and output column of every indicator that is one."""
        rows, positions = [np.empty(0, dtype=np.intp)], [np.empty(0, dtype=np.intp)]
        unseen: dict[str, list[str]] = {}
        for column, start in zip(self.columns_, starts, strict=False):
            if column.kind == "categorical":
                codes, unknown = level_codes(table, column)
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


def level_codes(table: Table, column: Column) -> tuple[np.ndarray, list[str]]:
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


def refuse_missing(table: Table) -> None:
    """Raise when a value is missing, saying where and what to do."""
    if missing := table.missing():
        first = ", ".join(f"{name!r} ({count})" for name, count in list(missing.items())[:5])
        raise ValueError(
            f"values are missing (NaN) in {len(missing)} columns of {table.n_rows} rows: {first}. "
            "Fill them with impute='median' or impute='mean' (--impute median), drop the rows with "
            f"table.drop_missing() (--drop-missing), or {_remedy(list(missing))}."
        )


def _remedy(names: list[str]) -> str:
    """How to drop the named columns."""
    some = ",".join(names[:5]) + ",..." * (len(names) > 5)
    return f"drop them (--drop {some}, or table.drop)"
