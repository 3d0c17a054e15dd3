"""Every estimator keeps scikit-learn's own contract."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.utils import check_X_y
from sklearn.utils.estimator_checks import parametrize_with_checks

from gossamer import linear
from gossamer.linear.base import SparseLinearModel

# The checks' data interpolate at weak penalties, where rounding decides which local optimum a
# non-convex path reaches: it ends before.
NON_CONVEX_PATH = {"alpha_min_ratio": 0.3}


def small(cls: type[SparseLinearModel]) -> SparseLinearModel:
    """An instance that selects some features of the checks' data, quickly."""
    parameters: dict[str, Any] = {}
    if cls.__name__.endswith("CV"):
        parameters = {"max_nonzero": 3} if "Subset" in cls.__name__ else {"n_alphas": 5}
        parameters["cv"] = 3
        if cls.__name__.startswith(("MCP", "SCAD")):
            parameters |= NON_CONVEX_PATH
    elif "alpha" in inspect.signature(cls).parameters:
        parameters = {"alpha": 0.1}
    if cls.__name__.startswith("SparseQuantile"):
        # a corner of flat sides: only close to it are two ways to the optimum one
        parameters |= {"tol": 1e-9}
    if cls.__name__.startswith("AdaptiveLasso"):
        # its own first fit is a cross-validated one
        parameters |= {"initial": linear.Lasso(alpha=0.01)}
    return cls(**parameters)


class TimesOnly(linear.SparseCox):
    """The checks know no censored times: here all of theirs end in an event."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        return super().fit(X, all_events(self, X, y), sample_weight)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        return super().score(X, all_events(self, X, y), sample_weight)


def all_events(model: Any, X: Any, y: Any) -> Any:
    if y is None:
        return None
    _, y = check_X_y(X, y, accept_sparse="csc", y_numeric=True, estimator=model)
    return np.column_stack([y, np.ones(len(y))])


ESTIMATORS = [
    piece
    for piece in (getattr(linear, name) for name in linear.__all__)
    if isinstance(piece, type) and issubclass(piece, SparseLinearModel)
]
# y of Cox's model has two columns: a subclass that makes the second one is checked in its place
CHECKED = [TimesOnly if cls is linear.SparseCox else cls for cls in ESTIMATORS]
CHECKED.remove(linear.SparseCoxCV)


def test_every_estimator_is_checked() -> None:
    assert len(ESTIMATORS) > 25


@parametrize_with_checks([small(cls) for cls in CHECKED])
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)
