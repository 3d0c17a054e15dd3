"""Files and data frames as tables: what is read, and what is refused with which words."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gossamer.linear.table import Table, as_table, read_table


def written(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(folder: Path, content: str | bytes, words: str, name: str = "t.csv") -> None:
    path = written(folder, content, name)
    with pytest.raises(ValueError, match=words) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("separator", "stated"), [(",", "','"), (";", "';'"), ("\t", "tab"), ("|", "'|'")]
)
def test_the_separator_is_found_and_stated(tmp_path: Path, separator: str, stated: str) -> None:
    rows = [["a", "b", "c"], ["1", "x", "2.5"], ["2", '"p, q; r | s"', "-1e3"]]
    table = read_table(written(tmp_path, "\n".join(separator.join(row) for row in rows)))
    assert table.names == ["a", "b", "c"]
    assert table.column("c").tolist() == [2.5, -1000.0]
    assert table.column("b").tolist() == ["x", "p, q; r | s"]
    assert f"separator {stated}, decimal '.'" in table.source


def test_one_column_needs_no_separator(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "a\n1\n2\n")).column("a").tolist() == [1, 2]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_decimal_commas(tmp_path: Path, separator: str) -> None:
    text = "name;size;n\nx;1,5;1\ny;-2,25;2\n".replace(";", separator)
    table = read_table(written(tmp_path, text))
    assert table.column("size").tolist() == [1.5, -2.25]
    assert "decimal ','" in table.source


def test_a_quoted_value_may_hold_separators_quotes_and_line_breaks(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, 'a,b\n"x, ""y""\nz",1\nw,2\n'))
    assert table.column("a").tolist() == ['x, "y"\nz', "w"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_and_unicode_names(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "größe,ville\n1,Orléans\n2,Ævik\n".encode(encoding))
    table = read_table(path)
    assert table.names == ["größe", "ville"]
    assert table.column("ville").tolist() == ["Orléans", "Ævik"]


def test_latin_1_may_begin_late(tmp_path: Path) -> None:
    content = b"a,b\n" + b"plain,1\n" * 50_000 + b"M\xfcnchen,2\n"
    assert read_table(written(tmp_path, content)).column("a")[-1] == "München"


@pytest.mark.parametrize("cell", ["", "NA", "NaN", "nan", "null", "?", '"NA"', '""', "-nan"])
def test_missing_values(tmp_path: Path, cell: str) -> None:
    table = read_table(written(tmp_path, f"a,b\n1,x\n{cell},{cell}\n3,x\n"))
    assert table.missing() == {"a": 1, "b": 1}
    np.testing.assert_array_equal(table.column("a"), [1, np.nan, 3])
    assert table.column("b").tolist() == ["x", None, "x"]


def test_spaces_after_separators_do_not_matter(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a, b\n1, 2\n3, ?\n"))
    np.testing.assert_array_equal(table.column("b"), [2, np.nan])


def test_a_separator_inside_a_quoted_header_does_not_count(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, '"last, first";age\n"Doe, Jane";31\n'))
    assert table.names == ["last, first", "age"]


def test_types_are_found_over_the_whole_file(tmp_path: Path) -> None:
    content = "a,b\n" + "1,1\n" * 2_000_000 + "1.5,x\n"
    table = read_table(written(tmp_path, content))  # several of the blocks that are parsed at once
    assert table.kinds == {"a": "numeric", "b": "categorical"}


def test_columns_are_selected_in_the_order_asked(tmp_path: Path) -> None:
    csv_path = written(tmp_path, "a,b,a.b\n1,2,3\n4,5,6\n")
    pq.write_table(pa.table({"a": [1, 4], "b": [2, 5], "a.b": [3, 6]}), tmp_path / "t.parquet")
    for path in (csv_path, tmp_path / "t.parquet"):
        assert read_table(path, columns=["b", "a"]).arrow.to_pydict() == {"b": [2, 5], "a": [1, 4]}
        with pytest.raises(ValueError, match=r"no column 'ab': did you mean"):
            read_table(path, columns=["ab"])


def test_codes_can_be_read_as_text(tmp_path: Path) -> None:
    path = written(tmp_path, "plz,x\n01067,1\n01069,2\n")
    assert read_table(path).column("plz").tolist() == [1067, 1069]
    assert read_table(path, text=["plz"]).column("plz").tolist() == ["01067", "01069"]


def test_a_nameless_column_gets_a_name(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, ",a\n0,5\n1,6\n")).names == ["column 1", "a"]


def test_blank_lines_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    for text in ("\n\na,b\n1,2\n\n3,4\n", "a,b\r\n1,2\r\n3,4\r\n", "a,b\r1,2\r3,4"):
        assert read_table(written(tmp_path, text)).column("a").tolist() == [1, 3]


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: not found"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "words", "name"),
    [
        ("", "is empty", "t.csv"),
        ("", "is empty", "t.parquet"),
        ("\n \n", "only blank lines", "t.csv"),
        ("a,b\n", "no rows below its header", "t.csv"),
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 fields, the header has 2", "t.csv"),
        ("a;b\n1;2\n\n3;4;5\n", "line 4 has 3 fields, the header has 2.*quote.*';'", "t.csv"),
        ("a,b,a\n1,2,3\n", "several columns named 'a': rename", "t.csv"),
        ("0.5,1.5\n2,3\n", "first line holds numbers.*header", "t.csv"),
        (b"PK\x03\x04\x00\x00\x08" * 50, "binary data", "t.csv"),
        (b"a,b\n\x81\x8d,1\n", "not text in UTF-8 or Windows-1252", "t.csv"),
        (b"\xff\xfea", "not text in UTF-8", "t.csv"),
        ("a,b\n1,2\n", "cannot read '.xlsx' files.*parquet", "t.xlsx"),
        ("a,b\n1,2\n", "not a Parquet file", "t.parquet"),
        (b"PAR1" + b"\x07" * 64 + b"PAR1", "not a Parquet file", "t.parquet"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, content: str | bytes, words: str, name: str) -> None:
    refused(tmp_path, content, words, name)


def test_random_bytes_are_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    refused(tmp_path, rng.bytes(5000), "binary data")


def test_a_parquet_header_alone_and_an_index(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    with pytest.raises(ValueError, match="no rows"):
        read_table(path)
    pd.DataFrame({"a": [1, 2, 3]})[lambda d: d.a > 1].to_parquet(path)
    assert read_table(path).names == ["a"]


def test_a_very_long_row_is_read(tmp_path: Path) -> None:
    text = "a,b\n" + "1,x\n" * 20_000 + "2," + "y" * 9_000_000 + "\n"  # longer than a block
    assert len(read_table(written(tmp_path, text)).column("b")[-1]) == 9_000_000


@pytest.mark.parametrize("late", ["2.5", "text"])
def test_wide_files_are_read_in_seconds(
    tmp_path: Path, rng: np.random.Generator, late: str
) -> None:
    p = 100_000 if late == "2.5" else 2_000
    cells = rng.integers(0, 100, size=(20, p)).astype(str)
    cells[-1, 7] = late  # the first rows do not tell
    lines = [",".join(f"g{j}" for j in range(p)), *(",".join(row) for row in cells)]
    path = written(tmp_path, "\n".join(lines))
    start = time.process_time()
    table = read_table(path)
    seconds = time.process_time() - start
    assert (table.n_rows, len(table.names)) == (20, p)
    assert table.column("g7")[-1] == (2.5 if late == "2.5" else "text")
    assert table.column(f"g{p - 1}")[0] == float(cells[0, -1])
    assert seconds < 20  # about 3 CPU seconds; inferring each column's type would take 15 or more


def test_frames_of_all_libraries_give_equal_tables(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "n": [1.5, None, 3.0],
        "i": [1, 2, 3],
        "s": ["u", None, "v"],
        "b": [True, False, True],
    }
    frame = pd.DataFrame(columns, index=pd.Index([7, 8, 9], name="row"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    tables = [
        as_table(columns),
        as_table(frame),
        as_table(frame.convert_dtypes()),
        as_table(pl.DataFrame(columns)),
        as_table(pa.table(columns)),
        as_table({name: frame[name] for name in columns}),
        read_table(tmp_path / "t.csv"),
        read_table(tmp_path / "t.parquet"),
    ]
    for table in tables:
        assert table.arrow.to_pydict() == columns
        assert list(table.kinds.values()) == ["numeric", "numeric", "categorical", "boolean"]


def test_nan_is_missing_wherever_it_comes_from() -> None:
    values = np.array([1.0, np.nan])
    for frame in ({"a": values}, pl.DataFrame({"a": values}), pd.DataFrame({"a": values})):
        assert as_table(frame).missing() == {"a": 1}


def test_kinds() -> None:
    dates = pd.date_range("2020-01-01", periods=30)
    table = as_table(
        {
            "number": np.arange(30),
            "level": pd.Categorical(np.arange(30) % 3),
            "flag": [True, None, False] * 10,
            "when": dates,
            "name": [f"person {i}" for i in range(30)],
            "town": ["Ulm", "Bonn", None] * 10,
            "nothing": [None] * 30,
        }
    )
    assert list(table.kinds.values()) == [
        "numeric",
        "categorical",
        "boolean",
        "date/time",
        "text",
        "categorical",
        "numeric",
    ]
    assert table.column("level")[:4].tolist() == [0, 1, 2, 0]
    assert np.isnan(table.column("nothing")).all()


def test_rows_and_columns_are_chosen() -> None:
    table = as_table({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [None, 5.0, 6.0]})
    assert table.drop(["b"]).names == ["a", "c"]
    assert table.select(["c", "a"]).names == ["c", "a"]
    assert table.take([2, 0]).column("a").tolist() == [3, 1]
    assert table.take(np.array([True, False, True])).column("b").tolist() == ["x", "z"]
    assert table.drop_missing().column("a").tolist() == [3]
    assert table.drop_missing(["b"]).column("a").tolist() == [1, 3]
    assert table.names == ["a", "b", "c"]  # the table itself is as it was
    with pytest.raises(AttributeError, match="cannot assign"):
        table.source = "other"  # type: ignore[misc]


def test_unknown_columns_are_named() -> None:
    table = as_table({"height": [1, 2], "weight": [3, 4]})
    for use in (table.drop, table.select, table.drop_missing):
        with pytest.raises(ValueError, match="no column 'heights': did you mean 'height'"):
            use(["heights"])
    with pytest.raises(ValueError, match="no column 'zzz': it has 'height', 'weight'"):
        table.column("zzz")
    with pytest.raises(TypeError, match=re.escape("the string 'height'")):
        table.drop("height")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ({"a": [1, 2], "b": [1]}, "one length"),
        (pd.DataFrame({"good": [1, 2], "bad": [1, "x"]}), "column bad.*one length and type"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
        ({}, "no columns"),
        ({"a": []}, "no rows"),
    ],
)
def test_bad_frames_are_refused(frame: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        as_table(frame)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(TypeError, match=r"pandas, polars or pyarrow.*got int"):
        as_table(5)


def test_without_pyarrow_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'gossamer[cli]'")):
        as_table({"a": [1]})


def test_a_table_passes_through_and_describes_itself() -> None:
    table = as_table({"a": [1, 2], "b": ["x", "y"]})
    assert as_table(table) is table
    assert isinstance(table, Table)
    assert repr(table) == "Table(2 rows, 2 columns: 1 numeric, 1 categorical)"
