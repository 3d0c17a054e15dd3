"""All inference keeps scikit-learn's contract, can be saved, and refuses what makes no sense."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import gossamer as gs
from gossamer.linear import inference

# loose promises: scikit-learn warns when a selector selects nothing
SMALL = [
    gs.StabilitySelection(threshold=0.51, n_selected=1, n_pairs=3, n_alphas=5, random_state=0),
    gs.Knockoffs(gs.Lasso(alpha=1e-3), fdr=0.99, offset=0, random_state=0),
    gs.DebiasedLasso(n_folds=2, n_strengths=3),
    gs.PostSelection(alpha=1e-3, noise=1.0),
    gs.MultiSplit(gs.Lasso(alpha=1e-3), n_splits=3, fwer=0.9999, random_state=0),
]
# a sample of weight two is in one half, its two copies may be in both
HALVES = {
    "check_sample_weight_equivalence_on_dense_data": "halves are drawn of samples",
    "check_sample_weight_equivalence_on_sparse_data": "halves are drawn of samples",
}


def test_every_method_is_checked() -> None:
    classes = {
        piece
        for piece in map(vars(inference).get, inference.__all__)
        if isinstance(piece, type) and issubclass(piece, inference.Inference)
    }
    assert classes - {inference.Inference} == {type(method) for method in SMALL}


@pytest.mark.filterwarnings("ignore:No features were selected")  # of targets that are noise
@parametrize_with_checks(
    SMALL,
    expected_failed_checks=lambda method: (
        HALVES if isinstance(method, gs.StabilitySelection) else {}
    ),
)
def test_scikit_learn_contract(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("method", SMALL, ids=lambda method: type(method).__name__)
def test_saved_and_loaded_it_says_the_same(method: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((60, 5)), columns=list("abcde"))
    y = X["b"] - X["d"] + 0.1 * rng.standard_normal(60)
    fitted = clone(method).fit(X, y)
    gs.save(fitted, tmp_path / "inference.gossamer")
    again = gs.load(tmp_path / "inference.gossamer")
    assert str(again.summary()) == str(fitted.summary())
    assert {"b", "d"} <= set(fitted.summary()["feature"])


@pytest.mark.parametrize("method", SMALL, ids=lambda method: type(method).__name__)
def test_bad_tables_are_refused(method: Any) -> None:
    X, y = np.random.default_rng(0).standard_normal((30, 4)), np.arange(30.0)
    for wrong in (np.full(30, np.nan), np.arange(29.0)):
        with pytest.raises(ValueError, match=r"y|sample"):
            clone(method).fit(X, wrong)
    with pytest.raises(ValueError, match=r"inf|NaN"):
        clone(method).fit(np.where(X > 1, np.inf, X), y)
    with pytest.raises(ValueError):
        clone(method).fit(X.astype(str) + "a", y)
