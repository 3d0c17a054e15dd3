"""Tables as users bring them: files and data frames as named, typed columns.

pyarrow holds the columns; it is imported only when a table is read (``pip install gossamer[cli]``).
"""

from __future__ import annotations

import csv
import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gossamer.linear.dialect import (
    MAX_BLOCK,
    MISSING,
    SEPARATORS,
    WIDE,
    Dialect,
    find_dialect,
    ragged_line,
)
from gossamer.linear.words import listing

_DELIMITED = (".csv", ".tsv", ".tab", ".txt")
_PARQUET = (".parquet", ".pq")
_INDEX = re.compile(r"__index_level_\d+__")  # how pandas stores its row index in Parquet


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Named columns of one length, each of one kind; made by `read_table` and `as_table`.

    Attributes
    ----------
    arrow : pyarrow.Table
        The columns; missing values are nulls, never NaN.
    source : str
        Where the table came from and how it was read, for messages.

    Examples
    --------
    >>> table = as_table({"age": [31, 45, 28], "city": ["Ulm", "Bonn", "Ulm"]})
    >>> table
    Table(3 rows, 2 columns: 1 numeric, 1 categorical)
    >>> table.kinds
    {'age': 'numeric', 'city': 'categorical'}
    >>> table.drop(["city"]).column("age")
    array([31, 45, 28])
    """

    arrow: Any
    source: str = "table"

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return list(self.arrow.column_names)

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.arrow.num_rows)

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Kind of every column: numeric, boolean, categorical, date/time or text.

        Strings are text when they hardly repeat (over 20 distinct values, and over half as many
        as there are values), else categorical; so is whatever has no place in a linear model.
        """
        columns = zip(self.names, self.arrow.itercolumns(), strict=True)
        return {name: _kind(column) for name, column in columns}

    def column(self, name: str) -> np.ndarray:
        """One column as an array: NaN where a number is missing, None where anything else is."""
        pa = arrow_library()
        if self.arrow.schema.get_field_index(name) < 0:
            self._require([name])
        column = self.arrow.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        elif pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
            column = column.cast(pa.float64())
        return column.to_numpy()

    def missing(self) -> dict[str, int]:
        """How many values are missing, for the columns where any is."""
        counts = ((n, c.null_count) for n, c in zip(self.names, self.arrow.columns, strict=True))
        return {name: count for name, count in counts if count}

    def select(self, names: Iterable[str]) -> Table:
        """The named columns, in the order given."""
        names = self._require(names)
        return replace(self, arrow=self.arrow.select(names))

    def drop(self, names: Iterable[str]) -> Table:
        """All columns but the named ones."""
        dropped = set(self._require(names))
        return self.select([name for name in self.names if name not in dropped])

    def take(self, rows: Any) -> Table:
        """The given rows: positions, a boolean mask or a slice."""
        positions = np.arange(self.n_rows)[rows]
        return replace(self, arrow=self.arrow.take(positions))

    def drop_missing(self, names: Iterable[str] | None = None) -> Table:
        """The rows without a missing value in the named columns (default: in any column)."""
        names = self.names if names is None else self._require(names)
        whole = np.ones(self.n_rows, dtype=bool)
        for name in names:
            column = self.arrow.column(name)
            if column.null_count:
                whole &= column.is_valid().to_numpy()
        return self.take(whole)

    def _require(self, names: Iterable[str]) -> list[str]:
        return _require(names, self.names, self.source)

    def __repr__(self) -> str:
        kinds = list(self.kinds.values())
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        return f"Table({self.n_rows} rows, {len(kinds)} columns: {counts})"


