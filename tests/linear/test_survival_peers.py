"""Cox's model on real tables equals R's survival and glmnet, whose numbers are recorded.

survival_reference.py and survival_reference.R made survival_reference.json.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from survival_cases import problem_of, strata_and_weights
from survival_tables import SURVIVAL_TABLES

import gossamer as gs

REFERENCE = json.loads(
    Path(__file__).with_suffix("").with_name("survival_reference.json").read_text()
)


def case_id(case: dict[str, Any]) -> str:
    words = [k for k in ("stratified", "weighted") if case[k]]
    return "-".join([case["table"], str(case.get("ties", case.get("ratio"))), *words])


@pytest.mark.parametrize("case", REFERENCE["coxph"], ids=case_id)
def test_unpenalised_equals_coxph(case: dict[str, Any]) -> None:
    """Partial likelihoods, coefficients, baseline hazard and concordance of R's survival."""
    table = SURVIVAL_TABLES[case["table"]]()
    stratum, weight = strata_and_weights(len(table.y))
    y = np.column_stack([table.y, stratum]) if case["stratified"] else table.y
    used = weight if case["weighted"] else None
    model = gs.SparseCox(0.0, ties=case["ties"], tol=1e-10).fit(table.X, y, used)
    total = used.sum() if case["weighted"] else len(table.y)
    problem = gs.Problem(table.X, y, gs.losses.Cox(case["ties"]), gs.L1(0.0), sample_weight=used)
    gained = total * (problem.null_objective - problem.objective(model.coef_))
    expected = float(case["loglik"]) - float(case["loglik_null"])
    np.testing.assert_allclose(gained, expected, rtol=1e-8)
    hazard = float(case["hazard"])
    if case["coef"]:
        np.testing.assert_allclose(model.coef_, case["coef"], atol=2e-5)
        # R gives the hazard at all times
        times = [
            np.unique(table.y[stratum == s, 0] if case["stratified"] else table.y[:, 0])
            for s in np.unique(model.baseline_hazard_.stratum)
        ]
        sums = [
            model.baseline_hazard_.at(at, s).sum()
            for at, s in zip(times, np.unique(model.baseline_hazard_.stratum), strict=True)
        ]
        np.testing.assert_allclose(sum(sums), hazard, rtol=1e-4)
    if not case["weighted"]:
        np.testing.assert_allclose(model.score(table.X, y), float(case["concordance"]), atol=1e-4)


@pytest.mark.parametrize("case", REFERENCE["glmnet"], ids=case_id)
def test_penalised_equals_glmnet(case: dict[str, Any]) -> None:
    """The objective is at most glmnet's, whose lambda is alpha; the support is the same."""
    if case["table"] == "dlbcl" and find_spec("SurvSet") is None:
        pytest.skip("the table is in the package SurvSet, which is not installed")
    options = {k: case[k] for k in ("stratified", "weighted", "l1_ratio")}
    problem = problem_of(case["table"], **options)
    problem = problem.with_penalty(problem.penalty.with_strength(case["lambda"]))
    result = problem.solve(tol=1e-8)
    assert result.certificate.holds
    # Its deviance is used where coefficients are too many to be recorded, and there are no ties:
    # with ties it reports one that is up to 5e-5 off coxph's at its own coefficients.
    theirs = problem.objective(case["coef"]) if case["coef"] else float(case["objective"])
    slack = 1e-8 * problem.null_objective
    assert result.certificate.objective <= theirs + slack
    np.testing.assert_allclose(theirs, result.certificate.objective, atol=10 * slack)
    assert len(result.certificate.support) == case["n_nonzero"]
    if case["coef"]:
        # glmnet stops at 1e-13 of the null deviance
        np.testing.assert_allclose(result.coef, case["coef"], atol=2e-4)
