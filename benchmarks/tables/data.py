"""The tables: columns of variance one, and a quantitative target of variance one as well.

So every tool's own scaling changes nothing, and one strength means one thing to all of them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

import real_tables
from survival_tables import SURVIVAL_TABLES


@dataclass(frozen=True)
class Data:
    """X is (n, p); y as the loss takes it; group is each column's number, from zero."""

    X: np.ndarray
    y: np.ndarray
    group: np.ndarray


@cache
def data(table: str) -> Data:
    """A table by its name; "ames_prices" is ``ames_numbers`` with prices, a positive target."""
    if table in SURVIVAL_TABLES:
        t = SURVIVAL_TABLES[table]()
    elif table == "ames_prices":
        t = real_tables.ames_numbers()
    else:
        t = real_tables.TABLES[table]()
    group = np.arange(t.X.shape[1])
    for number, members in enumerate(t.groups or ()):
        group[members] = number
    kept = t.X.std(axis=0) > 0
    X, y = _standardised(t.X[:, kept]), t.y
    if table == "ames_prices":
        y = 10 ** (y - y.mean())
    elif t.loss == "quadratic":
        y = _standardised(y)
    return Data(np.asfortranarray(X), y, group[kept])


def orthonormal(table: Data) -> Data:
    """The same with columns that are uncorrelated within their group, as grpreg makes them."""
    X = table.X.copy()
    for number in range(table.group.max() + 1):
        block = table.group == number
        X[:, block] = np.linalg.qr(X[:, block])[0] * np.sqrt(len(X))
    return Data(X, table.y, table.group)


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)
