"""Rows held out, and rows cut into folds, reproducibly."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)


def hold_out(
    y: np.ndarray, size: float, seed: int, *, classes: bool, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of training and of test rows, in random order.

    Parameters
    ----------
    y : (n,) target
    size : float in [0, 1)
        Share of the rows, or of the groups, that is held out; 0 holds out none.
    classes : bool
        Whether y holds labels: each class is then held out by the same share.
    groups : (n,), optional
        Rows of one group stay together.

    Examples
    --------
    >>> train, test = hold_out(np.arange(10.0), 0.2, seed=0, classes=False)
    >>> len(train), len(test)
    (8, 2)
    """
    rows = np.arange(len(y))
    if size == 0:
        return rows, rows[:0]
    try:
        if groups is not None:
            split = GroupShuffleSplit(1, test_size=size, random_state=seed)
            train, test = next(split.split(rows, y, groups))
            return train, test
        train, test = train_test_split(
            rows, test_size=size, random_state=seed, stratify=y if classes else None
        )
    except ValueError as error:
        raise ValueError(
            f"cannot hold out {size:g} of {len(y)} rows: {error} Give more rows, a test table "
            "(--test), or no test set (--test-size 0)."
        ) from error
    return train, test


def fold_splitter(n_folds: int, seed: int, *, classes: bool, groups: bool) -> Any:
    """A shuffling splitter: stratified for classes, whole groups in one fold for groups."""
    kinds: dict[tuple[bool, bool], type] = {
        (False, False): KFold,
        (True, False): StratifiedKFold,
        (False, True): GroupKFold,
        (True, True): StratifiedGroupKFold,
    }
    return kinds[classes, groups](n_folds, shuffle=True, random_state=seed)
