"""What all inference shares: a table checked, its names, and the answer as a plain table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data


@dataclass(frozen=True, eq=False)
class SummaryTable:
    """Columns of equal length by name, one row a feature; as text an aligned table.

    >>> print(SummaryTable({"feature": np.array(["age", "dose"]), "p": np.array([0.5, 1e-9])}))
    feature      p
    age        0.5
    dose     1e-09
    """

    columns: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __str__(self) -> str:
        cells = [[name, *map(_as_text, column)] for name, column in self.columns.items()]
        widths = [max(map(len, column)) for column in cells]
        texts = [column.dtype.kind in "UO" for column in self.columns.values()]
        rows = zip(*cells, strict=True)
        return "\n".join(
            "  ".join(
                cell.ljust(width) if is_text else cell.rjust(width)
                for cell, width, is_text in zip(row, widths, texts, strict=True)
            ).rstrip()
            for row in rows
        )


def _as_text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


@dataclass(eq=False, repr=False)
class Inference(BaseEstimator):
    """Base of all inference; subclasses are dataclasses whose fields are parameters."""

    def _table(self, X: Any, y: Any, *, numeric: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """X (n, p) dense and y (n,), as floats (labels as they are), at least three samples."""
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=numeric, ensure_min_samples=3)
        y = column_or_1d(y, warn=True)
        if not numeric:
            return X, y
        y = np.asarray(y, dtype=float)
        if np.ptp(y) == 0:
            raise ValueError(f"y is constant, {y[0]:g}: there is nothing to explain.")
        return X, y

    def _names(self) -> np.ndarray:
        """(p,) names of the columns, made up where the table had none."""
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return np.array([f"x{j}" for j in range(self.n_features_in_)], dtype=object)
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


@dataclass(eq=False, repr=False)
class Selection(SelectorMixin, Inference):
    """Inference that ends in ``selected_``: also a transformer that keeps those columns."""

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self, "selected_")
        mask = np.zeros(self.n_features_in_, dtype=bool)
        mask[self.selected_] = True
        return mask


def checked_share(value: Any, name: str, *, low: float = 0.0) -> float:
    """A number in (low, 1)."""
    if not (isinstance(value, Real) and low < float(value) < 1):
        raise ValueError(f"{name} must be a number in ({low:g}, 1), got {value!r}.")
    return float(value)


def checked_count(value: Any, name: str, least: int = 1) -> int:
    """A whole number from ``least`` on."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}, got {value!r}.")
    return int(value)


def checked_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """One of several words."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
    return value
