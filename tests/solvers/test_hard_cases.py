"""Cases that break solvers: each ends quickly, at a proven optimum or with an honest warning.

What is proven is a duality gap by the formulas of ``references``, which do not import gossamer; it
bounds the distance to any peer's objective. All gaps are relative to the null objective.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hard_designs import DESIGNS, LOSSES, SOLVERS, at, design, honest, proven, solved, target
from scipy import sparse

from gossamer.core import Problem
from gossamer.losses import Huber, Logistic, Multinomial, Poisson, Quadratic
from gossamer.penalties import L1, ElasticNet
from gossamer.solvers import ActiveSetNewton, model
from gossamer.structures import Rows

RATIOS = (1 / 20, 1e-3, 1e-5)


@pytest.fixture(params=["Gram matrix", "samples"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working sets keep their Gram matrix, or work on the samples."""
    if request.param == "samples":
        monkeypatch.setattr(model, "_MAX_GRAM", 0)


# -- the lasso on every design


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("name", DESIGNS)
def test_lasso(name: str, ratio: float) -> None:
    X, y = design(name)
    # a mean of 1e6 leaves ten digits of a column, and of its products
    tol = 1e-8 if name == "means of 1e6" else 1e-9
    for intercept in (False, True):
        problem = Problem(X, y, Quadratic(), L1(1.0), intercept)
        if problem.null_objective > 0:  # one sample, or a constant target
            proven(at(problem, ratio), tol, "ActiveSetNewton")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", DESIGNS)
def test_lasso_by_coordinate_descent(name: str) -> None:
    problem = Problem(*design(name), Quadratic(), L1(1.0), name != "adversarial")
    if problem.null_objective > 0:
        proven(at(problem, 1 / 20), 1e-6, "CoordinateDescent")


@pytest.mark.slow
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("ratio", RATIOS[1:])
@pytest.mark.parametrize("name", DESIGNS)
def test_coordinate_descent_where_it_is_slow(name: str, ratio: float) -> None:
    """Where columns nearly agree it may end before the tolerance, and says so."""
    problem = Problem(*design(name), Quadratic(), L1(1.0), name != "adversarial")
    if problem.null_objective > 0:
        honest(at(problem, ratio), 1e-6, "CoordinateDescent")


@pytest.mark.parametrize("tol", [1e-10, 1e-12])
@pytest.mark.parametrize("name", ["plain", "duplicated", "wide", "two samples", "one feature"])
def test_tight_tolerances(name: str, tol: float) -> None:
    for ratio in RATIOS[:2]:
        for penalty in (L1(1.0), ElasticNet(1.0, 0.5)):
            proven(at(Problem(*design(name), Quadratic(), penalty), ratio), tol)


@pytest.mark.parametrize("name", ["meats", "autoregressive 0.99", "adversarial", "wide"])
def test_against_homotopy(name: str) -> None:
    """LARS takes every knot of the path, of which there are many: ours is as good where it ends."""
    from sklearn.linear_model import lars_path

    X, y = design(name)
    X, y = X - (X.mean(axis=0) if name != "adversarial" else 0), y
    problem = at(Problem(X, y, Quadratic(), L1(1.0), name != "adversarial"), 1e-5)
    least = problem.penalty.strength
    _, _, coefs = lars_path(X, y - problem.null_intercept, alpha_min=least, method="lasso",
                            max_iter=5000)  # fmt: skip
    theirs = problem.objective(coefs[:, -1], problem.null_intercept)
    ours = solved(problem, 1e-9).certificate.objective
    assert ours <= theirs + 1e-9 * problem.null_objective


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("name", DESIGNS)
def test_standardising_is_scaling(name: str, standardise: bool) -> None:
    """Also sparse: as the same columns divided by their deviations beforehand."""
    X, y = design(name)
    if name in ("one sample", "adversarial", "means of 1e6"):
        return  # nothing to scale, nothing to explain, and digits that a sparse mean loses
    scale = X.std(axis=0) if standardise else np.ones(X.shape[1])
    scale = np.where(scale > 1e-7 * np.abs(X).max(axis=0), scale, 1.0)
    plain = at(Problem(X / scale, y, Quadratic(), L1(1.0)), 0.01)
    expected = proven(plain, 1e-9).certificate.objective
    for stored in (X, sparse.csc_array(X)):
        problem = Problem(stored, y, Quadratic(), plain.penalty, standardise=standardise)
        found = solved(problem, 1e-9).certificate.objective
        assert abs(found - expected) <= 2e-9 * plain.null_objective


