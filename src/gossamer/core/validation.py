"""Checks of what a user hands in: refuse early, say what was given and what to do."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator


def finite_number(value: Any, name: str, minimum: float = -np.inf) -> float:
    """``value`` as a float; raises unless it is a finite number of at least ``minimum``."""
    if not isinstance(value, Real) or not np.isfinite(float(value)) or value < minimum:
        bound = "" if minimum == -np.inf else f" >= {minimum:g}"
        raise ValueError(f"{name} must be a finite number{bound}, got {value!r}.")
    return float(value)


def float_array(value: Any, name: str) -> np.ndarray:
    """``value`` as a float64 array, or an error that names it."""
    try:
        return np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers, got {value!r}.") from error


def feature_names_of(X: Any) -> list[str] | None:
    """Column names of a DataFrame (pandas, polars), ``None`` for anything else."""
    columns = getattr(X, "columns", None)
    return None if columns is None else [str(name) for name in columns]


def design_matrix(X: Any) -> Any:
    """X as a float ndarray, CSC array or linear operator; raises when it is none of these."""
    if isinstance(X, LinearOperator):
        return X
    if sparse.issparse(X):
        X = sparse.csc_array(X)
        _refuse_complex(X.dtype)
        if X.dtype not in (np.float32, np.float64):
            X = X.astype(float)
        X.sum_duplicates()
    else:
        X = _dense(X)
    if 0 in X.shape:
        raise ValueError(f"X is empty, shape {X.shape}: at least one row and one column needed.")
    return X


def _refuse_complex(dtype: np.dtype) -> None:
    if dtype.kind == "c":
        raise ValueError("X is complex: only real numbers are supported.")


def _dense(X: Any) -> np.ndarray:
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(
            f"X must be 2-D (n samples, p features), got shape {array.shape}. "
            "Use X.reshape(-1, 1) for a single feature."
        )
    if array.dtype in (np.float32, np.float64):
        return array
    _refuse_complex(array.dtype)
    try:
        return array.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"X must be numeric, got dtype {array.dtype}. Encode text and categories first, for "
            "example with gossamer.TableEncoder."
        ) from error


def check_finite(X: Any) -> None:
    """Raise when X has NaN or inf, naming a column."""
    if isinstance(X, LinearOperator):
        return
    data = X.data if sparse.issparse(X) else X
    if np.isfinite(data.sum(dtype=float)) or np.isfinite(data).all():
        return
    if sparse.issparse(X):
        bad = np.repeat(np.arange(X.shape[1]), np.diff(X.indptr))[~np.isfinite(X.data)]
    else:
        bad = np.flatnonzero(~np.isfinite(X).all(axis=0))
    raise ValueError(
        f"X contains NaN or inf, for example in column {bad[0]} ({len(np.unique(bad))} columns). "
        "Impute or drop them first."
    )


def normalised_weights(sample_weight: Any, n: int) -> np.ndarray:
    """(n,) weights summing to one."""
    if sample_weight is None:
        return np.full(n, 1.0 / n)
    weights = np.asarray(sample_weight, dtype=float)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {weights.shape}.")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight must be finite, >= 0 and not all zero.")
    return weights / weights.sum()


def coefficients(w: Any, shape: tuple[int, int], name: str) -> np.ndarray:
    """Coefficients as (p, K) float64, whatever of (p,), (p, 1), (p, K) was given."""
    array = np.asarray(w, dtype=float)
    if array.shape == shape:
        return array.copy()
    if shape[1] == 1 and array.shape == shape[:1]:
        return array[:, None].copy()
    raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")


def offsets(offset: Any, shape: tuple[int, int]) -> np.ndarray | None:
    """The offset as (n, K), or ``None``."""
    if offset is None:
        return None
    array = np.asarray(offset, dtype=float)
    array = array[:, None] if array.ndim == 1 else array
    if array.shape[0] != shape[0] or array.shape[1] not in (1, shape[1]):
        raise ValueError(f"offset must have shape ({shape[0]},) or {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("offset contains NaN or inf.")
    return np.broadcast_to(array, shape)
