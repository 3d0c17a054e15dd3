"""How a law is applied: what it found, in a sentence, with warnings as errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Law = Callable[[Any], None]


def apply(law: Law, piece: Any) -> None:
    """Apply ``law`` to ``piece``; raise ``AssertionError`` with its name and a counter-example."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            law(piece)
        except Exception as error:
            found = (
                error if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            )
            sentence = (law.__doc__ or "").strip().splitlines()[0]
            raise AssertionError(
                f"{piece!r} breaks the law {law.__name__} ({sentence}): {found}"
            ) from error


def generator() -> np.random.Generator:
    """The same random numbers each time: a law that fails once fails again."""
    return np.random.default_rng(20260101)


def hold(condition: np.ndarray | np.bool | bool, **example: Any) -> None:
    """Fail with the first entry of each array in ``example`` where ``condition`` is false."""
    wrong = np.flatnonzero(~np.atleast_1d(condition))
    if len(wrong) == 0:
        return
    at, size = wrong[0], np.size(condition)
    shown = {
        name: np.ravel(value)[at] if size > 1 and np.size(value) == size else value
        for name, value in example.items()
    }
    raise AssertionError(", ".join(f"{name} = {value!s}" for name, value in shown.items()))


def close(found: Any, expected: Any, tolerance: float = 1e-12, **example: Any) -> None:
    """Fail unless the arrays are equal up to ``tolerance``, relative above one; infinities too."""
    found, expected = np.broadcast_arrays(np.asarray(found, float), np.asarray(expected, float))
    equal = found == expected
    both = np.isfinite(found) & np.isfinite(expected) & ~equal
    difference = np.zeros(found.shape)
    difference[both] = np.abs(found[both] - expected[both])
    near = both & (difference <= tolerance * (1 + np.where(both, np.abs(expected), 0.0)))
    hold(equal | near, found=found, expected=expected, **example)