# -- strengths at both ends


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("solver", SOLVERS)
def test_no_strength_is_least_squares(solver: str) -> None:
    X, y = design("plain")
    A = np.column_stack([X, np.ones(len(y))])
    expected = np.linalg.lstsq(A, y)[0]
    result = solved(Problem(X, y, Quadratic(), L1(0.0)), 1e-12, solver)
    np.testing.assert_allclose(result.coef, expected[:-1], atol=1e-7)
    least = 0.5 * np.mean((y - A @ expected) ** 2)
    for name in ("duplicated", "plain"):
        result = solved(Problem(*design(name), Quadratic(), L1(0.0)), 1e-12, solver)
        assert result.certificate.objective <= least + 1e-12 * result.certificate.null_objective


@pytest.mark.parametrize("solver", SOLVERS)
def test_no_strength_and_more_features_than_samples(solver: str) -> None:
    """Any interpolation is optimal: one of them is returned."""
    X, y = design("wide")
    result = solved(Problem(X, y, Quadratic(), L1(0.0)), 1e-10, solver)
    np.testing.assert_allclose(X @ result.coef + result.intercept, y, atol=1e-4)


@pytest.mark.parametrize("penalty", [L1(1.0), ElasticNet(1.0, 0.5)])
@pytest.mark.parametrize("ratio", [1e-7, 1e-9, 1e-12])
@pytest.mark.parametrize("name", ["plain", "duplicated", "wide"])
def test_next_to_no_strength(name: str, ratio: float, penalty: Any) -> None:
    problem = at(Problem(*design(name), Quadratic(), penalty), ratio)
    proven(problem, 1e-6)
    honest(problem, 1e-12)  # the strength itself may be below rounding of the gradient


@pytest.mark.parametrize("loss", [Quadratic(), Logistic(), Huber(0.5)])
def test_huge_strengths_select_nothing(loss: Any) -> None:
    X, y = design("wide")
    problem = Problem(X, y > 0, loss, L1(1.0))
    for strength in (1e300, 1.0000001 * problem.strength_max()):
        result = solved(problem.with_penalty(L1(strength)), 1e-12)
        assert not result.coef.any()
        assert result.n_iter == 0


# -- other losses


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("name", [name for name in DESIGNS if len(design(name)[1]) > 15])
def test_other_losses(name: str, loss: Any, ratio: float) -> None:
    X, y = design(name)
    proven(at(Problem(X, target(loss, y), loss, L1(1.0)), ratio), 1e-6, "ActiveSetNewton")
    if ratio == 1 / 20:
        proven(at(Problem(X, target(loss, y), loss, L1(1.0)), ratio), 1e-6, "CoordinateDescent")


@pytest.mark.parametrize("flips", [0, 1])
@pytest.mark.parametrize("ratio", [0.1, 1e-3, 1e-6, 1e-9])
def test_separable_classes(ratio: float, flips: int, rng: np.random.Generator) -> None:
    X = rng.standard_normal((60, 3))
    y = X[:, 0] > 0
    y[:flips] ^= True
    for solver in SOLVERS:
        proven(at(Problem(X, y, Logistic(), L1(1.0)), ratio), 1e-6, solver)
    # without any penalty the optimum of separable classes is at infinity
    result = honest(Problem(X, y, Logistic(), L1(0.0)), 1e-6)
    assert result.certificate.holds or not flips


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_counts_of_any_size(scale: float, rng: np.random.Generator) -> None:
    X = rng.standard_normal((200, 30))
    y = rng.poisson(scale * np.exp(0.5 * X[:, 0] - 0.5 * X[:, 1]))
    for intercept in (False, True):
        for ratio in (0.1, 1e-3):
            for solver in SOLVERS:
                proven(at(Problem(X, y, Poisson(), L1(1.0), intercept), ratio), 1e-6, solver)
    single = np.where(np.arange(200) == 7, scale, 0.0)
    honest(at(Problem(X, single, Poisson(), L1(1.0)), 0.1), 1e-6)
    honest(at(Problem(30 * X, y, Poisson(), L1(1.0)), 1e-3), 1e-6)


