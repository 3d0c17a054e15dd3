"""Real tables against what the field's tools found, recorded by ``python -m benchmarks.tables``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.tables.cases import CASES, Case
from benchmarks.tables.judge import EQUAL, estimator, is_unique
from benchmarks.tables.peers import solution

REFERENCE = Path(__file__).with_name("tables_reference.json")
FOUND: list[dict[str, Any]] = json.loads(REFERENCE.read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.table}, {case.model}")
def test_no_worse_than_any_peer(case: Case) -> None:
    """The objective; the support where the optimum is unique."""
    found = [row for row in FOUND if (row["table"], row["model"]) == (case.table, case.model)]
    try:
        problem, table = case.problem(), case.data()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    model = estimator(case, problem.penalty).fit(table.X, table.y)
    coef, intercept = solution(model, table.X.shape[1])
    objective = problem.objective(coef, intercept) / problem.null_objective
    support = np.flatnonzero(coef)
    assert {row["peer"] for row in found} == set(case.peers)
    for row in found:
        assert objective <= row["objective"] + EQUAL, row["peer"]
        if is_unique(problem, coef, intercept):
            np.testing.assert_array_equal(support, row["support"], err_msg=row["peer"])
