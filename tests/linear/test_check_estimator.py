"""Every estimator keeps scikit-learn's own contract."""

from __future__ import annotations

import inspect
from typing import Any

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
        parameters = {"n_alphas": 5, "cv": 3}
        if cls.__name__.startswith(("MCP", "SCAD")):
            parameters |= NON_CONVEX_PATH
    elif "alpha" in inspect.signature(cls).parameters:
        parameters = {"alpha": 0.1}
    return cls(**parameters)


ESTIMATORS = [
    piece
    for piece in map(vars(linear).get, linear.__all__)
    if isinstance(piece, type) and issubclass(piece, SparseLinearModel)
]


def test_every_estimator_is_checked() -> None:
    assert len(ESTIMATORS) == 20


@parametrize_with_checks([small(cls) for cls in ESTIMATORS])
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)
