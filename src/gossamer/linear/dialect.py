"""How a text file writes a table: its encoding, separator, decimal mark and header."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

from gossamer.linear.words import listing

MISSING = ("", "?", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-nan", "null", "NULL")
"""What a cell of a text file may hold to say that its value is missing."""

SEPARATORS = {"\t": "tab", ";": "';'", "|": "'|'", ",": "','"}
_COMMA, _POINT = (re.compile(rf"\s*[+-]?\d*{mark}\d+([eE][+-]?\d+)?\s*") for mark in (",", r"\."))
WIDE = 1_000  # columns from which inferring every column's type costs more than reading it
_MIN_BLOCK, MAX_BLOCK = 1 << 22, (1 << 31) - 1  # bytes; pyarrow counts them in 32 bits


@dataclass(frozen=True)
class Dialect:
    """How a text file writes a table."""

    encoding: str
    separator: str
    decimal: str
    names: list[str]
    n_blank: int  # lines before the header
    block: int  # bytes parsed at a time: it must hold the longest row
    numbers: list[str]  # columns of a wide file that start with numbers


def find_dialect(path: Path) -> Dialect:
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        lines = list(itertools.takewhile(bool, (file.readline() for _ in range(4))))
        lines += file.readlines(1 << 16)
    n_blank = sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), lines))
    lines = lines[n_blank:]
    if not lines:
        raise ValueError(f"{path} holds only blank lines. Write the table again.")
    separator = _separator(lines)
    rows = _rows(lines, separator)
    names = [name.strip() or f"column {j}" for j, name in enumerate(rows[0], start=1)]
    if all(map(_is_number, rows[0])) and any(map(_POINT.fullmatch, rows[0])):
        raise ValueError(
            f"{path}: the first line holds numbers, not column names ({listing(rows[0])}). "
            "Add a header line."
        )
    decimal = _decimal(rows[1:], separator)
    cells = zip(names, *rows[1:], strict=False)
    numbers = [name for name, *column in cells if all(_is_number(c, decimal) for c in column)]
    longest = max(len(line.encode(errors="replace")) for line in lines)
    return Dialect(
        encoding=encoding,
        separator=separator,
        decimal=decimal,
        names=names,
        n_blank=n_blank,
        block=min(max(_MIN_BLOCK, 64 * longest), MAX_BLOCK),
        numbers=numbers if len(names) > WIDE else [],
    )


def ragged_line(path: Path, dialect: Dialect) -> str:
    """The first line with too many or too few fields, in words; empty when there is none."""
    width = len(dialect.names)
    with path.open(encoding=dialect.encoding, newline="") as lines:
        reader = csv.reader(lines, delimiter=dialect.separator)
        for row in reader:
            if row and len(row) != width:
                return (
                    f"line {reader.line_num} has {len(row)} fields, the header has {width}. Repair "
                    f"it, or quote the values that hold {SEPARATORS[dialect.separator]}."
                )
    return ""


def _encoding(path: Path) -> str:
    """UTF-8 if the whole file is, UTF-16 if it says so, else Windows-1252; binary files raise."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return "utf-16"
        file.seek(0)
        decoder, encoding = codecs.getincrementaldecoder("utf-8")(), "utf-8-sig"
        for chunk in itertools.chain(iter(lambda: file.read(1 << 24), b""), [b""]):
            if b"\0" in chunk:
                raise ValueError(
                    f"{path} holds binary data, not text (a spreadsheet?). Save it as CSV."
                )
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError:
                decoder.reset()
                encoding = "cp1252"
    return encoding


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    return [row for row in csv.reader(lines, delimiter=separator) if row]


def _separator(lines: list[str]) -> str:
    """The separator that gives most lines as many fields as the header, and the most fields."""

    def score(separator: str) -> tuple[float, int]:
        widths = [len(row) for row in _rows(lines, separator)]
        agreeing = widths.count(widths[0]) / len(widths)
        return agreeing if widths[0] > 1 else 0.0, widths[0]

    candidates = [separator for separator in SEPARATORS if separator in lines[0]]
    return max(candidates or [","], key=score)


def _decimal(rows: list[list[str]], separator: str) -> str:
    """The decimal mark in use; a comma when nothing tells and the separator is a semicolon."""
    if separator == ",":
        return "."
    cells = [cell for row in rows for cell in row]
    commas, points = (sum(1 for c in cells if mark.fullmatch(c)) for mark in (_COMMA, _POINT))
    return "," if commas > points or (commas == points and separator == ";") else "."


def _is_number(cell: str, decimal: str = ".") -> bool:
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return cell.strip() in MISSING
    return True
