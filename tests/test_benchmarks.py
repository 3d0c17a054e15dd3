"""The benchmark judges rightly: its certificate is gossamer's, and its tables count what counts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.records import forget, read
from benchmarks.regression import certificate, runner, table
from benchmarks.regression.child import own_certificate
from benchmarks.regression.peers import PEERS
from benchmarks.regression.problems import PROBLEMS

TIGHT = 1e-9


@pytest.mark.parametrize("name", PROBLEMS)
def test_gossamer_solves_it_and_both_certificates_agree(name: str) -> None:
    problem = PROBLEMS[name].build(tiny=True)
    coefs = PEERS["gossamer"].fit(problem, problem.X, TIGHT).coefs
    # rounding: gaps are differences of numbers of the size of the objective at zero
    assert certificate.certificate(problem, coefs) <= TIGHT + 1e-12
    # where the answer is not optimal, the two formulas must give one number
    off = coefs * 0.9
    ours, theirs = certificate.certificate(problem, off), own_certificate(problem, off)
    assert ours > 1e-4
    assert ours == pytest.approx(theirs, rel=1e-7)


@pytest.mark.parametrize("name", ["lasso-200x50k-20", "group-500x20k-20", "multitask-300x10k-20"])
def test_strengths_are_shares_of_the_smallest_that_selects_nothing(name: str) -> None:
    problem = PROBLEMS[name].build(tiny=True)
    zero = np.zeros((1, problem.X.shape[1], *problem.y.shape[1:]))
    assert certificate.certificate(problem.at(1.0), zero) == pytest.approx(0, abs=1e-14)
    assert certificate.certificate(problem.at(1.02), zero) > 1e-5


def test_a_process_answers_for_every_target() -> None:
    records = list(runner.measure("lasso-200x50k-20", "scikit-learn", [1e-3, 1e-6], 20.0, True))
    assert [record["target"] for record in records] == [1e-3, 1e-6]
    assert all(record["certificate"] <= record["target"] for record in records)
    assert all(record["own_certificate"] <= 1.001 * record["target"] for record in records)


def test_what_a_library_does_not_offer_is_noted() -> None:
    (record,) = runner.measure("scad-path-500x10k-20", "scikit-learn", [1e-6], 20.0, True)
    assert record["note"] == "not offered: no scad penalty for the quadratic loss"
    assert "cpu" not in record


def answer(peer: str, cpu: float, objective: float = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "problem": "mcp-path-500x10k-20", "peer": peer, "target": 1e-6, "cpu": cpu, "wall": cpu,
        "pass_wall": 0.1, "objective": objective, "certificate": 1e-7, "own_certificate": 1e-7,
        "support": 3, "extra_bytes": 0, "design_bytes": 10, "version": "1",
    } | more  # fmt: skip


def test_a_worse_local_optimum_is_no_rival() -> None:
    records = [answer("gossamer", 1.0), answer("pycasso", 0.1, 1.5), answer("skglm", 3.0, 1.001)]
    results = table.Results.of(records)
    assert results.best_peer("mcp-path-500x10k-20", 1e-6) == records[2]
    assert results.ratio("mcp-path-500x10k-20", 1e-6) == 3.0
    assert "**3.00**" in table.means(results)
    assert "objective +50.0%" in table.details(results)


def test_a_missed_target_is_said() -> None:
    missed = {"problem": "mcp-path-500x10k-20", "peer": "gossamer", "target": 1e-6, "note": "x",
              "certificate": 1e-3}  # fmt: skip
    results = table.Results.of([missed, answer("skglm", 3.0)])
    assert results.ratio("mcp-path-500x10k-20", 1e-6) is None
    assert "not reached" in table.summary(results)


def test_a_run_goes_on_where_it_ended(tmp_path: Path) -> None:
    results = tmp_path / "part.jsonl"
    plan = runner.Plan(["scad-path-500x10k-20"], ["celer"], [1e-6], 20.0, tiny=True)
    runner.run(plan, results)
    once = results.read_text()
    runner.run(plan, results)
    assert results.read_text() == once
    forget(results, plan.includes)
    assert read(results) == []