@pytest.mark.parametrize("delta", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_outliers(size: float, delta: float, rng: np.random.Generator) -> None:
    X = rng.standard_normal((200, 30))
    y = X[:, 0] + 0.1 * rng.standard_normal(200)
    y[::10] += size * rng.standard_normal(20)
    for ratio in (0.1, 1e-3):
        for solver in SOLVERS:
            proven(at(Problem(X, y, Huber(delta), L1(1.0)), ratio), 1e-6, solver)


@pytest.mark.parametrize("seed", range(20))
def test_no_curvature_at_the_start(seed: int) -> None:
    """Every residual of the null model is beyond delta: a model of the loss there is linear."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((5, 3)) < 0.5, rng.standard_normal((5, 3)), 0.0)
    y = rng.choice([-1.0, 1.0], 5) * (0.6 + rng.random(5))
    for solver in SOLVERS:
        proven(at(Problem(X, y, Huber(0.5), L1(1.0), False), 0.3), 1e-6, solver)


@pytest.mark.parametrize("penalty", [L1(1.0), L1(1.0, on=Rows())], ids=repr)
@pytest.mark.parametrize("ratio", [0.1, 1e-3])
def test_a_rare_class(ratio: float, penalty: Any, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((200, 30)), np.arange(200) % 2
    y[7] = 2
    for solver in SOLVERS:
        proven(at(Problem(X, y, Multinomial(), penalty), ratio), 1e-6, solver)


# -- where it starts, and that it repeats itself


@pytest.mark.parametrize("size", [1.0, 1e2, 1e6])
@pytest.mark.parametrize("loss", [Quadratic(), *LOSSES], ids=repr)
def test_from_a_wrong_start(loss: Any, size: float, rng: np.random.Generator) -> None:
    X = rng.standard_normal((60, 200))
    y = target(loss, X[:, :5].sum(axis=1) + rng.standard_normal(60))
    problem = Problem(X, y, loss, L1(1.0))
    for ratio in (0.1, 1e-3):
        problem = at(problem, ratio)
        wrong = size * rng.standard_normal(problem.shape)
        for solver in SOLVERS:
            proven(problem, 1e-8, solver, w0=wrong)


@pytest.mark.parametrize("loss", [Quadratic(), Logistic()], ids=repr)
@pytest.mark.parametrize("name", ["duplicated", "wide", "meats"])
def test_the_same_bits_again(name: str, loss: Any) -> None:
    """Whatever the solver did before."""
    X, y = design(name)
    problem = at(Problem(X, target(loss, y), loss, L1(1.0)), 1e-3)
    first = problem.solve("ActiveSetNewton")
    used = ActiveSetNewton()
    for other in (0.1, 1e-4):
        used.solve(at(problem, other))
    for again in (problem.solve("ActiveSetNewton"), used.solve(problem)):
        np.testing.assert_array_equal(again.coef, first.coef)


def test_one_solver_in_several_threads() -> None:
    solver, problem = ActiveSetNewton(), Problem(*design("wide"), Quadratic(), L1(1.0))
    ratios = np.geomspace(0.5, 0.002, 40)
    expected = [at(problem, ratio).solve(tol=1e-8).coef for ratio in ratios]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda ratio: solver.solve(at(problem, ratio), tol=1e-8), ratios))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.coef, other)
