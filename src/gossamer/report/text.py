"""Words and numbers that fit: shortened names, column widths, compact numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from unicodedata import combining, east_asian_width


def column_width(text: str) -> int:
    """Columns that a text takes in a terminal: wide characters take two, combining ones none."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def shorten(name: object, width: int = 24) -> str:
    """The name in at most `width` columns, its middle replaced by an ellipsis where it is longer.

    Beginning and end are kept because names of features tend to differ in one of the two.

    >>> shorten("mean_temperature_of_the_coldest_quarter", 20)
    'mean_tempera…quarter'
    """
    clean = "".join(c if c.isprintable() else "�" for c in " ".join(str(name).split()))
    if column_width(clean) <= width:
        return clean
    tail = (width - 1) // 3 + 1
    head = width - 1 - tail
    return f"{_first_columns(clean, head)}…{_first_columns(clean[::-1], tail)[::-1]}"


def _first_columns(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += column_width(character)
        if used > width:
            return text[:position]
    return text


def pad(text: str, width: int) -> str:
    """The text followed by spaces up to `width` terminal columns."""
    return text + " " * (width - column_width(text))


def number(value: float, digits: int = 3, *, padded: bool = False) -> str:
    """A compact number with a true minus sign; a dash where there is none.

    `padded` keeps trailing zeros, for columns of numbers.

    >>> number(-0.000012345), number(2.0), number(2.0, padded=True)
    ('−1.23e-05', '2', '2.00')
    """
    if math.isnan(value):
        return "–"
    text = f"{abs(value):#.{digits}g}".rstrip(".") if padded else f"{abs(value):.{digits}g}"
    return f"−{text}" if value < 0 else text


def counted(count: int, noun: str) -> str:
    """``1 feature``, ``2,308 features``."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def names_or_default(names: Sequence[str] | None, n_features: int) -> Sequence[str]:
    """The names, or ``x0, x1, ...`` where there are none.

    Raises
    ------
    ValueError
        If there is not one name per feature.
    """
    if names is None:
        return [f"x{index}" for index in range(n_features)]
    if len(names) != n_features:
        raise ValueError(
            f"feature_names has {len(names)} names for {n_features} features; give one per feature."
        )
    return names
