"""Hard units: groups without full rank, many outputs, penalties that are not convex.

Judged as in ``test_hard_cases``; without convexity, by stationarity and by single changes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hard_designs import at, design, honest, proven, solved, target
from references import Model, gain_of_one_change, violation

from gossamer.core import Problem
from gossamer.losses import Huber, Logistic, Poisson, Quadratic
from gossamer.penalties import L1, MCP, SCAD, ElasticNet, LogSum, Lq
from gossamer.solvers import model
from gossamer.structures import Groups, Rows
from gossamer.testing.problems import Explicit

RATIOS = (1 / 20, 1e-3, 1e-5)


@pytest.fixture(params=["Gram matrix", "samples"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working sets keep their Gram matrix, or work on the samples."""
    if request.param == "samples":
        monkeypatch.setattr(model, "_MAX_GRAM", 0)


MIXED = [range(0, 50), range(50, 80), [80], [81], range(82, 85), range(85, 90)]


def grouped_data() -> tuple[np.ndarray, np.ndarray]:
    """40 samples: the first group has more columns; some are equal, constant or zero."""
    X = np.random.default_rng(3).standard_normal((40, 90))
    X[:, 10:20], X[:, 50], X[:, 51] = X[:, :10], 0.0, 3.0
    X[:, 82:85] = 0.0
    return X, X[:, :5].sum(axis=1) + np.random.default_rng(4).standard_normal(40)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("loss", [Quadratic(), Logistic(), Huber(0.5), Poisson()], ids=repr)
def test_groups_that_are_rank_deficient(loss: Any, ratio: float) -> None:
    X, y = grouped_data()
    weights = np.sqrt([len(group) for group in MIXED])
    for penalty in (
        L1(1.0, on=Groups(MIXED)),
        L1(1.0, on=Groups(MIXED), weights=weights),
        ElasticNet(1.0, 0.5, on=Groups(MIXED)),
        L1(1.0, on=Groups(MIXED), nonnegative=True),
    ):
        problem = at(Problem(X, target(loss, y), loss, penalty), ratio)
        proven(problem, 1e-9 if loss.is_quadratic else 1e-6, "ActiveSetNewton")
        if ratio >= 1e-3:
            honest(problem, 1e-6, "CoordinateDescent")


@pytest.mark.parametrize("ratio", [0.3, 0.05, 1e-3])
@pytest.mark.parametrize("loss", [Quadratic(), Logistic()], ids=repr)
def test_sparse_groups(loss: Any, ratio: float) -> None:
    X, y = grouped_data()
    problem = Problem(X, target(loss, y), loss, L1(0.5) + L1(0.5, on=Groups(MIXED)))
    problem = at(problem, ratio)
    tol = 1e-9 if loss.is_quadratic else 1e-6
    found = solved(problem, tol, "ActiveSetNewton").certificate.objective
    # proximal gradient without a working set, a Gram matrix or a certificate
    assert found <= Explicit.of(problem).optimum(3000) + 2 * tol * problem.null_objective


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("n_outputs", [1, 2, 50])
def test_several_outputs(n_outputs: int, ratio: float, rng: np.random.Generator) -> None:
    X = rng.standard_normal((40, 90))
    Y = X[:, :4] @ rng.standard_normal((4, n_outputs)) + rng.standard_normal((40, n_outputs))
    for penalty in (L1(1.0, on=Rows()), L1(1.0)):
        problem = at(Problem(X, Y, Quadratic(), penalty), ratio)
        proven(problem, 1e-9, "ActiveSetNewton")
        if ratio >= 1e-3:
            honest(problem, 1e-6, "CoordinateDescent")


# -- penalties that are not convex


FLAT = (MCP(1.0), MCP(1.0, 1.1), SCAD(1.0), SCAD(1.0, 2.1), MCP(1.0, nonnegative=True))
STEEP = (Lq(1.0, 0.5), Lq(1.0, 2 / 3), Lq(1.0, 0.1), LogSum(1.0, 0.1), LogSum(1.0, 1e-4))


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("ratio", [0.5, 0.1, 1e-2, 1e-4, 0.0])
@pytest.mark.parametrize("penalty", [*FLAT, *STEEP], ids=repr)
@pytest.mark.parametrize("name", ["duplicated", "equicorrelated 0.9", "wide"])
def test_not_convex(name: str, penalty: Any, ratio: float) -> None:
    """Equal columns make ties, which must not be cycled through."""
    X, y = design(name)
    problem = at(Problem(X, y, Quadratic(), penalty), ratio)
    for solver in ("ActiveSetNewton", "CoordinateDescent"):
        result = honest(problem, 1e-8, solver)
        certificate = result.certificate
        assert certificate.holds or (solver == "CoordinateDescent" and ratio < 0.1)
        assert certificate.kind in ("critical", "coordinate-wise")
        if type(penalty) not in (MCP, SCAD) or penalty.nonnegative or not certificate.holds:
            continue
        shape = type(penalty).__name__.lower()
        written = Model(X, y, "quadratic", shape, problem.penalty.strength, penalty.gamma)
        if ratio > 0:
            steepest = np.abs(problem.null_gradient).max()
            limit = 1.1e-8 * steepest / problem.penalty.strength
            assert violation(written, result.coef, result.intercept) <= limit + 1e-9
        if certificate.kind == "coordinate-wise":
            gain = gain_of_one_change(written, result.coef, result.intercept)
            assert gain <= 1e-6 * problem.null_objective


@pytest.mark.parametrize("penalty", [MCP(1.0), SCAD(1.0), Lq(1.0, 0.5), LogSum(1.0, 0.1)], ids=repr)
@pytest.mark.parametrize("name", ["plain", "equicorrelated 0.9"])
def test_not_convex_and_separable(name: str, penalty: Any) -> None:
    """Flat far out, such a penalty leaves separable classes without an optimum: the end is a
    point and the truth about it."""
    X, y = design(name)
    for ratio in (0.3, 0.1, 0.01):
        honest(at(Problem(X, y > np.median(y), Logistic(), penalty), ratio), 1e-6)


@pytest.mark.parametrize("ratio", [0.3, 0.05])
@pytest.mark.parametrize("on", [Groups(MIXED), Rows()], ids=repr)
def test_not_convex_on_units(on: Any, ratio: float) -> None:
    X, y = grouped_data()
    Y = y if type(on) is Groups else np.column_stack([y, X[:, 0], y[::-1]])
    for penalty in (MCP(1.0, on=on), SCAD(1.0, on=on), Lq(1.0, 0.5, on=on)):
        result = solved(at(Problem(X, Y, Quadratic(), penalty), ratio), 1e-8)
        assert result.certificate.kind in ("critical", "coordinate-wise")