def read_table(
    path: str | Path, columns: Sequence[str] | None = None, text: Sequence[str] = ()
) -> Table:
    """Read a CSV, TSV or Parquet file.

    Of a text file the separator (comma, semicolon, tab or bar) and the decimal mark are found from
    its first lines and stated in `Table.source`; the encoding is UTF-8, UTF-16 with its mark, or
    else Windows-1252, which reads Latin-1 text. The cells in `MISSING` are missing values, quoted
    or not. A column without a name becomes ``column 3``, and spaces around names are dropped.
    Files of over 1000 columns give all numbers as floats. The row index that pandas writes into
    Parquet is left out.

    Parameters
    ----------
    path : str or Path
        A file ending in .csv, .tsv, .tab, .txt, .parquet or .pq.
    columns : sequence of str, optional
        The columns to read, in this order; all by default.
    text : sequence of str
        Columns of a text file to read as strings whatever they look like, such as postcodes.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ValueError
        When the file is empty, not a table, has ragged rows or repeats a column name.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "people.csv"
    >>> _ = path.write_text("name;height\\nAda;1,65\\nKurt;NA\\n")
    >>> table = read_table(path)
    >>> table.column("height")
    array([1.65, nan])
    >>> table.source.removeprefix(str(path))
    " (separator ';', decimal ',', utf-8)"
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else f"not found from {Path.cwd()}"
        raise FileNotFoundError(f"{path}: {what}. Give the path of a table.")
    suffix = path.suffix.lower()
    if suffix not in _DELIMITED + _PARQUET:
        allowed = ", ".join(_DELIMITED + _PARQUET)
        raise ValueError(f"{path}: cannot read {suffix!r} files. Save the table as {allowed}.")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty (0 bytes). Write the table again.")
    if suffix in _PARQUET:
        return _read_parquet(path, columns)
    return _read_delimited(path, columns, text)


def as_table(frame: Any, source: str = "table") -> Table:
    """A table from a pandas, polars or pyarrow one, or from a mapping of names to columns.

    NaN counts as missing; a pandas index is left out; column names become strings.

    Examples
    --------
    >>> as_table({"dose": np.array([0.5, np.nan])}).missing()
    {'dose': 1}
    """
    if isinstance(frame, Table):
        return frame
    pa = arrow_library()
    try:
        if isinstance(frame, Mapping):
            columns = {str(name): _column(values, name) for name, values in frame.items()}
            return _tidy(pa.table(columns), source)
        if hasattr(frame, "iloc"):  # pandas, which need not be installed
            return _tidy(_from_pandas(frame), source)
        return _tidy(pa.table(frame), source)
    except pa.ArrowException as error:
        reason = ": ".join(str(part) for part in reversed(error.args))
        raise ValueError(f"{source}: {reason}. Give all columns one length and type.") from error
    except TypeError as error:
        raise TypeError(
            "a table must be a pandas, polars or pyarrow one, or a mapping of names to columns, "
            f"got {type(frame).__name__}: {error}"
        ) from error


def arrow_library() -> Any:
    """pyarrow with its `compute` and `csv`, or an ImportError that says how to get it."""
    try:
        import pyarrow as pa
        import pyarrow.compute
        import pyarrow.csv
    except ImportError as error:
        raise ImportError("tables need pyarrow: pip install 'gossamer[cli]'.") from error
    return pa


def _kind(column: Any) -> str:
    types = arrow_library().types
    dtype = column.type
    if types.is_floating(dtype) or types.is_integer(dtype) or types.is_decimal(dtype):
        return "numeric"
    if types.is_null(dtype):
        return "numeric"  # no value at all: any kind would do
    if types.is_boolean(dtype):
        return "boolean"
    if types.is_dictionary(dtype):
        return "categorical"
    if types.is_temporal(dtype):
        return "date/time"
    if types.is_string(dtype) or types.is_large_string(dtype):
        n_distinct = len(column.unique()) - bool(column.null_count)
        hardly_repeats = 2 * n_distinct > len(column) - column.null_count
        return "text" if n_distinct > 20 and hardly_repeats else "categorical"
    return "text"


def _column(values: Any, name: Any) -> Any:
    """One entry of a mapping as an Arrow column."""
    pa = arrow_library()
    if hasattr(values, "__arrow_c_stream__"):  # a polars or pandas series
        return pa.chunked_array(values)
    try:
        return pa.chunked_array([pa.array(values, from_pandas=True)])
    except pa.ArrowException as error:
        raise type(error)(str(error), f"column {name}") from error


def _from_pandas(frame: Any) -> Any:
    pa = arrow_library()
    names = [str(name) for name in frame.columns]
    _check_names(names, "table")
    kinds = {dtype.kind for dtype in set(frame.dtypes) if isinstance(dtype, np.dtype)}
    if len(set(frame.dtypes)) == 1 and kinds <= set("iuf") and kinds:
        return matrix_table(frame.to_numpy(), names)  # 20 times faster on 10^5 columns
    return pa.Table.from_pandas(frame, preserve_index=False).rename_columns(names)


def matrix_table(matrix: np.ndarray, names: Sequence[str]) -> Any:
    """The columns of an (n, p) numeric array; NaN becomes null."""
    pa = arrow_library()
    columns = [pa.array(column, from_pandas=True) for column in np.asfortranarray(matrix).T]
    return pa.Table.from_arrays(columns, names=list(names))


def _tidy(arrow: Any, source: str) -> Table:
    """One spelling of strings and of missing values, whatever library the columns came from."""
    pa = arrow_library()
    _check_names(arrow.column_names, source)
    if arrow.num_rows == 0:
        raise ValueError(f"{source} has no rows below its header: nothing can be learned from it.")
    columns = arrow.columns
    for j, column in enumerate(columns):
        if pa.types.is_string_view(column.type):  # of polars, and short of functions
            columns[j] = column.cast(pa.large_string())
        elif pa.types.is_dictionary(column.type):
            if pa.types.is_string_view(column.type.value_type):
                columns[j] = pa.chunked_array(map(_plain_dictionary, column.chunks))
        elif pa.types.is_floating(column.type):
            nan = pa.compute.is_nan(column)
            if pa.compute.any(nan).as_py():
                columns[j] = pa.compute.if_else(nan, pa.scalar(None, column.type), column)
    return Table(pa.Table.from_arrays(columns, names=arrow.column_names), source)


def _plain_dictionary(chunk: Any) -> Any:
    pa = arrow_library()
    levels = chunk.dictionary.cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(chunk.indices, levels)


def _check_names(names: Sequence[str], source: str) -> None:
    if len(set(names)) < len(names):
        repeated = [name for name, count in Counter(names).items() if count > 1]
        raise ValueError(
            f"{source} has several columns named {listing(repeated)}: rename them. "
            "If they are values, the header line is missing."
        )
    if not names:
        raise ValueError(f"{source} has no columns.")


def _read_parquet(path: Path, columns: Sequence[str] | None) -> Table:
    pa = arrow_library()
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            kept = [name for name in names if not _INDEX.fullmatch(name)]
            _check_names(kept, str(path))
            columns = _require(kept if columns is None else columns, kept, str(path))
            # Selected again: `read` keeps the file's order, and takes "a" to name "a.b" as well.
            return _tidy(file.read(columns).select(columns), str(path))
    except (pa.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is not a Parquet file, or is damaged ({error}). Write it again."
        ) from error


def _require(names: Iterable[str], known: Sequence[str], source: str) -> list[str]:
    """The names as a list, all of them known."""
    if isinstance(names, str):
        raise TypeError(f"names must be a list of column names, got the string {names!r}.")
    names, present = list(names), set(known)
    unknown = [name for name in names if name not in present]
    if unknown:
        spelled = {name.casefold(): name for name in known[:10_000]}
        close = difflib.get_close_matches(str(unknown[0]).casefold(), spelled, n=3)
        close = [spelled[name] for name in close]
        hint = f"did you mean {listing(close)}?" if close else f"it has {listing(known)}."
        raise ValueError(f"{source} has no column {listing(unknown)}: {hint}")
    return names


def _read_delimited(path: Path, columns: Sequence[str] | None, text: Sequence[str]) -> Table:
    pa = arrow_library()
    field_limit = csv.field_size_limit(1 << 30)  # Python's own 128 kB is short for a sequence
    try:
        dialect = find_dialect(path)
        names = dialect.names
        _check_names(names, str(path))
        columns = _require(names if columns is None else columns, names, str(path))
        types = dict.fromkeys(dialect.numbers, pa.float64())
        types |= dict.fromkeys(_require(text, names, str(path)), pa.string())
        arrow = _parse(path, dialect, columns, types)
    except UnicodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8 or Windows-1252. Save the table as UTF-8."
        ) from error
    finally:
        csv.field_size_limit(field_limit)
    separator, encoding = SEPARATORS[dialect.separator], dialect.encoding.removesuffix("-sig")
    return _tidy(arrow, f"{path} (separator {separator}, decimal {dialect.decimal!r}, {encoding})")


def _parse(path: Path, dialect: Dialect, columns: Sequence[str], types: dict[str, Any]) -> Any:
    pa = arrow_library()
    try:
        return pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(
                use_threads=len(dialect.names) <= WIDE,  # a task a column costs more than it saves
                block_size=dialect.block,
                column_names=dialect.names,
                skip_rows_after_names=dialect.n_blank + 1,
                encoding="utf8" if dialect.encoding == "utf-8-sig" else dialect.encoding,
            ),
            parse_options=pa.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                include_columns=columns,
                column_types=types,
                null_values=[*MISSING, *(" " + cell for cell in MISSING)],
                strings_can_be_null=True,
                decimal_point=dialect.decimal,
            ),
        )
    except pa.ArrowInvalid as error:
        if "conversion error" in str(error) and dialect.numbers:  # not numbers further down
            types = {name: dtype for name, dtype in types.items() if dtype == pa.string()}
            return _parse(path, replace(dialect, numbers=[]), columns, types)
        if "straddling" in str(error) and dialect.block < MAX_BLOCK:
            block = min(path.stat().st_size + 1, MAX_BLOCK)
            return _parse(path, replace(dialect, block=block), columns, types)
        raise ValueError(f"{path}: {ragged_line(path, dialect) or error}") from error
